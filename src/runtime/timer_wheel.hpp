// SPDX-License-Identifier: Apache-2.0
//
// timer_wheel: what is to happen later. A hierarchical wheel of 8 levels of 64 slots, a tick of 2^17 ns (131 µs); every
// deadline that the clock can show has a place. One wheel per worker; any thread may use any wheel.
//
// Most timers guard a call and are cancelled long before they are due, so starting one must cost next to nothing: `start`
// reads no clock, it only puts the node on the list of *fresh* ones. The next `advance` reads the clock and gives them their
// deadlines: counted from a little later than asked, never from earlier. A timer fires in the first tick that begins at or
// after its deadline, never before it.
//
// Who owns a node (its memory, and the right to start it)
//   idle      the user. `start` hands it to the wheel.
//   pending   the wheel. `cancel` that returns true hands it back to the caller, for good: it will not fire.
//   firing    the thread that called `advance`. `cancel` returns false.
//   fired     the node's own fire function, from the moment it is called: it may start the node again, reuse or free it.
// Nodes that are due together are fired one after another by one thread: a fire function must not wait for another timer.
// So after a `cancel` that returned false, nobody but the fire function may touch the node. Starting a node that is not
// idle is an error of the user. A cancel may race with firing, and with the fire function's restart of the node on the same
// wheel; it must not race with anybody else's start.
//
// Invariants (all under lock_)
//  1. `current_` is the last tick that was worked off. No armed node outside `rest_` has a tick <= current_.
//  2. A node of tick t is on the level of the highest 6-bit group in which t and current_ differ, in the slot that t's group
//     names. So all occupied slots of a level lie behind the current one, and the lowest occupied level holds what comes next.
//  3. Bit s of occupied_[l] is set if and only if slot s of level l is not empty.
//  4. A node is pending if and only if it is in a list of this wheel; `deadline` is negative (the complement of the
//     duration) while it is fresh.
//  5. The lock is held for at most `step_nodes` nodes at a time, and never while a fire function runs.
#pragma once

#include <coppice/base/detail/sync.hpp>

#include <cstddef>
#include <cstdint>

namespace coppice::internal {

namespace sync = coppice::detail::sync;

class timer_wheel;

struct timer_link {
  sync::var<timer_link*> prev;
  sync::var<timer_link*> next;
};

/// A timer. Users derive from it; `fire` gets the node back and owns it.
class timer_node : private timer_link {
 public:
  using fire_function = void (*)(timer_node& node) noexcept;

  explicit timer_node(fire_function fire) noexcept : fire_(fire) {}
  timer_node(const timer_node&) = delete;
  timer_node& operator=(const timer_node&) = delete;

  /// For whoever owns the node after a `cancel` that won: how many nanoseconds were left at `now`; 0 if it was overdue.
  std::int64_t left(std::int64_t now) const noexcept {
    const std::int64_t deadline = deadline_;
    if (deadline < 0) return ~deadline;  // never armed: all of it
    return deadline > now ? deadline - now : 0;
  }
  /// For the same: whether `left` depends on `now`.
  bool was_armed() const noexcept { return deadline_ >= 0; }

 private:
  friend class timer_wheel;
  friend class due_timers;

  enum state : std::uint32_t {
    idle,     // -> pending by start
    pending,  // -> idle by cancel, -> firing by advance
    firing,   // -> idle by due_timers, just before the fire function is called
  };

  sync::var<std::int64_t> deadline_;
  fire_function fire_;
  // Written under the wheel's lock; a canceller looks at both before it has the lock, hence atomic.
  sync::atomic<timer_wheel*> wheel_;
  sync::atomic<std::uint32_t> state_;  // a `state`
};
static_assert(sizeof(timer_node) <= 48);

/// Timers that are due, in the order of their deadlines. Private to the thread that called `advance`; empty it by `fire_all`.
class due_timers {
 public:
  due_timers() = default;
  ~due_timers() { fire_all(); }
  due_timers(const due_timers&) = delete;
  due_timers& operator=(const due_timers&) = delete;

  bool is_empty() const noexcept { return first_ == nullptr; }
  /// Calls the fire function of each. No lock is held. Returns: how many there were.
  std::size_t fire_all() noexcept;

 private:
  friend class timer_wheel;

  void append(timer_node& node) noexcept;
  static timer_node* after(timer_node& node) noexcept;
  static timer_node* merged(timer_node* early, timer_node* late) noexcept;
  static timer_node* sorted(timer_node* chain) noexcept;

  timer_node* first_ = nullptr;
  timer_node* last_ = nullptr;
  bool sorted_ = true;
};

class timer_wheel {
 public:
  using clock_function = std::int64_t (*)() noexcept;

