// SPDX-License-Identifier: Apache-2.0
//
// slot: one process, as the core sees it. The control block of a pid, its mailbox word, its wait word, and behind it, in
// the same block of memory, the user's state. Design note: docs/internals/mailbox.md.
//
// The mailbox word:
//     0        idle: nobody owns the process, inbox and fifo are empty, no fiber, in no queue
//     1        owned, inbox empty
//     node*    owned, the inbox is a chain, newest first
//   0 -> 1 by whoever claims it; 1 -> node*, node* -> node* by whoever sends; node* -> 1 by the owner who drains;
//   1 -> 0 by the owner who releases.
//
// The wait word: {wait number : 61, state : 3}. The number is never used twice in a slot, so a late waker finds another.
//     done     not waiting, or the wait is over
//     armed    the owner is about to leave its stack; wakers only mark `done`
//     signals  left; wakes on wake(number) and on signals, not on messages
//     any      left; wakes on wake(number) and on anything that arrives
//   armed -> signals|any by the context that was switched to (the commit), and only after `fiber` is set;
//   armed|signals|any -> done by the one who wins the exchange; a winner of signals|any schedules the process.
//
// Invariants (asserted in debug builds, checked at each step by the simulation):
//   1. word == 0: inbox and fifo are empty, no fiber, in no queue. So a direct call cannot overtake a queued message.
//   2. One owner while word != 0; only the owner touches fifo, fiber, ext, state and class.
//   3. A process is queued only by who turned 0 -> 1, by its owner giving up, or by the winner of its wait word.
//   4. A fiber is resumed only after its context is saved: the commit is made by the context switched to.
//   5. After a successful commit the committer touches neither the fiber nor the process again.
//   6. `fiber` is set only while suspended; it is cleared before the resume, and when a commit failed.
//   7. A slot is type-stable: its block is never anything else, and never given back, while the program lives.
#pragma once

#include <coppice/base/detail/sync.hpp>
#include <coppice/process/detail/core.hpp>

#include "process/relation_set.hpp"
#include "runtime/fiber.hpp"
#include "runtime/scheduler.hpp"
#include "runtime/timer_wheel.hpp"

#include <memory>
#include <new>
#include <string>
#include <vector>

