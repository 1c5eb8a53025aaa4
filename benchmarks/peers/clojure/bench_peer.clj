;; SPDX-License-Identifier: Apache-2.0
;;
;; Clojure's side of the rows of ../README.md: `bench_peer.clj <row> [quick]` measures one and prints its line. Each row is run
;; until the compiler of the virtual machine has seen enough of it; the last run counts.
(set! *warn-on-reflection* true)

(defn elapsed [f]
  (let [begin (System/nanoTime)]
    (f)
    (- (System/nanoTime) begin)))
(defn each [n f] (/ (double (elapsed f)) n))
(defn rate [n f] (/ (* 1000.0 n) (elapsed f)))
(defn check [got wanted]
  (when-not (= got wanted) (throw (ex-info "counted wrong" {:got got :wanted wanted}))))

(defn on-threads
  "Runs (f thread) on so many threads at once, and waits for them."
  [threads f]
  (let [all (mapv (fn [t] (Thread. ^Runnable (fn [] (f t)))) (range threads))]
    (run! (fn [^Thread t] (.start t)) all)
    (run! (fn [^Thread t] (.join t)) all)))

(defn atom-read [scale]
  (let [n (quot 50000000 scale), a (atom 1)]
    (each n #(loop [i 0, sum 0]
               (if (< i n) (recur (inc i) (+ sum (long @a))) (check sum n))))))

(defn atom-swap [threads]
  (fn [scale]
    (let [n (quot 5000000 scale), a (atom 0)
          result (each (* n threads) #(on-threads threads (fn [_] (dotimes [_ n] (swap! a inc)))))]
      (check @a (* n threads))
      result)))

(defn agents [how many n]
  (fn [scale]
    (let [n (quot n scale), all (mapv (fn [_] (agent 0)) (range many))
          result (rate n #(do (dotimes [i n] (how (nth all (rem i many)) inc))
                              (apply await all)))]
      (check (reduce + (map deref all)) n)
      result)))

(defn agent-await [scale]
  (let [n (quot 50000 scale), a (agent 0)]
    (each n #(dotimes [_ n] (send a inc) (await a)))))

(def many 1000)

(defn alter-2 [threads]
  (fn [scale]
    (let [n (quot 1000000 scale)
          refs (object-array (repeatedly many #(ref 0)))
          work (fn [t]
                 (let [dice (java.util.SplittableRandom. (inc t))]
                   (dotimes [_ n]
                     (let [from (aget ^objects refs (.nextInt dice many))
                           to (aget ^objects refs (.nextInt dice many))]
                       (dosync (alter from dec) (alter to inc))))))
          result (each (* n threads) #(on-threads threads work))]
      (check (reduce + (map deref refs)) 0)
      result)))

(defn alter-same [threads]
  (fn [scale]
    (let [n (quot 300000 scale), a (ref 0), b (ref 0)
          result (each (* n threads) #(on-threads threads (fn [_] (dotimes [_ n] (dosync (alter a inc) (alter b inc))))))]
      (check @a (* n threads))
      result)))

(defn alter-1 [scale]
  (let [n (quot 2000000 scale), r (ref 0)]
    (each n #(dotimes [_ n] (dosync (alter r inc))))))

(defn commute-1 [scale]
  (let [n (quot 2000000 scale), r (ref 0)]
    (each n #(dotimes [_ n] (dosync (commute r inc))))))

(defn look-2 [scale]
  (let [n (quot 2000000 scale), a (ref 1), b (ref 2)]
    (each n #(loop [i 0, sum 0]
               (if (< i n) (recur (inc i) (+ sum (long (dosync (+ (long @a) (long @b)))))) (check sum (* 3 n)))))))

(def rows
  {"atom-read" ["ns" atom-read]
   "atom-swap" ["ns" (atom-swap 1)]
   "atom-swap-2" ["ns" (atom-swap 2)]
   "agent-1" ["M/s" (agents send 1 1000000)]
   "agent-100" ["M/s" (agents send 100 1000000)]
   "agent-off" ["M/s" (agents send-off 1 500000)]
   "agent-await" ["ns" agent-await]
   "alter-2" ["ns" (alter-2 1)]
   "alter-2-2" ["ns" (alter-2 2)]
   "alter-same-2" ["ns" (alter-same 2)]
   "alter-1" ["ns" alter-1]
   "commute-1" ["ns" commute-1]
   "look-2" ["ns" look-2]})

(let [[row size] *command-line-args*]
  (cond
    (= row "list") (run! #(println (str "clojure\t" %)) (keys rows))
    (= row "version") (println (str "Clojure " (clojure-version) ", Java " (System/getProperty "java.version")))
    (rows row) (let [[unit f] (rows row), scale (if (= size "quick") 8 1)]
                 (f (* 4 scale))
                 (f (* 2 scale))
                 (println (format "%s\t%.3f\t%s" row (double (f scale)) unit)))
    :else (do (.println System/err (str "no row " row)) (System/exit 2)))
  (flush)
  (System/exit 0))