  static constexpr int tick_shift = 17;       // a tick is 2^17 ns
  static constexpr std::int64_t due_now = 0;  // what next_deadline() says while there are fresh timers
  static constexpr std::size_t step_nodes = 256;
  static constexpr std::size_t advance_nodes = 16 * step_nodes;

  explicit timer_wheel(clock_function clock = &sync::now) noexcept;
  timer_wheel(const timer_wheel&) = delete;
  timer_wheel& operator=(const timer_wheel&) = delete;

  /// Makes an empty wheel, which may have been advanced to any time, begin anew. Nodes that were on it know it still: a late
  /// cancel finds that it does not hold them.
  void begin_anew() noexcept;

  /// Starts the idle `node`: it fires not earlier than `duration` ns from now. Reads no clock. `sync::never` is "never".
  /// Returns: true if the wheel may have to be looked at sooner than its worker thinks. The worker itself need not care;
  ///          another thread then wakes the worker if it sleeps (the wheel's lock orders that look after the worker's
  ///          announcement and its next_deadline()).
  /// Thread: any.   Cost: O(1), one lock.
  bool start(timer_node& node, std::int64_t duration) noexcept;

  /// Starts the idle `node` for an absolute time of the wheel's clock. Otherwise as `start`.
  bool start_at(timer_node& node, std::int64_t deadline) noexcept;

  /// Returns: true if the node was pending and will never fire: it is the caller's again. False: it is firing, has fired,
  ///          or was never started.
  /// Thread: any; the node may be on any wheel.   Cost: O(1), one lock.
  static bool cancel(timer_node& node) noexcept;

  /// The same if `tag` is `expected`, too. For nodes in type-stable memory that is used again: whoever starts a node sets its
  /// tag before, to something new each time; so what is pending with the expected tag is what the caller means.
  static bool cancel(timer_node& node, const sync::atomic<std::uint64_t>& tag, std::uint64_t expected) noexcept;

  /// Nanoseconds left at `now`, or -1 if the node is not pending. Thread: any.
  static std::int64_t remaining(timer_node& node, std::int64_t now) noexcept;
  static std::int64_t remaining(timer_node& node, std::int64_t now, const sync::atomic<std::uint64_t>& tag,
                                std::uint64_t expected) noexcept;

  /// Arms what is fresh and puts what is due at `now` behind `due`. At most `advance_nodes` nodes are dealt with.
  /// Returns: false if there is more to do: call it again (next_deadline() says so, too).
  /// Thread: any; the worker, or the monitor thread while the worker is stuck.
  /// Cost: one load if nothing is fresh and nothing can be due.
  bool advance(std::int64_t now, due_timers& due) noexcept;

  /// The same, and fires what is due. Returns: how many fired. Not to be called from a fire function.
  std::size_t advance(std::int64_t now) noexcept;

  /// The earliest time at which `advance` may have something to do: `due_now` if there are fresh timers, `sync::never` if there
  /// are no timers. Never too late; sometimes the beginning of a span of ticks in which the next timer lies.
  /// Thread: any.   Cost: one lock.
  std::int64_t next_deadline() noexcept;

 private:
  static constexpr int levels = 8;
  static constexpr int slots = 64;

  struct event {
    int level;  // -1: none
    int slot;
    std::uint64_t tick;  // at which the slot begins
  };

  static timer_node& node_of(timer_link* link) noexcept { return static_cast<timer_node&>(*link); }
  static bool is_empty(const timer_link& list) noexcept { return list.next.get() == &list; }
  static void make_empty(timer_link& list) noexcept;
  static void append(timer_link& list, timer_link& link) noexcept;
  static void move_all(timer_link& from, timer_link& to) noexcept;

  bool step(std::int64_t now, due_timers& due) noexcept;
  void arm(timer_node& node, std::int64_t now, due_timers& due) noexcept;
  void place_or_expire(timer_node& node, due_timers& due) noexcept;
  void place(timer_node& node, std::uint64_t tick) noexcept;
  void expire(timer_node& node, due_timers& due) noexcept;
  event find_next() const noexcept;
  void open(const event& next) noexcept;
  std::int64_t exact_next_deadline() const noexcept;
  bool sooner(std::int64_t deadline) noexcept;
  void adopt(timer_node& node) noexcept;
  bool holds(const timer_node& node) const noexcept;
  void unlink(timer_node& node) noexcept;
  void withdraw(timer_node& node) noexcept;

  alignas(64) sync::spinlock lock_;
  // What next_deadline() would say, or earlier. Written under the lock; read without it by `advance` alone, where an old
  // value only delays the work to the next call.
  sync::atomic<std::int64_t> hint_;
  timer_link fresh_;  // started and not armed yet, oldest first
  timer_link rest_;   // what is left of the slot that is being worked off
  sync::var<std::uint64_t> current_;
  sync::var<std::uint64_t> occupied_[levels];
  timer_link slots_[levels * slots];
  const clock_function clock_;
};

}  // namespace coppice::internal
