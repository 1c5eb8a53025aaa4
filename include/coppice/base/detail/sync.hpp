// SPDX-License-Identifier: Apache-2.0
//
// sync: the only door to atomics, futexes, threads and the clock.
//
// Everything in Coppice that two threads may touch goes through this file: `atomic<T>` for cells that are raced on,
// `var<T>` for plain data that an ownership rule protects. The `sim` preset puts another file of the same name in front
// of this one, in which each operation is a step of a seeded scheduler with weak memory, a race check and virtual time
// (docs/internals/simulation.md). Here every function is one compiler builtin or one system call and nothing else.
//
// The memory order is a type, so that `store(x, acquire)` does not compile and unoptimised builds keep the order.
#pragma once

#include <cstdint>
#include <type_traits>

namespace coppice::detail::sync {

struct relaxed_t { static constexpr int value = __ATOMIC_RELAXED; };
struct acquire_t { static constexpr int value = __ATOMIC_ACQUIRE; };
struct release_t { static constexpr int value = __ATOMIC_RELEASE; };
struct acq_rel_t { static constexpr int value = __ATOMIC_ACQ_REL; };
struct seq_cst_t { static constexpr int value = __ATOMIC_SEQ_CST; };
inline constexpr relaxed_t relaxed{};
inline constexpr acquire_t acquire{};
inline constexpr release_t release{};
inline constexpr acq_rel_t acq_rel{};
inline constexpr seq_cst_t seq_cst{};

template <class O>
concept load_order = std::is_same_v<O, relaxed_t> || std::is_same_v<O, acquire_t> || std::is_same_v<O, seq_cst_t>;
template <class O>
concept store_order = std::is_same_v<O, relaxed_t> || std::is_same_v<O, release_t> || std::is_same_v<O, seq_cst_t>;
template <class O>
concept any_order = load_order<O> || store_order<O> || std::is_same_v<O, acq_rel_t>;

/// The order of the load that a failed compare-and-swap of order `O` is.
template <any_order O>
inline constexpr int failure_order = std::is_same_v<O, acq_rel_t>   ? __ATOMIC_ACQUIRE
                                     : std::is_same_v<O, release_t> ? __ATOMIC_RELAXED
                                                                    : O::value;

/// A cell that several threads may touch at once. `T` is an integer, an enumeration or a pointer.
template <class T>
class atomic {
 public:
  constexpr atomic() noexcept : value_{} {}
  constexpr explicit atomic(T value, const char* = nullptr) noexcept : value_(value) {}
  atomic(const atomic&) = delete;
  atomic& operator=(const atomic&) = delete;

  template <load_order O> T load(O) const noexcept { return __atomic_load_n(&value_, O::value); }
  template <store_order O> void store(T v, O) noexcept { __atomic_store_n(&value_, v, O::value); }
  template <any_order O> T exchange(T v, O) noexcept { return __atomic_exchange_n(&value_, v, O::value); }
  template <any_order O> T fetch_add(T v, O) noexcept { return __atomic_fetch_add(&value_, v, O::value); }
  template <any_order O> T fetch_sub(T v, O) noexcept { return __atomic_fetch_sub(&value_, v, O::value); }
  template <any_order O> T fetch_or(T v, O) noexcept { return __atomic_fetch_or(&value_, v, O::value); }
  template <any_order O> T fetch_and(T v, O) noexcept { return __atomic_fetch_and(&value_, v, O::value); }
  template <any_order O> bool cas(T& expected, T desired, O) noexcept {
    return __atomic_compare_exchange_n(&value_, &expected, desired, false, O::value, failure_order<O>);
  }
  template <any_order O> bool cas_weak(T& expected, T desired, O) noexcept {
    return __atomic_compare_exchange_n(&value_, &expected, desired, true, O::value, failure_order<O>);
  }
  /// The address a futex sleeps on. Only for 32-bit cells, only for the functions below.
  T* address() noexcept { return &value_; }

 private:
  T value_;
};

/// Plain data that an ownership rule protects. In production it is the bare value; the simulation reports a race on it.
template <class T>
class var {
 public:
  constexpr var() noexcept(std::is_nothrow_default_constructible_v<T>) : value_{} {}
  constexpr var(T value, const char* = nullptr) noexcept : value_(value) {}
  var(const var&) = delete;
  var& operator=(const var&) = delete;
  constexpr operator T() const noexcept { return value_; }
  constexpr T get() const noexcept { return value_; }
  constexpr var& operator=(T v) noexcept { value_ = v; return *this; }
  constexpr T operator->() const noexcept requires std::is_pointer_v<T> { return value_; }

 private:
  T value_;
};

/// The same, where others may look without owning it: for statistics. What they see may be outdated a moment later.
template <class T>
class shown_var {
 public:
  constexpr shown_var() noexcept : value_{} {}
  constexpr shown_var(T value, const char* = nullptr) noexcept : value_(value) {}
  shown_var(const shown_var&) = delete;
  shown_var& operator=(const shown_var&) = delete;
  operator T() const noexcept { return peek(); }
  T get() const noexcept { return peek(); }
  shown_var& operator=(T v) noexcept { __atomic_store_n(&value_, v, __ATOMIC_RELAXED); return *this; }
  T operator->() const noexcept requires std::is_pointer_v<T> { return peek(); }
  /// For who does not own it.
  T peek() const noexcept { return __atomic_load_n(&value_, __ATOMIC_RELAXED); }