namespace coppice::detail {

// --- nodes -----------------------------------------------------------------------------------------------------------

enum class node_kind : std::uint8_t {
  // messages: wait in the fifo until the process takes them
  info, cast, call, down, exited, response, tick,
  system,                                         // a message that goes before the others (GS-X5)
  // signals: act as soon as the owner drains the inbox
  exit, link, unlink, monitor, demonitor, monitor_fired, link_exited, alias_message, query, first_signal = exit
};
constexpr bool is_signal(node_kind k) noexcept { return k >= node_kind::first_signal; }

using handler = trampoline;

/// A message or signal under way. Sizes 64, 128, 256, 512 from the block cache, larger ones from the heap.
struct node {
  node* next = nullptr;                           // inbox: the next older one; fifo: the next newer one, the newest's the oldest
  sync::var<std::uint64_t> serial;                // the incarnation it is meant for; the consumer compares (PR-1)
  const message_descriptor* type = nullptr;       // null for signals
  handler run = nullptr;                          // the trampoline of a typed send; null: looked up by key
  node_kind kind = node_kind::info;
  std::uint8_t block = 0;                         // where its memory came from
  std::uint16_t offset = 0;                       // from the node to its payload
  bool counted = false;                           // it counts for the bound of the mailbox it is in
  std::uint8_t extra = 0;                         // belongs to the kind
  bool urgent = false;                            // it took the priority lane
};
static_assert(sizeof(node) == 40);

/// What stands between the node and the payload of a call.
struct call_header {
  reply_slot* reply;
  std::uint64_t reply_serial;
  std::int64_t deadline;                          // sync::now()'s clock; sync::never
  pid caller;
  void (*unanswered)(node& request, const exit_reason& why) noexcept;  // null: `reply` is failed
  std::uint64_t class_key;                        // the class the caller means; 0: any
};

// --- signals' payloads (behind the node, destroyed by destroy_signal) ------------------------------------------------

struct exit_payload { pid from; exit_reason reason; };                       // exit, link_exited
struct link_payload { pid from; std::uint64_t id; pid to; };                 // link, unlink
struct monitor_payload { pid from; std::uint64_t ref; pid to; };             // monitor
struct demonitor_payload { std::uint64_t ref; };
struct fired_payload { std::uint64_t ref; pid who; exit_reason reason; };    // monitor_fired
/// Asks the owner to run `answer(target, context)` between two messages; null target: it is dead. Completes `reply`.
struct query_payload {
  void (*answer)(slot* target, void* context);
  void* context;
  reply_slot* reply;
  std::uint64_t reply_serial;
};

// --- the extension: what most processes never need -------------------------------------------------------------------

struct link_entry { pid who; std::uint64_t id; };
struct watch_entry { std::uint64_t ref; pid who; std::unique_ptr<const std::string> name; };  // monitors held: who is watched; by which name, if by one
struct watcher_entry { std::uint64_t ref; pid who; };                                         // monitors on us
inline std::uint64_t relation_key(const link_entry& l) noexcept { return l.who.serial(); }
inline std::uint64_t relation_key(const watch_entry& w) noexcept { return w.ref; }
inline std::uint64_t relation_key(const watcher_entry& w) noexcept { return w.ref; }
struct alias_entry { std::uint64_t ref; bool once; bool with_monitor; bool urgent = false; };
struct open_reply { reply_slot* slot; std::uint64_t serial; };
/// A behaviour's own extension (a server's timers, sys state, …), made and destroyed by the behaviour.
struct behaviour_data {
  virtual ~behaviour_data() = default;
  /// The body of a process is over, its stack unwound, and a behaviour was asked to go on in its place (enter_loop).
  /// Returns: whether it did; then the process has not ended, or the behaviour has ended it.
  virtual bool take_over(slot&) noexcept { return false; }
};

/// A name that this process holds in the local table; `global`: under the prefix of global names.
struct held_name {
  std::string text;
  bool global = false;
  std::uint16_t home = 0;                     // the runtime in whose table it stands: a plain thread may use several
};

/// What a process holds elsewhere, in a registry for instance, and gives back when it ends, together with its names.
struct tenure {
  void (*end)(void* context, slot& holder, const exit_reason& why) noexcept;
  void* context;
};

struct dictionary_entry {
  std::uint64_t key;
  void* value;
  void (*destroy)(void*) noexcept;
};

/// Who started a process, and who started that one: nearest first. Immutable and counted: all children of one process
/// share it. Bounded, so that a chain of a million processes keeps nothing of its beginning (OL-55).
struct lineage {
  static constexpr unsigned longest = 8;
  sync::atomic<std::uint32_t> holders{1};
  unsigned count = 0;
  unsigned callers = 0;                       // how many of them, from the nearest on, a task counts as its callers (EX-17)
  pid who[longest];
};

/// What few of those have that have an extension: a child of a supervisor needs nothing of it.
struct belongings {
  std::vector<alias_entry> aliases;
  std::vector<held_name> names;
  std::vector<tenure> tenures;
  std::vector<open_reply> open_replies;       // `from`s that outlived their handler; swept when the vector would grow
  std::vector<dictionary_entry> dictionary;
  std::vector<pid> tasks;                     // processes linked to us by their result_place; the dead are swept when it would grow
  std::vector<pid> callers;
  std::string label;
};

class extension {
 public:
  relation_set<link_entry> links;
  relation_set<watcher_entry> watchers;
  pid parent{};                               // GS-5: whose EXIT ends a trapping server
  lineage* origin = nullptr;                  // who made us, and who made them
  lineage* own = nullptr;                     // what our children get; made when the first one is
  exit_reason pending;                        // why we have to end, when flag exiting is set
  behaviour_data* data = nullptr;
  std::uint64_t work = 0;                     // reductions: see account
  std::uint64_t fifo_changes = 0;             // not at its end: who scans the fifo begins anew
  node* lane_last = nullptr;                  // of the messages in the fifo that took the priority lane
  relation_set<watch_entry> watches;
  std::vector<std::uint64_t> timers;          // references of those it started for itself: see process_timer.hpp
  std::uint32_t suspend_count = 0;            // PR-90

  /// To look at: empty ones if there are none.
  const belongings& has() const noexcept { return rest_ != nullptr ? *rest_ : nothing.value; }
  /// To change what is there; null if nothing is.
  belongings* if_any() noexcept { return rest_.get(); }
  /// To add to; made at first use.
  belongings& gets() {
    if (rest_ == nullptr) rest_ = std::make_unique<belongings>();
    return *rest_;
  }
  /// With all that hangs from it but the data of a behaviour.
  std::size_t bytes() const noexcept;

