// SPDX-License-Identifier: Apache-2.0
//
// The engine itself: what it must report, what it must not, and that a run can be repeated from what it prints. The toy
// mechanisms carry planted faults by number; each must be found within the usual 1,000 seeds.
#include <doctest/doctest.h>

#include <coppice/base/assert.hpp>
#include <coppice/base/detail/sync.hpp>

#include "sim/driver.hpp"
#include "sim/shrink.hpp"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

namespace sim = coppice::internal::sim;
using namespace coppice::detail::sync;

/// A simulated thread that runs a lambda of the test's.
template <class Body>
class runs {
 public:
  explicit runs(Body body, const char* name = nullptr) : body_(std::move(body)) {
    thread_ = thread([](void* self) { static_cast<runs*>(self)->body_(); }, this, name);
  }
  void join() { thread_.join(); }

 private:
  Body body_;
  thread thread_;
};

std::string failure_of(const char* name, std::function<void()> body, sim::scenario_options options = {}) {
  const sim::scenario s(name, std::move(body), std::move(options));
  return sim::seeds(name, 300).failure;
}

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

void* volatile kept;  // what is stored here was really allocated

// --- what a run may be -------------------------------------------------------------------------------------------------

TEST_CASE("a run without threads passes, and its memory may be left behind") {
  CHECK(failure_of("empty", [] {}) == "");
  CHECK(failure_of("leaving", [] { kept = new int(1); }) == "");
}

TEST_CASE("memory left behind fails a scenario that must free all") {
  CHECK(has(failure_of("leak", [] { kept = new int(1); }, {.must_free_all = true}), "were not freed"));
  CHECK(failure_of("no leak", [] { auto p = std::make_unique<int>(1); }, {.must_free_all = true}) == "");
}

TEST_CASE("a run with threads ends when all are joined, and says if one is not") {
  CHECK(failure_of("joined", [] { runs([] { switch_point(); }).join(); }) == "");
  static thread escaped;
  CHECK(has(failure_of("not joined", [] { new (&escaped) thread([](void*) {}, nullptr, "stray"); }),
            "main ended before it joined stray"));
  new (&escaped) thread();
}

TEST_CASE("a thread that was given up need not be joined") {
  CHECK(failure_of("given up", [] {
          futex_word never_set;
          thread t([](void* w) { futex_wait(*static_cast<futex_word*>(w), 0); }, &never_set, "stuck");
          t.leave();
        }) == "");
}

TEST_CASE("more threads than sixteen at once are refused, one after another they are not") {
  CHECK(failure_of("many in turn", [] {
          for (int i = 0; i < 40; ++i) runs([] { switch_point(); }).join();
        }) == "");
  CHECK(has(failure_of("many at once",
                       [] {
                         std::vector<thread> all;
                         for (int i = 0; i < 16; ++i) all.emplace_back([](void*) {}, nullptr, nullptr);
                       }),
            "more than 16 threads"));
}

TEST_CASE("a check that does not hold fails the run with its text") {
  CHECK(failure_of("check", [] { sim::check(false, "two and two are five"); }) == "two and two are five");
}

TEST_CASE("a failed assertion of the library fails the run") {
  CHECK(has(failure_of("assertion", [] { COPPICE_ASSERT(1 == 2, "one is two"); }), "one is two"));
}

TEST_CASE("an exception that leaves a thread fails the run, one that is caught does not") {
  CHECK(has(failure_of("throws", [] { runs([] { throw std::runtime_error("boom"); }, "thrower").join(); }),
            "an exception left thread thrower: boom"));
  CHECK(failure_of("catches", [] {
          try {
            throw std::runtime_error("boom");
          } catch (const std::exception&) {}
        }) == "");
}

TEST_CASE("each thread has its own caught exceptions") {
  CHECK(failure_of("exceptions", [] {
          const auto rethrows = [](int mine) {
            return [mine] {
              try {
                throw mine;
              } catch (...) {
                for (int i = 0; i < 5; ++i) switch_point();
                try {
                  throw;
                } catch (int again) {
                  sim::check(again == mine, "another thread's exception was rethrown");
                }
              }
            };
          };
          runs a(rethrows(1)), b(rethrows(2)), c(rethrows(3));
          a.join(), b.join(), c.join();
        }) == "");
}

