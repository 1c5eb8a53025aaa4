// SPDX-License-Identifier: Apache-2.0
//
// server_data: what a server needs only if it uses it: timeouts under way, named timers, being suspended, and everything
// that sys switches on. Made at first use, destroyed with the process. Touched by the process itself only.
//
// Invariants:
//   1. At most one idle timeout is armed; its tick carries `idle.token`, so that one which was cancelled while it was on its
//      way is recognised and dropped (GS-95).
//   2. `held` is not empty only while `suspended`.
//   3. The slot's flag `careful` is set while anything here must see every message: see needs_care.
#pragma once

#include <coppice/base/log_sink.hpp>
#include <coppice/otp/detail/gen.hpp>
#include <coppice/otp/sys.hpp>

#include "process/mailbox.hpp"
#include "process/slot.hpp"

#include <deque>
#include <string>
#include <utility>
#include <vector>

namespace coppice::internal {

/// What a tick node carries, and what is to be done when it is handled.
struct tick_payload {
  enum what : std::uint8_t { idle, hibernate, named, machine_queue, machine_timeout } kind;
  std::uint64_t token = 0;
};

struct idle_timeout {
  enum state : std::uint8_t { none, plain, message } armed = none;
  std::uint64_t token = 0;            // of the last one; a new one for each
  std::uint64_t timer = 0;            // for cancel_own_timer
  node* then = nullptr;               // message: what is delivered
};

struct named_timer {
  std::string name;
  std::uint64_t token;
  std::uint64_t timer;
  std::int64_t due;                   // sync::now()'s clock
  std::int64_t every;                 // 0: once
  node* message;
  void (*copy)(const void* from, void* place);
};

class installed_hook {
 public:
  installed_hook(std::string_view id, const sys::detail::hook_parts& parts) : id_(id), parts_(parts) {}
  installed_hook(installed_hook&& other) noexcept
      : id_(std::move(other.id_)), parts_{other.parts_.run, other.parts_.destroy, std::exchange(other.parts_.context, nullptr)} {}
  installed_hook& operator=(installed_hook&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(parts_, other.parts_);
    return *this;
  }
  ~installed_hook() {
    if (parts_.context != nullptr) parts_.destroy(parts_.context);
  }
  const std::string& id() const noexcept { return id_; }
  sys::hook watch(const sys::event& e) const { return parts_.run(parts_.context, e); }

 private:
  std::string id_;
  sys::detail::hook_parts parts_;
};

struct machine_data;                  // of a state machine: machine_data.hpp

struct server_data final : detail::behaviour_data {
  ~server_data() override;

  idle_timeout idle;
  std::vector<named_timer> timers;
  std::uint64_t last_token = 0;

  std::int64_t hibernate_after = sync::never;
  bool hibernation_armed = false;     // a timer is under way
  std::uint64_t activity = 0;         // ordinary messages handled: an idle time has none
  bool hibernated = false;

  bool suspended = false;
  std::deque<node*> held;             // ordinary messages that came while suspended

  bool tracing = false;
  bool counting = false;
  std::int64_t counting_since = 0;
  sys::statistics_report counts;
  std::uint32_t log_limit = 0;
  std::deque<sys::event> log;
  int log_file = -1;                  // a descriptor, close-on-exec
  std::string log_path;
  std::vector<installed_hook> hooks;

  std::string last_message;           // of a handler that failed: for the report
  machine_data* machine = nullptr;    // owned
  exit_reason dying_of = exit_reason::noproc;  // what held messages are answered with when the server ends

  bool is_watched() const noexcept { return tracing || counting || log_limit != 0 || log_file >= 0 || !hooks.empty(); }
  bool has_listeners() const noexcept { return tracing || log_limit != 0 || log_file >= 0 || !hooks.empty(); }
};

inline const detail::gen_server_table& table_of(const slot& s) noexcept {
  return *static_cast<const detail::gen_server_table*>(s.cls->table);
}

/// The data of a server, or null if it has none yet.
inline server_data* data_of(const slot& s) noexcept {
  return s.ext.get() != nullptr ? static_cast<server_data*>(s.ext->data) : nullptr;
}
server_data& make_data(slot& s);
/// Sets or clears `careful` after something in the data has changed.
void needs_care(slot& s) noexcept;

// --- gen_server_core.cpp ---------------------------------------------------------------------------------------------

/// Does what a handler left to do, until nothing is left. May end the process. `what`: the callback's name.
/// Not `at_once`: a follow-up is queued in front of what waits instead of run.
void settle(slot& self, detail::handler_frame& frame, std::string_view what, bool at_once = true) noexcept;
/// Handles an event that a machine has kept: as an ordinary message, but for the class it was sent to.
void run_queued(slot& self, node* n) noexcept;
/// Puts a follow-up (handle_continue, …) in front of everything that waits.
void follow_first(slot& self, node* then) noexcept;
/// The end of a server that is not killed: terminate, reports, its caller, the process.
void end_server(slot& self, detail::handler_frame& frame, std::string_view what) noexcept;
/// Handles what came while the server was suspended before anything else.
void release_held(slot& self, server_data& d) noexcept;
void disarm_idle(slot& self, server_data& d) noexcept;
/// After the class was exchanged: what waits for a callback of the old one finds it by key in the new one.
void forget_trampolines(slot& self) noexcept;

// --- sys.cpp ---------------------------------------------------------------------------------------------------------

/// Tells whoever listens. A hook that throws is removed.
void emit(slot& self, server_data& d, sys::event::kind what, const message_descriptor* type, const void* object) noexcept;
void emit_state(slot& self, server_data& d) noexcept;
/// What makes a server end in an orderly way. `answer_at_the_end`: the caller waits until it is gone (GS-149).
struct stop_request {
  using reply = void;
  exit_reason why;
  bool answer_at_the_end;
};
/// The trampolines of what the core itself handles.
void run_system_request(detail::handler_frame& frame) noexcept;
void run_stop_request(detail::handler_frame& frame) noexcept;
inline bool is_system_request(const node& n) noexcept {
  return n.run == &run_system_request || n.run == &run_stop_request;
}
/// What start_options and server_options ask to be switched on from the beginning.
void apply_debug(slot& self, const sys::debug_options& debug);
void switch_off(server_data& d) noexcept;
server_status formatted_status(slot& self, server_status raw) noexcept;

// --- request.cpp -----------------------------------------------------------------------------------------------------

/// call_header::unanswered of a request whose caller waits for a message.
void tell_unanswered(node& request, const exit_reason& why) noexcept;

// --- queued_call.cpp -------------------------------------------------------------------------------------------------

/// As call_core, but never on the caller's stack, and a mailbox that is full takes it all the same. `system`: it goes before
/// all messages (GS-X5).
void call_unbounded(detail::call_record& record, node_kind kind);

// --- server_report.cpp -----------------------------------------------------------------------------------------------

/// GS-150: what ended abnormally, doing what, for whom, with which state and queue.
void report_server(slot& self, const detail::handler_frame& frame, std::string_view what) noexcept;
void report_unexpected(slot& self, const node& n, std::string_view what) noexcept;
/// `ch3 <0.41>`, with a registered name in front if there is one.
std::string title_of(const slot& self);
/// A report that `self` gives about itself: its title as the headline, the time, and for machines who it is.
report begin_report(const slot& self, log_level level, std::string_view kind);

}  // namespace coppice::internal
