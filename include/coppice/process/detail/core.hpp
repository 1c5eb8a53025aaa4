// SPDX-License-Identifier: Apache-2.0
//
// core: what a public template must see of the compiled core. Everything here is opaque handles, constant tables and
// function declarations; the layouts are in src/process/slot.hpp.
//
// A handler never runs as a closure: the core calls a trampoline (a plain function made by the template) with a
// handler_frame, and the trampoline touches the user's types. So no opaque callback is ever stored in the core (C7),
// and exceptions become owned exit reasons in the module that compiled the handler (C9).
#pragma once

#include <coppice/base/time.hpp>
#include <coppice/process/exit_reason.hpp>
#include <coppice/process/message.hpp>
#include <coppice/process/pid.hpp>
#include <coppice/process/priority.hpp>
#include <coppice/process/reference.hpp>
#include <coppice/process/when_full.hpp>

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <string_view>
#include <type_traits>

namespace coppice {
class runtime;
}

namespace coppice::detail {

struct slot;        // a process: control block and state
struct node;        // a message or signal under way
struct reply_slot;  // a pooled one-shot place that a reply, a death or a timeout competes for
struct behaviour;   // how a class handles its messages: src/process/slot.hpp
struct result_place;  // where a task leaves its result: result_place.hpp

/// Thrown to unwind a process that ends. Not a std::exception; who swallows it meets it again at the next wait (PR-12).
struct unwind {};

enum class class_flag : std::uint32_t {
  none = 0,
  leaf = 1,        ///< handlers run on the caller's stack and must not wait
  trap_exit = 2,
  pinned = 4,      ///< a suspended handler resumes on its own worker only
  queued = 8,      ///< never run by a caller directly
  bounded = 16,    ///< the mailbox has a bound: see extension
  task = 32,       ///< computes one value: the state begins with a task_head
};
constexpr std::uint32_t operator|(class_flag a, class_flag b) noexcept {
  return static_cast<std::uint32_t>(a) | static_cast<std::uint32_t>(b);
}

/// A class of processes: one constant per class and module. `slot.class` points to it and may be swapped (C1).
struct class_descriptor {
  std::string_view name;
  std::uint64_t key;
  std::uint32_t state_size;
  std::uint32_t state_align;
  std::uint32_t flags;
  std::uint32_t stack_bytes;                     ///< 0: the default
  void (*destroy)(void* state) noexcept;
  void (*print)(text_sink& out, const void* state);
  void (*body)(void* state);                     ///< a process that is one function; null for behaviours
  const behaviour* handles;                      ///< a behaviour's compiled half; null for functions
  const void* table;                             ///< a behaviour's trampolines for this class
};

/// How to make a state: the core allocates the place and calls `construct(place, context)` in the new process.
struct state_maker {
  void (*construct)(void* place, void* context);
  void* context;
};

// --- spawning --------------------------------------------------------------------------------------------------------

struct spawn_request {
  const class_descriptor* cls = nullptr;
  state_maker make{};
  bool link = false;
  bool monitor = false;
  bool trap_exit = false;
  std::string_view label{};
  std::string_view name{};
  coppice::runtime* in = nullptr;
  std::span<const pid> callers{};                ///< of a task that is spawned for somebody else; empty: its parent and that one's
  result_place* result = nullptr;                ///< of a class with the flag task; null: nobody wants its result
  void (*told)(void* state, reference ref) = nullptr;  ///< tells the new process its maker's monitor, which is an alias, too
  coppice::priority level = coppice::priority::normal;
  std::uint32_t mailbox_bound = 0;
  coppice::when_full when_full = coppice::when_full::refuse;
};
struct spawned {
  pid who;
  reference ref;
};
/// Throws exit_error{system_limit} when the process limit is reached, exit_error when linking from a plain thread.
spawned spawn_core(const spawn_request& what);

// --- messages --------------------------------------------------------------------------------------------------------

/// Where the payload of `n` is built and read.
void* payload_of(node& n) noexcept;
/// A node with room for `type`; its payload is raw memory until the caller constructs it.
node* new_node(const message_descriptor& type);
/// Gives back a node whose payload was never constructed, or was destroyed.
void free_node(node* n) noexcept;

/// Constructs an M at `place`, the payload's of `n`; if that throws, `n` is given back.
template <class M, class From>
node* construct_at(node* n, void* place, From&& from) {
  if constexpr (std::is_nothrow_constructible_v<M, From&&>) {
    ::new (place) M(static_cast<From&&>(from));
  } else {
    try {
      ::new (place) M(static_cast<From&&>(from));
    } catch (...) {
      free_node(n);
      throw;
    }
  }
  return n;
}

enum class sent : std::uint8_t { yes, no_process, full };
/// Sends `n` as a plain message (info). Takes the node in any case. Throws unwind when a process that does nothing but send has
/// to end.
sent send_core(pid to, node* n);

/// One clause of a receive: takes messages of `type` for which `match` says yes (null: all).
struct receive_clause {
  std::uint64_t key;                              ///< 0: any message
  bool (*match)(void* context, void* payload);
  void (*take)(void* context, const message_descriptor& type, void* payload);
  void* context;
};
/// Waits for the first message in arrival order that a clause takes. Returns: false when the deadline passed.
/// Throws: unwind when the process has to end.
bool receive_core(std::span<const receive_clause> clauses, duration wait);

/// The timers of send_after and its kin.
/// `inside`: where the message tells the timer's reference, or null.
reference start_timer_core(pid to, std::string_view name, duration after, node* n, reference* inside);
reference start_interval_core(pid to, duration period, node* n, void (*copy)(const void* from, void* place));
/// Both return the nanoseconds that are left, or -1.
std::int64_t cancel_timer_core(reference timer) noexcept;
/// The same for who does not ask what was left.   Returns: whether it was stopped.
bool stop_timer_core(reference timer) noexcept;
std::int64_t read_timer_core(reference timer) noexcept;

// --- handlers --------------------------------------------------------------------------------------------------------

/// What a handler leaves to be done when it has returned.
enum class after : std::uint8_t {
  nothing,
  wait,         ///< `wait` ns of silence, then handle_info(timeout) (GS-90)
  wait_message, ///< the same, delivering `then` (GS-93)
  hibernate,
  go_on,        ///< handle `then` next (handle_continue, GS-98)
  stop,         ///< end with `reason`; terminate has not run yet
  stopped,      ///< end with `reason`; terminate has run (GS-64)
  failed,       ///< an exception: `reason` says which; terminate has not run yet (GS-66)
};

struct call_record;

/// One run of one handler. Lives on the stack that runs it; the caller reaches it while it waits on the same thread.
/// Of a direct call the fields of the reply and `caller` are written when the record is left: until then the record knows.
struct handler_frame {
  slot* self = nullptr;
  void* state = nullptr;
  void* request = nullptr;                       ///< the handler moves the request out before it does anything else
  const message_descriptor* type = nullptr;
  call_record* record = nullptr;                 ///< direct call: the caller's record, valid until `detach`
  after then_do = after::nothing;
  bool answer_last = false;                      ///< the caller waits for the very end of the server (GS-149)
  exit_reason reason{};
  reply_slot* reply;                             ///< where the reply goes if there is no record; null: nobody waits
  std::uint64_t reply_serial;
  union { pid caller; };                         ///< who called, if there is no record
  std::int64_t wait;                             ///< ns; set with then_do
  node* then;                                    ///< set with then_do