  static void* operator new(std::size_t bytes);        // a block of the pools
  static void operator delete(void* block) noexcept;

  /// Makes the empty ones: before anything else of the program, since processes may live before main, and never destroyed.
  static void make_nothing() noexcept { ::new (&nothing.value) belongings; }

 private:
  union empty_belongings {
    constexpr empty_belongings() noexcept : unmade() {}
    ~empty_belongings() {}
    char unmade;
    belongings value;
  };
  static empty_belongings nothing;
  std::unique_ptr<belongings> rest_;
};

/// The slot's pointer to its extension. Most processes need nothing of it but to know who made them: then the pointer,
/// with its lowest bit set, is their lineage, and reads as null.
class extension_cell {
 public:
  extension* get() const noexcept {
    const std::uintptr_t raw = raw_;
    return (raw & 1) == 0 ? reinterpret_cast<extension*>(raw) : nullptr;
  }
  operator extension*() const noexcept { return get(); }
  extension* operator->() const noexcept { return get(); }
  extension_cell& operator=(extension* e) noexcept {
    raw_ = reinterpret_cast<std::uintptr_t>(e);
    return *this;
  }
  lineage* origin_only() const noexcept {
    const std::uintptr_t raw = raw_;
    return (raw & 1) != 0 ? reinterpret_cast<lineage*>(raw & ~std::uintptr_t{1}) : nullptr;
  }
  void set_origin_only(lineage* l) noexcept { raw_ = reinterpret_cast<std::uintptr_t>(l) | 1; }