TEST_CASE("a crash and an abort in simulated code fail the run, and the next run is as good as new") {
  CHECK(has(failure_of("null", [] { *static_cast<volatile int*>(nullptr) = 1; }), "SEGV"));
  CHECK(has(failure_of("abort", [] { std::abort(); }), "ABRT"));
  CHECK(failure_of("after a crash", [] { runs([] { switch_point(); }).join(); }) == "");
}

// --- what it reports ---------------------------------------------------------------------------------------------------

TEST_CASE("a deadlock is reported with who waits where") {
  const std::string failure = failure_of("sleeps forever", [] {
    futex_word word{0, "word"};
    runs(
        [&] {
          for (;;) futex_wait(word, 0);
        },
        "sleeper")
        .join();
  });
  CHECK(has(failure, "deadlock"));
  CHECK(has(failure, "main joins sleeper"));
  CHECK(has(failure, "sleeper sleeps on word"));
}

TEST_CASE("a housekeeper's timer does not hide a deadlock") {
  const auto body = [](const char* name) {
    return [name] {
      futex_word word{0, "word"};
      futex_word tick{0, "tick"};
      runs sleeper(
          [&] {
            for (;;) futex_wait(word, 0);
          },
          "sleeper");
      runs other(
          [&] {
            for (;;) futex_wait(tick, 0, now() + 1'000'000);
          },
          name);
      sleeper.join();
    };
  };
  CHECK(has(failure_of("housekeeper", body("the monitor")), "deadlock"));
  CHECK(has(failure_of("no housekeeper", body("the worker"), {.step_limit = 5'000}), "livelock"));
}

TEST_CASE("a housekeeper's timer does not keep others from their deadline") {
  CHECK(failure_of("long wait", [] {
          futex_word word{0, "word"};
          futex_word stop{0, "stop"};
          runs monitor(
              [&] {
                while (stop.load(acquire) == 0) futex_wait(stop, 0, now() + 1'000'000);
              },
              "monitor");
          const std::int64_t until = now() + 5'000'000'000;
          while (now() < until) futex_wait(word, 0, until);
          stop.store(1, release);
          futex_wake(&stop, 1);
          monitor.join();
        }) == "");
}

TEST_CASE("a loop that never ends is reported as a livelock") {
  CHECK(has(failure_of("spins",
                       [] {
                         atomic<int> x;
                         while (x.load(relaxed) == 0) relax();
                       },
                       {.step_limit = 5'000}),
            "livelock"));
}

TEST_CASE("a spin loop that another thread ends is not a livelock") {
  CHECK(failure_of("spins a while", [] {
          atomic<int> x;
          runs other([&] { x.store(1, relaxed); });
          while (x.load(relaxed) == 0) {}
          other.join();
        }) == "");
}

TEST_CASE("a race on plain data is reported whatever the interleaving") {
  const std::string failure = failure_of("race", [] {
    var<int> data{0, "data"};
    runs other([&] { data = 1; }, "writer");
    static_cast<void>(data.get());
    other.join();
  });
  CHECK(has(failure, "data race on var data"));
}

TEST_CASE("plain data under a spinlock does not race, with a lock left out it does") {
  const auto counting = [](int fault_number) {
    return [fault_number] {
      spinlock lock;
      var<int> n{0, "n"};
      const auto count = [&] {
        for (int i = 0; i < 3; ++i) {
          if (fault(fault_number)) {
            n = n + 1;
          } else {
            const lock_guard hold(lock);
            n = n + 1;
          }
        }
      };
      runs a(count), b(count);
      a.join(), b.join();
      sim::check(n == 6, "an increment was lost");
    };
  };
  const sim::scenario s("spinlock", counting(1));
  const sim::verdict v = sim::seeds("spinlock");
  CHECK_MESSAGE(v.passed(), v.report);
  const sim::discovery d = sim::find_fault("spinlock", 1);
  CHECK(d.failures == d.runs);  // a race is seen whatever the interleaving
}

TEST_CASE("a plain write after the release is not published by it") {
  CHECK(has(failure_of("late write",
                       [] {
                         var<int> data{0, "data"};
                         atomic<int> ready{0, "ready"};
                         runs other([&] {
                           ready.store(1, release);
                           data = 1;
                         });
                         if (ready.load(acquire) == 1) static_cast<void>(data.get());
                         other.join();
                       }),
            "data race"));
}

TEST_CASE("what is constructed after the release is not published by it") {
  CHECK(has(failure_of("late construction",
                       [] {
                         std::unique_ptr<var<int>> data;
                         atomic<int> ready{0, "ready"};
                         runs other([&] {
                           ready.store(1, release);
                           data = std::make_unique<var<int>>(7, "data");
                         });
                         if (ready.load(acquire) == 1) {
                           switch_point();
                           if (data != nullptr) static_cast<void>(data->get());
                         }
                         other.join();
                       }),
            "data race on var data"));
}

TEST_CASE("a thread knows what its starter did before the start, and nothing that came after") {
  const auto body = [](int before, int after) {
    return [before, after] {
      var<int> data{0, "data"};
      for (int i = 0; i < before; ++i) data = i;
      runs other([&] { static_cast<void>(data.get()); });
      for (int i = 0; i < after; ++i) data = i;
      other.join();
      data = 1;
    };
  };
  CHECK(failure_of("before the start", body(3, 0)) == "");
  CHECK(has(failure_of("after the start", body(3, 1)), "data race"));
}

TEST_CASE("two fences order plain data through relaxed accesses, one does not") {
  const auto body = [](bool left, bool right) {
    return [left, right] {
      var<int> data{0, "data"};
      atomic<int> ready{0, "ready"};
      runs other([&] {
        data = 1;
        if (left) fence(seq_cst);
        ready.store(1, relaxed);
      });
      if (ready.load(relaxed) == 1) {
        if (right) fence(seq_cst);
        static_cast<void>(data.get());
      }
      other.join();
    };
  };
  CHECK(failure_of("two fences", body(true, true)) == "");
  CHECK(has(failure_of("left fence", body(true, false)), "data race"));
  CHECK(has(failure_of("right fence", body(false, true)), "data race"));
}

TEST_CASE("touching a cell after its destruction is reported") {
  CHECK(has(failure_of("touched afterwards",
                       [] {
                         alignas(atomic<int>) std::byte place[sizeof(atomic<int>)];
                         auto* cell = new (place) atomic<int>(0, "cell");
                         cell->~atomic();
                         cell->store(1, relaxed);
                       }),
            "after its destruction"));
}

TEST_CASE("destroying a cell that another thread may still touch is reported") {
  CHECK(has(failure_of("destroyed early",
                       [] {
                         atomic<int> done{0, "done"};
                         auto cell = std::make_unique<atomic<int>>(0, "cell");
                         runs other([&, raw = cell.get()] {
                           done.store(1, relaxed);
                           raw->store(1, relaxed);
                         });
                         while (done.load(relaxed) == 0) relax();
                         cell.reset();
                         other.join();
                       }),
            "cell"));
}

TEST_CASE("a cell that is published without release may be used before its construction is known") {
  CHECK(has(failure_of("published early",
                       [] {
                         atomic<atomic<int>*> shared{nullptr, "shared"};
                         std::unique_ptr<atomic<int>> cell;
                         runs other([&] {
                           cell = std::make_unique<atomic<int>>(7, "cell");
                           shared.store(cell.get(), relaxed);
                         });
                         if (auto* c = shared.load(relaxed)) static_cast<void>(c->load(relaxed));
                         other.join();
                       }),
            "need not know yet"));
}

// --- time, futexes, blocks -----------------------------------------------------------------------------------------------

TEST_CASE("a futex wait ends at its deadline, not before, and says so") {
  CHECK(failure_of("deadline", [] {
          futex_word word;
          const std::int64_t until = now() + 3'000'000;
          while (futex_wait(word, 0, until)) {}
          sim::check(now() >= until, "woken by the deadline before it");
        }) == "");
}

TEST_CASE("a futex wakes as many as asked, in the order in which they lay down") {
  CHECK(failure_of("wakes two of three", [] {
          futex_word word{0, "word"};
          atomic<int> up;
          const auto sleep = [&] {
            while (word.load(acquire) == 0) futex_wait(word, 0);
            up.fetch_add(1, relaxed);
          };
          runs a(sleep), b(sleep), c(sleep);
          word.store(1, release);
          futex_wake(&word, 2);
          futex_wake(&word, 1);
          a.join(), b.join(), c.join();
          sim::check(up.load(relaxed) == 3, "somebody slept on");
        }) == "");
}

TEST_CASE("a 64-bit cell can be slept on, and only its lower half counts") {
  CHECK(failure_of("64 bits", [] {
          atomic<std::uint64_t> word{5, "word"};
          sim::check(futex_wait(word, 4), "the value differs: no sleep");
          runs other([&] {
            word.store(6, release);
            futex_wake(&word, 1);
          });
          while (word.load(acquire) == 5) futex_wait(word, 5);
          other.join();
        }) == "");
  CHECK(has(failure_of("upper half",
                       [] {
                         atomic<std::uint64_t> word{5, "word"};
                         futex_wait(word, 5 + (std::uint64_t{1} << 32));
                         futex_wait(word, 5 + (std::uint64_t{1} << 32));
                         for (;;) futex_wait(word, 5 + (std::uint64_t{1} << 32));
                       }),
            "deadlock"));
}

TEST_CASE("the thread block belongs to the simulated thread, and its exit function runs on it") {
  CHECK(failure_of("blocks", [] {
          static int exits;
          exits = 0;
          int mine = 1;
          set_this_thread_block(&mine, nullptr);
          const auto body = [] {
            sim::check(this_thread_block() == nullptr, "a new thread has no block");
            int own = 2;
            set_this_thread_block(&own, [](void* b) {
              switch_point();
              sim::check(this_thread_block() == b, "the block is there while its exit function runs");
              ++exits;
            });
            switch_point();
            sim::check(this_thread_block() == &own, "another thread's block");
          };
          runs a(body), b(body);
          a.join(), b.join();
          sim::check(exits == 2, "the exit functions ran");
          sim::check(this_thread_block() == &mine, "main's own block");
        }) == "");
}

// --- planted faults in toys ------------------------------------------------------------------------------------------------

enum toy_fault {
  park_without_recheck = 1,
  announce_after_look,
  relaxed_flags,
  take_by_load_store,
  wait_without_loop,
  touch_after_completion,
  waiter_read_early,
  timeout_by_store
};

/// One worker that parks, one producer: the look before parking must come after the announcement.
void parking() {
  atomic<int> work{0, "work"};
  atomic<int> parked{0, "parked"};
  futex_word signal{0, "signal"};
  const bool weak = fault(relaxed_flags);
  const auto announce = [&] { weak ? parked.store(1, relaxed) : parked.store(1, seq_cst); };
  const auto look = [&] { return weak ? work.load(relaxed) : work.load(seq_cst); };
  runs worker(
      [&] {
        while (look() == 0) {
          const std::uint32_t before = signal.load(acquire);
          if (fault(announce_after_look)) {
            if (look() != 0) break;
            announce();
          } else {
            announce();
            if (!fault(park_without_recheck) && look() != 0) break;
          }
          futex_wait(signal, before);
          parked.store(0, relaxed);
        }
      },
      "worker");
  weak ? work.store(1, relaxed) : work.store(1, seq_cst);
  if ((weak ? parked.load(relaxed) : parked.load(seq_cst)) != 0) {
    signal.fetch_add(1, release);
    futex_wake(&signal, 1);
  }
  worker.join();
}

/// Two takers of one slot: whoever gets the item uses it alone.
void slot_taken_once() {
  atomic<int> slot{7, "slot"};
  var<int> item{0, "item"};
  atomic<int> takers{0, "takers"};
  const auto take = [&] {
    int got = 0;
    if (fault(take_by_load_store)) {
      got = slot.load(acquire);
      slot.store(0, release);
    } else {
      got = slot.exchange(0, acq_rel);
    }
    if (got != 0) {
      takers.fetch_add(1, relaxed);
      item = got;
    }
  };
  runs a(take, "a"), b(take, "b");
  a.join(), b.join();
  sim::check(takers.load(relaxed) == 1, "the item was taken once");
}

/// A waiter's cell in its own frame, completed by another thread: after the exchange it touches the address only.
void completed_once() {
  struct wait_cell {
    futex_word state{0, "state"};  // 0: not waiting, 1: asleep, 2: done
    var<int> waiter{0, "waiter"};
    var<int> result{0, "result"};
  };
  atomic<wait_cell*> shared{nullptr, "shared"};
  runs completer(
      [&] {
        wait_cell* cell = nullptr;
        while ((cell = shared.load(acquire)) == nullptr) relax();
        int waiter = fault(waiter_read_early) ? cell->waiter.get() : 0;
        cell->result = 42;
        const std::uint32_t before = cell->state.exchange(2, acq_rel);
        if (fault(touch_after_completion)) static_cast<void>(cell->state.load(relaxed));
        if (before == 1) {
          if (!fault(touch_after_completion)) futex_wake(&cell->state, 1);
        }
        static_cast<void>(waiter);
      },
      "completer");
  {
    wait_cell cell;
    shared.store(&cell, release);
    for (int i = 0; i < 3 && cell.state.load(acquire) != 2; ++i) relax();
    cell.waiter = 9;
    std::uint32_t idle = 0;
    if (cell.state.cas(idle, 1, acq_rel)) {
      do futex_wait(cell.state, 1);
      while (!fault(wait_without_loop) && cell.state.load(acquire) != 2);
    }
    sim::check(cell.result == 42, "the result is there");
  }
  completer.join();
}

/// A reply and a timeout compete for one wait: exactly one wins. Shows only if the clock leaps while the reply comes.
void reply_or_timeout() {
  futex_word state{0, "state"};  // 0: open, 1: replied, 2: timed out
  runs replier(
      [&] {
        std::uint32_t open = 0;
        if (state.cas(open, 1, acq_rel)) {
          futex_wake(&state, 1);
          sim::check(state.load(relaxed) == 1, "the reply that won was taken back");
        }
      },
      "replier");
  const std::int64_t until = now() + 1'000'000;
  while (state.load(acquire) == 0) {
    if (futex_wait(state, 0, until)) continue;
    std::uint32_t open = 0;
    if (fault(timeout_by_store))
      state.store(2, release);
    else
      state.cas(open, 2, acq_rel);
  }
  replier.join();
}

const sim::scenario timeout_scenario("toy_timeout", reply_or_timeout);
const sim::planted_fault named(park_without_recheck, "park_without_recheck");
const sim::scenario parking_scenario("toy_parking", parking);
const sim::scenario slot_scenario("toy_slot", slot_taken_once);
const sim::scenario cell_scenario("toy_cell", completed_once);

TEST_CASE("the toys pass without a fault, under both memory models") {
  for (const char* name : {"toy_parking", "toy_slot", "toy_cell", "toy_timeout"})
    for (const sim::memory_model model : {sim::memory_model::c11, sim::memory_model::tso}) {
      const sim::verdict v = sim::seeds(name, sim::usual_seeds(), model);
      CHECK_MESSAGE(v.passed(), v.report);
    }
}

TEST_CASE("each fault planted in the toys is found") {
  const std::pair<const char*, toy_fault> planted[] = {
      {"toy_parking", park_without_recheck}, {"toy_parking", announce_after_look}, {"toy_parking", relaxed_flags},
      {"toy_slot", take_by_load_store},      {"toy_cell", wait_without_loop},      {"toy_cell", touch_after_completion},
      {"toy_cell", waiter_read_early},       {"toy_timeout", timeout_by_store}};
  for (const auto& [name, number] : planted) {
    const sim::discovery d = sim::find_fault(name, number);
    MESSAGE(d.summary);
    CHECK(d.found());
  }
}

TEST_CASE("a planted fault can be named") {
  const sim::discovery d = sim::find_fault("toy_parking", "park_without_recheck");
  CHECK(d.found());
  CHECK(has(d.summary, "toy_parking, fault 1 (park_without_recheck): found by seed"));
  CHECK_FALSE(sim::find_fault("toy_parking", "unheard_of").found());
  CHECK_FALSE(sim::find_fault("no such scenario", 1).found());
  CHECK(has(sim::find_fault("toy_slot", park_without_recheck, 50).summary, "NOT FOUND in 50 seeds"));
}

// --- replay, shrinking, search ---------------------------------------------------------------------------------------------

TEST_CASE("tokens and decisions survive printing and parsing, and rubbish is refused") {
  for (const char* text : {"parking:pct:3:214:c11:17", "cell!12:uniform:0:9:tso:18446744073709551615",
                           "x:sticky:32:0:c11:5:0@12>3,1@47*,1@48-2,0@9s,0@10w,2@5b", "x:usual:0:0:c11:0:"}) {
    const auto t = sim::parse_token(text);
    REQUIRE(t.has_value());
    CHECK(print(*t) == text);
  }
  for (const char* text :
       {"", "x", "x:pct", "x:nothing:0:0:c11:1", "x:pct:3:214:c12:17", "x:pct:a:214:c11:17", "x:pos:0:0:c11:1:0@1",
        "x:pos:0:0:c11:1:0@1?", "x:pos:0:0:c11:1:99@1>2", "x!y:pos:0:0:c11:1"})
    CHECK_FALSE(sim::parse_token(text).has_value());
}

TEST_CASE("a run repeats from its token, and from its list of decisions") {
  const std::function<void()> body = completed_once;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    sim::run_options o;
    o.body = &body;
    o.what.seed = seed;
    o.what.strategy = seed % 2 == 0 ? sim::strategy_kind::uniform : sim::strategy_kind::pos;
    const sim::run_result first = sim::run(o);
    const sim::run_result second = sim::run(o);
    CHECK(first.hash == second.hash);
    o.what.replay = first.decisions;
    const sim::run_result third = sim::run(o);
    CHECK(first.hash == third.hash);
    CHECK(first.decisions == third.decisions);
  }
}

TEST_CASE("different seeds take different courses") {
  const std::function<void()> body = completed_once;
  sim::run_options o;
  o.body = &body;
  o.what.strategy = sim::strategy_kind::uniform;
  std::vector<std::uint64_t> hashes;
  for (o.what.seed = 1; o.what.seed <= 20; ++o.what.seed) {
    const std::uint64_t hash = sim::run(o).hash;
    bool is_new = true;
    for (const std::uint64_t h : hashes) is_new &= h != hash;
    if (is_new) hashes.push_back(hash);
  }
  CHECK(hashes.size() > 10);
}

TEST_CASE("the trace of a seed is the same in every build") {
  const std::function<void()> body = completed_once;
  sim::run_options o;
  o.body = &body;
  o.what.strategy = sim::strategy_kind::pos;
  o.what.seed = 4;
  CHECK(sim::run(o).hash == 5752544283922311178u);
}

TEST_CASE("a failure is reported with a token that replays it, shrunk to a few decisions") {
  const sim::scenario s("toy_counter", [] {
    atomic<int> x{0, "x"};
    const auto add = [&] {
      for (int i = 0; i < 4; ++i) x.store(x.load(relaxed) + 1, relaxed);
    };
    runs a(add, "a"), b(add, "b");
    a.join(), b.join();
    sim::check(x.load(relaxed) == 8, "an increment was lost");
  });
  const sim::verdict v = sim::seeds("toy_counter");
  CHECK(v.failure == "an increment was lost");
  CHECK(v.decisions.size() <= 2);
  CHECK(has(v.report, "shrunk: --sim=toy_counter:"));
  CHECK(has(v.report, "fails with the memory order of x86-64 too"));
  const sim::verdict again = sim::replay(v.token);
  CHECK(again.failure == v.failure);
  const std::size_t at = v.report.find("shrunk: --sim=") + std::strlen("shrunk: --sim=");
  CHECK(sim::replay(v.report.substr(at, v.report.find('\n', at) - at)).failure == v.failure);
}

TEST_CASE("one seed alone, or one token, can be asked for from outside") {
  const sim::scenario s("asked for", [] { runs([] { switch_point(); }).join(); });
  setenv("COPPICE_SEED", "7", 1);
  const sim::verdict one = sim::seeds("asked for");
  unsetenv("COPPICE_SEED");
  CHECK(one.runs == 1);
  setenv("COPPICE_SIM", "another:pos:0:0:c11:7", 1);
  const sim::verdict none = sim::seeds("asked for");
  unsetenv("COPPICE_SIM");
  CHECK(none.runs == 0);
  CHECK(sim::seeds("asked for", 20).runs == 20);
  CHECK_FALSE(sim::seeds("never registered").passed());
  CHECK_FALSE(sim::replay("never registered:pos:0:0:c11:7").passed());
  CHECK_FALSE(sim::replay("rubbish").passed());
}

TEST_CASE("a scenario that depends on something else than the seed is caught by the double run") {
  static int runs_so_far;
  runs_so_far = 0;
  const std::string failure = failure_of("forgetful", [] {
    atomic<int> x;
    for (int i = 0; i < runs_so_far % 2; ++i) x.store(1, relaxed);
    ++runs_so_far;
  });
  CHECK(has(failure, "two courses"));
}

TEST_CASE("the seed decides a scenario's random numbers, the schedule does not") {
  static std::vector<unsigned> drawn;
  const std::function<void()> body = [] {
    runs other([] {
      for (int i = 0; i < 4; ++i) switch_point();
    });
    for (int i = 0; i < 4; ++i) {
      const unsigned r = sim::random(1'000);
      switch_point();
      static_cast<void>(r);
      const sim::outside_arena guard;
      drawn.push_back(r);
    }
    other.join();
  };
  drawn.clear();
  sim::run_options o;
  o.body = &body;
  o.what.seed = 3;
  for (const sim::strategy_kind k : {sim::strategy_kind::usual, sim::strategy_kind::uniform, sim::strategy_kind::pct}) {
    o.what.strategy = k;
    sim::run(o);
  }
  REQUIRE(drawn.size() == 12);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(drawn[i] == drawn[i + 4]);
    CHECK(drawn[i] == drawn[i + 8]);
  }
}

TEST_CASE("the exhaustive search ends on the correct toys and finds the faults") {
  for (const char* name : {"toy_parking", "toy_slot", "toy_timeout"}) {
    const sim::exhaustion all = sim::exhaust(name);
    MESSAGE(std::string(name) << ": " << all.runs << " runs");
    CHECK_MESSAGE(all.complete, all.failure);
  }
  for (const auto& [name, number] :
       {std::pair("toy_parking", park_without_recheck), std::pair("toy_parking", announce_after_look),
        std::pair("toy_slot", take_by_load_store), std::pair("toy_timeout", timeout_by_store)}) {
    const sim::exhaustion broken = sim::exhaust(name, number);
    MESSAGE(std::string(name) << ", fault " << number << ": run " << broken.runs << ", " << broken.failure);
    CHECK_FALSE(broken.failure.empty());
    CHECK(sim::replay(broken.token).failure == broken.failure);
  }
}

TEST_CASE("rare paths are taken now and then, and only then") {
  static unsigned rare;
  rare = 0;
  CHECK(failure_of("rare", [] { rare += buggify() ? 1 : 0; }) == "");
  CHECK(rare > 0);
  CHECK(rare < 50);
}

TEST_CASE("cas_weak and futex waits fail for no reason now and then, cas never") {
  static unsigned weak;
  weak = 0;
  CHECK(failure_of("weak", [] {
          atomic<int> x;
          int zero = 0;
          sim::check(x.cas(zero, 1, relaxed), "a strong compare-and-swap failed");
          int one = 1;
          weak += x.cas_weak(one, 2, relaxed) ? 0 : 1;
        }) == "");
  CHECK(weak > 0);
}

}  // namespace