  handler_frame() noexcept : reply(nullptr), reply_serial(0), caller(), wait(0), then(nullptr) {}
  /// Of a message that nobody waits for an answer to.
  handler_frame(slot& s, void* its_state, void* message, const message_descriptor& its_type) noexcept
      : self(&s), state(its_state), request(message), type(&its_type), reply(nullptr), reply_serial(0), caller() {}
  /// Of a direct call.
  inline handler_frame(slot& callee, void* its_state, call_record& call) noexcept;
};

/// A trampoline: runs the user's handler on `frame`. Never throws.
using trampoline = void (*)(handler_frame& frame) noexcept;

enum class call_status : std::uint8_t {
  pending,      ///< nothing is known yet
  detached,     ///< the reply comes through the record's reply slot
  replied, noproc, timed_out, calling_self, cycle, ended, full, no_reply, bad_request, caller_ends
};

/// What is called: one constant per server class and request.
struct call_target {
  const message_descriptor* type;
  trampoline run;                                ///< null: looked up by the request's key in the class's table
  std::uint64_t class_key;                       ///< the class the caller means; another one: bad_request. 0: any
};

/// One call, on the caller's stack. A call makes one of these, and every store counts: two locked instructions wait for them.
/// So what is not initialised is written before it is read.
struct call_record {
  pid to{};
  const call_target* target = nullptr;
  void* request = nullptr;
  void* place = nullptr;                         ///< raw memory for the reply value
  duration timeout{};                            ///< infinity: none
  bool queued = false;                           ///< never on the caller's stack
  // out
  call_status status = call_status::pending;
  exit_reason reason{};                          ///< ended: why
  // while under way
  slot* caller;                                  ///< who waits; a plain thread's is made when it is needed
  reply_slot* reply;                             ///< set when detached; of several calls at once by send_call
  std::uint64_t reply_serial;                    ///< set with reply
  std::uint64_t number;                          ///< the caller's wait; set with reply
  void* on;                                      ///< of a direct call: its fiber; of a leaf's, the leaf call around it
  call_target found;                             ///< the target, if the handler had to be looked up

  call_record() noexcept {}
};

inline handler_frame::handler_frame(slot& callee, void* its_state, call_record& call) noexcept
    : self(&callee), state(its_state), request(call.request), type(call.target->type), record(&call) {}

/// Makes the reply of a direct call independent of the caller's stack: from now on it goes through a reply slot.
/// For `from`, and when the handler suspends.
void detach(handler_frame& frame);
/// Claims the place of the reply. Returns: where to construct the value, or null when nobody waits any more.
/// Must be followed by publish_reply.
void* claim_reply(reply_slot* reply, std::uint64_t serial) noexcept;
void publish_reply(reply_slot* reply, std::uint64_t serial) noexcept;
/// Answers with a failure instead of a value. Does nothing when the reply was claimed already.
void fail_reply(reply_slot* reply, std::uint64_t serial, const exit_reason& why) noexcept;
/// Instead of publish_reply, after claim_reply: the value could not be made.
void fail_claimed_reply(reply_slot* reply, std::uint64_t serial, const exit_reason& why) noexcept;

// --- where we are ----------------------------------------------------------------------------------------------------

/// The slot of the running process, or null in a plain thread.
slot* current_slot() noexcept;
/// The slot of the running process or thread: a plain thread gets a hidden one at first use.
slot& here();

}  // namespace coppice::detail