 private:
  T value_;
};

using futex_word = atomic<std::uint32_t>;

/// A cell of statistics, or what they are told by: written by one thread at a time unless it says otherwise, read by any, perhaps a little
/// late. Nothing may depend on it: it orders nothing, and it is no step of the simulation.
template <class T>
class tally {
 public:
  constexpr tally() noexcept : value_{} {}
  constexpr tally(T value) noexcept : value_(value) {}
  tally(const tally&) = delete;
  tally& operator=(const tally&) = delete;

  T get() const noexcept { return __atomic_load_n(&value_, __ATOMIC_RELAXED); }
  void set(T v) noexcept { __atomic_store_n(&value_, v, __ATOMIC_RELAXED); }
  T add(T n) noexcept {
    const T now = static_cast<T>(value_ + n);
    set(now);
    return now;
  }
  /// From many threads.
  void add_shared(T n) noexcept { __atomic_fetch_add(&value_, n, __ATOMIC_RELAXED); }
  /// From many threads: puts `v` where nothing was.   Returns: what is there now.
  T claim(T v) noexcept {
    T seen{};
    return __atomic_compare_exchange_n(&value_, &seen, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED) ? v : seen;
  }

 private:
  T value_;
};

/// Nanoseconds of the monotonic clock. Cost: about 20 ns.
std::int64_t now() noexcept;
inline constexpr std::int64_t never = INT64_MAX;

/// Sleeps while `word` is `expected`, at most until `deadline` (now()'s clock). May return early for no reason.
/// Returns: false if the deadline had passed.
bool futex_wait(futex_word& word, std::uint32_t expected, std::int64_t deadline = never) noexcept;
/// The same on a 64-bit cell: sleeps while the cell is `expected`; a change must show in the lower half to wake for sure.
bool futex_wait(atomic<std::uint64_t>& word, std::uint64_t expected, std::int64_t deadline = never) noexcept;
void futex_wake(atomic<std::uint64_t>* word, int count) noexcept;
/// Wakes at most `count` sleepers. Touches only the *address* of `word`: it may be gone already.
void futex_wake(futex_word* word, int count) noexcept;

/// How many cores this program may use; at least 1.
unsigned cores() noexcept;

inline void relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}
inline void fence(seq_cst_t) noexcept { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
/// A pair: a light fence on the path that is taken often and a heavy one on the path that is taken rarely order as two
/// seq_cst fences do. The light one only keeps the compiler from reordering; the heavy one makes every running thread of the
/// program pass a barrier.   Cost: nothing, and 0.3 to 9 µs.
inline void light_fence() noexcept { asm volatile("" ::: "memory"); }
/// Returns: false where the system has no such call: then nothing may be concluded.
bool heavy_fence() noexcept;
/// Whether it has: asked once, so that a light fence can be a full one where it has not.
bool has_heavy_fence() noexcept;
/// A step of its own in the simulation: leaving a fiber is visible to other threads.
inline void switch_point() noexcept {}
/// True in the simulation when the planted fault `n` is switched on.
constexpr bool fault(int) noexcept { return false; }
/// True now and then in the simulation: take the rare path.
constexpr bool buggify() noexcept { return false; }

/// The calling thread's block (what the runtime keeps for each thread), or null. The compiler must not keep a thread-local's
/// address over a switch that changes threads: so it is read by an instruction of our own or, elsewhere, out of line.
/// Cost: a load; about 1 ns out of line.
#if defined(__x86_64__) && defined(__ELF__) && !defined(__ILP32__)
inline void* this_thread_block() noexcept {
  void* block;
  asm volatile("movq coppice_this_thread_block@gottpoff(%%rip), %0\n\tmovq %%fs:(%0), %0" : "=r"(block));
  return block;
}
#else
[[gnu::noinline]] void* this_thread_block() noexcept;
#endif
/// Sets the block; `at_exit(block)` runs when the thread ends.
void set_this_thread_block(void* block, void (*at_exit)(void*)) noexcept;

/// An OS thread. Starts at construction; must be joined.
class thread {
 public:
  thread() noexcept = default;
  thread(void (*body)(void*), void* argument, const char* name);
  thread(thread&& other) noexcept : handle_(other.handle_), joinable_(other.joinable_) { other.joinable_ = false; }
  thread& operator=(thread&& other) noexcept;
  ~thread();
  bool joinable() const noexcept { return joinable_; }
  void join() noexcept;
  /// Gives the thread up: it goes on by itself. For one that will not end.
  void leave() noexcept;

 private:
  std::uintptr_t handle_ = 0;
  bool joinable_ = false;
};

/// Mutual exclusion for a few instructions: never held over a switch, a system call or a user's function.
class spinlock {
 public:
  void lock() noexcept {
    while (locked_.exchange(1, acquire) != 0)
      for (int i = 0; locked_.load(relaxed) != 0; ++i) spin(i);
  }
  bool try_lock() noexcept { return locked_.load(relaxed) == 0 && locked_.exchange(1, acquire) == 0; }
  void unlock() noexcept { locked_.store(0, release); }

 private:
  static void spin(int round) noexcept;  // pauses, then yields the core: two cores may hold more threads than that
  atomic<std::uint32_t> locked_;
};

class lock_guard {
 public:
  explicit lock_guard(spinlock& lock) noexcept : lock_(lock) { lock_.lock(); }
  ~lock_guard() { lock_.unlock(); }
  lock_guard(const lock_guard&) = delete;
  lock_guard& operator=(const lock_guard&) = delete;

 private:
  spinlock& lock_;
};

}  // namespace coppice::detail::sync