 private:
  sync::var<std::uintptr_t> raw_;
};

// --- the slot --------------------------------------------------------------------------------------------------------

enum slot_flag : std::uint32_t {
  trapping = 1,          // exit signals become messages
  leaf = 2,              // as its class; copied here so that a call touches one line less
  careful = 4,           // calls take the general path: suspended, frozen, watched, idle timeout armed; queued, pinned
  doomed = 8,            // must end: ext->pending tells why; thrown at the next wait
  untrappable = 16,      // doomed by the kill signal: terminate does not run
  ending = 32,           // the end sequence runs: its calls fail at once
  boxed = 64,            // the state is on the heap; its inline place holds the pointer (C1)
  thread_proxy = 128,    // stands for a plain thread: scheduled by waking the thread
  started = 256,         // the state is constructed
  in_leaf = 512,         // a leaf handler runs: a wait is an error
  frozen = 1024,         // suspended from outside (PR-90): takes signals, handles nothing
  began = 4096,          // its body runs
  leaving = 2048,        // called exit(reason) on itself: ext->pending; terminate runs (GS-67)
  lane_open = 16384,     // EXIT, DOWN and what priority aliases bring go to the front (PR-60)
  overdue = 8192,        // had to end, and went on sending for a whole budget: see yield_if_spent
};

struct slot : internal::runnable {             // {next}: run-queue link
  sync::atomic<std::uintptr_t> word{0, "word"};
  sync::atomic<std::uint64_t> wait{0, "wait"};
  sync::var<node*> fifo{nullptr, "fifo"};      // the newest; its next is the oldest: a ring
  sync::var<internal::fiber*> fiber{nullptr, "fiber"};
  sync::atomic<std::uint64_t> serial{0, "serial"};  // of the live incarnation; 0: none
  sync::shown_var<const class_descriptor*> cls{nullptr, "class"};
  extension_cell ext;
  // second line
  sync::atomic<std::uint32_t> flags{0, "flags"};    // written by the owner; `doomed` is also read by alive()
  sync::atomic<std::uint32_t> length;          // of the fifo; published for whoever asks from outside
  sync::atomic<std::uint32_t> counted;         // messages under way to a bounded process; never reset: see mailbox.cpp
  sync::atomic<std::uint32_t> bound;           // of the mailbox; 0: none (GS-X2)
  sync::atomic<slot*> calling;                 // whom it waits for in a call: the cycle check reads it (GS-X3)
  sync::atomic<const message_descriptor*> doing;  // what it is handling (GS-X4)
  sync::atomic<std::int64_t> since;            // when that began, by the worker's last look at the clock
  sync::atomic<std::uint16_t> home;            // its runtime, by number; who has a stale pid may look, too
  sync::tally<std::uint16_t> handled;          // messages, modulo 65,536: see class_counts.hpp
  std::uint8_t size_class = 0;
  std::uint8_t placement = 0;                  // 0: any worker; 1 to 64: that worker alone; else a priority, see below
  sync::atomic<std::uint8_t> timed;            // timers are addressed to it: whoever starts one says so
};
static_assert(sizeof(slot) == 112);

inline constexpr std::uint8_t placed_low = 254;    // slot::placement of a process with another priority than normal
inline constexpr std::uint8_t placed_high = 255;

/// slot::bound: the number in its lower bits, the policy in the upper two.
inline constexpr std::uint32_t bound_mask = (std::uint32_t{1} << 30) - 1;
constexpr std::uint32_t bound_word(std::uint32_t most, when_full policy) noexcept {
  return most == 0 ? 0 : (most > bound_mask ? bound_mask : most) | static_cast<std::uint32_t>(policy) << 30;
}
constexpr when_full policy_of(std::uint32_t bound) noexcept { return static_cast<when_full>(bound >> 30); }

/// Bytes of state that fit behind the control block.
inline std::size_t room_in(const slot& s) noexcept { return internal::slot_arena::sizes[s.size_class] - sizeof(slot); }

inline bool has(const slot& s, slot_flag f) noexcept { return (s.flags.load(sync::relaxed) & f) != 0; }
inline void set(slot& s, slot_flag f) noexcept { s.flags.store(s.flags.load(sync::relaxed) | f, sync::release); }
inline void clear(slot& s, slot_flag f) noexcept { s.flags.store(s.flags.load(sync::relaxed) & ~std::uint32_t{f}, sync::release); }

/// The user's state. Every use goes through here (C1).
inline void* state_of(slot& s) noexcept {
  void* place = reinterpret_cast<char*>(&s) + sizeof(slot);
  return has(s, boxed) ? *static_cast<void**>(place) : place;
}
inline pid pid_of(const slot& s) noexcept {
  return pid::of(const_cast<slot*>(&s), s.serial.load(sync::relaxed));
}
/// The extension, made at first use. Owner only.
extension& ext_of(slot& s);

/// Who made `s`, nearest first. Owner only.
std::vector<pid> ancestors_of(const slot& s);

/// The compiled half of a behaviour.
struct behaviour {
  std::string_view name;                                // gen_server, …
  /// Handles one message on the process's own fiber. Takes the node. Never throws. May end the process.
  void (*handle)(slot& self, node* message) noexcept;
  /// Handles messages from the front of the fifo, which holds some, as long as they are of the simplest kind, up to `most`; counts
  /// each of them. Returns: how many; none: the next one is for `handle`. Null: the behaviour knows no simple ones.
  int (*handle_several)(slot& self, int most) noexcept;
  /// Does what the handler of a direct call left to do (frame.then_do). Same rules.
  void (*finish)(slot& self, handler_frame& frame) noexcept;
  /// The trampoline for a request that came without one: by key in the class's table. Null: not in its protocol.
  trampoline (*find)(const class_descriptor& cls, node_kind kind, std::uint64_t key) noexcept;
  /// The process is about to end by an exit signal: nothing of the user runs. For reports.
  void (*ended)(slot& self, const exit_reason& why);
};

// --- reply slots -----------------------------------------------------------------------------------------------------

/// A one-shot place for a reply. Pooled and type-stable. state = {serial : 62, phase : 2}.
///   free -> open by take; open -> writing by the one claimer (reply, death); writing -> done by the same;
///   open -> free by the waiter who gives up; done -> free by the waiter who has seen it. Leaving `open` or `done` for
///   `free` raises the serial.
struct reply_slot {
  enum phase : std::uint64_t { free = 0, open = 1, writing = 2, done = 3 };
  sync::atomic<std::uint64_t> state{0, "reply"};
  sync::var<void*> place;                     // where the value goes; the waiter's
  sync::var<slot*> waiter{nullptr, "waiter"};
  sync::var<std::uint64_t> wait_number{0, "wait number"};
  exit_reason failure;                        // when `failed`
  sync::var<bool> failed;
  reply_slot* next = nullptr;
};

}  // namespace coppice::detail
