// SPDX-License-Identifier: Apache-2.0
//
// sync, simulated: the twin of the file of the same name under the library's include folder, with the same interface.
//
// The `sim` preset puts this one in front. Every operation calls the engine (src/sim/engine.hpp), which stops the calling
// simulated thread before it, lets the seed's strategy choose who goes on, and gives loads any value the C++ memory model
// allows. Sizes and layouts are those of the real types: what the engine knows of a cell it keeps beside, by address.
// Outside of a run (static initialisation, a test's own code) the operations act on the bare value.
//
// A change here or there is a change in both. The idea and its limits: docs/internals/simulation.md.
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

/// The engine's side of the operations: one function for each, for cells of any size.
namespace simulated {

enum class change : unsigned char { exchange, add, subtract, bit_or, bit_and };

void cell_constructed(void* where, unsigned size, const char* name) noexcept;
void cell_destroyed(void* where) noexcept;
std::uint64_t load(const void* where, unsigned size, int order) noexcept;
void store(void* where, unsigned size, std::uint64_t value, int order) noexcept;
std::uint64_t modify(void* where, unsigned size, change how, std::uint64_t operand, int order) noexcept;
bool compare_and_swap(void* where, unsigned size, std::uint64_t& expected, std::uint64_t desired, int order,
                      int order_of_failure, bool weak) noexcept;

void var_constructed(const void* where, const char* name) noexcept;
void var_destroyed(const void* where) noexcept;
void var_read(const void* where) noexcept;
void var_written(const void* where) noexcept;

}  // namespace simulated

/// A cell that several threads may touch at once. `T` is an integer, an enumeration or a pointer.
template <class T>
class atomic {
 public:
  constexpr atomic() noexcept : atomic(T{}) {}
  constexpr explicit atomic(T value, const char* name = nullptr) noexcept : value_(value) {
    if (!std::is_constant_evaluated()) simulated::cell_constructed(&value_, sizeof(T), name);
  }
  constexpr ~atomic() {
    if (!std::is_constant_evaluated()) simulated::cell_destroyed(&value_);
  }
  atomic(const atomic&) = delete;
  atomic& operator=(const atomic&) = delete;

  template <load_order O> T load(O) const noexcept { return from(simulated::load(&value_, sizeof(T), O::value)); }
  template <store_order O> void store(T v, O) noexcept { simulated::store(&value_, sizeof(T), bits(v), O::value); }
  template <any_order O> T exchange(T v, O) noexcept { return modify(simulated::change::exchange, v, O::value); }
  template <any_order O> T fetch_add(T v, O) noexcept { return modify(simulated::change::add, v, O::value); }
  template <any_order O> T fetch_sub(T v, O) noexcept { return modify(simulated::change::subtract, v, O::value); }
  template <any_order O> T fetch_or(T v, O) noexcept { return modify(simulated::change::bit_or, v, O::value); }
  template <any_order O> T fetch_and(T v, O) noexcept { return modify(simulated::change::bit_and, v, O::value); }
  template <any_order O> bool cas(T& expected, T desired, O) noexcept {
    return compare_and_swap(expected, desired, O::value, failure_order<O>, false);
  }
  template <any_order O> bool cas_weak(T& expected, T desired, O) noexcept {
    return compare_and_swap(expected, desired, O::value, failure_order<O>, true);
  }
  /// The address a futex sleeps on. Only for 32-bit cells, only for the functions below.
  T* address() noexcept { return &value_; }

 private:
  static_assert(sizeof(T) <= sizeof(std::uint64_t) && std::is_trivially_copyable_v<T>);

  static std::uint64_t bits(T v) noexcept {
    std::uint64_t b = 0;
    __builtin_memcpy(&b, &v, sizeof(T));  // little-endian: the low bytes
    return b;
  }
  static T from(std::uint64_t b) noexcept {
    T v;
    __builtin_memcpy(&v, &b, sizeof(T));
    return v;
  }
  T modify(simulated::change how, T operand, int order) noexcept {
    return from(simulated::modify(&value_, sizeof(T), how, bits(operand), order));
  }
  bool compare_and_swap(T& expected, T desired, int order, int order_of_failure, bool weak) noexcept {
    std::uint64_t e = bits(expected);
    const bool done = simulated::compare_and_swap(&value_, sizeof(T), e, bits(desired), order, order_of_failure, weak);
    expected = from(e);
    return done;
  }

  T value_;
};

/// Plain data that an ownership rule protects. In production it is the bare value; the simulation reports a race on it.
template <class T>
class var {
 public:
  constexpr var() noexcept(std::is_nothrow_default_constructible_v<T>) : var(T{}) {}
  constexpr var(T value, const char* name = nullptr) noexcept : value_(value) {
    if (!std::is_constant_evaluated()) simulated::var_constructed(&value_, name);
  }
  constexpr ~var() {
    if (!std::is_constant_evaluated()) simulated::var_destroyed(&value_);
  }
  var(const var&) = delete;
  var& operator=(const var&) = delete;
  constexpr operator T() const noexcept { return get(); }
  constexpr T get() const noexcept {
    if (!std::is_constant_evaluated()) simulated::var_read(&value_);
    return value_;
  }
  constexpr var& operator=(T v) noexcept {
    if (!std::is_constant_evaluated()) simulated::var_written(&value_);
    value_ = v;
    return *this;
  }
  constexpr T operator->() const noexcept requires std::is_pointer_v<T> { return get(); }

 protected:
  T value_;
};

/// The same, where others may look without owning it.
template <class T>
class shown_var : public var<T> {
 public:
  using var<T>::var;
  constexpr shown_var& operator=(T v) noexcept {
    var<T>::operator=(v);
    return *this;
  }
  constexpr T peek() const noexcept { return this->value_; }
};

using futex_word = atomic<std::uint32_t>;

/// Statistics are no steps: one simulated thread runs at a time, and nothing depends on them.
template <class T>
class tally {
 public:
  constexpr tally() noexcept : value_{} {}
  constexpr tally(T value) noexcept : value_(value) {}
  tally(const tally&) = delete;
  tally& operator=(const tally&) = delete;

  T get() const noexcept { return value_; }
  void set(T v) noexcept { value_ = v; }
  T add(T n) noexcept { return value_ = static_cast<T>(value_ + n); }
  void add_shared(T n) noexcept { add(n); }
  T claim(T v) noexcept {
    if (value_ == T{}) value_ = v;
    return value_;
  }

 private:
  T value_;
};

/// Nanoseconds of the virtual clock.
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

/// How many cores this program may use: two here.
unsigned cores() noexcept;

/// The thread lets others go first.
void relax() noexcept;
void fence(seq_cst_t) noexcept;
/// The pair that is cheap on one side; here both are seq_cst fences.
inline void light_fence() noexcept { fence(seq_cst); }
inline bool heavy_fence() noexcept {
  fence(seq_cst);
  return true;
}
inline bool has_heavy_fence() noexcept { return true; }
/// A step of its own: leaving a fiber is visible to other threads.
void switch_point() noexcept;
/// True when the planted fault `n` is switched on in this run.
bool fault(int n) noexcept;
/// True now and then: take the rare path.
bool buggify() noexcept;

/// The calling simulated thread's block (what the runtime keeps for each thread), or null.
[[gnu::noinline]] void* this_thread_block() noexcept;
/// Sets the block; `at_exit(block)` runs when the thread ends.
void set_this_thread_block(void* block, void (*at_exit)(void*)) noexcept;

/// A simulated thread. Starts at construction; must be joined.
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
  static void spin(int round) noexcept;
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
