// SPDX-License-Identifier: Apache-2.0
//
// gen: what the templates of the servers see of their compiled core: the table of a class, the records of a call and of a
// start, and the functions that take them. Everything that does not depend on a user's type is behind these declarations.
#pragma once

#include <coppice/otp/call_error.hpp>
#include <coppice/otp/from.hpp>
#include <coppice/otp/server_ref.hpp>
#include <coppice/process/detail/core.hpp>
#include <coppice/process/name.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace coppice {

/// What format_status may rewrite before a status or a crash report is shown.   Spec: GS-156.
struct server_status {
  std::string state{};
  std::string message{};               ///< the last one; empty outside of reports
  std::string reason{};                ///< empty outside of reports
  std::vector<std::string> log{};      ///< the last events, if sys::log is on
};

namespace sys {
/// What may be switched on from the first message on.   Spec: GS-6.
struct debug_options {
  bool trace = false;
  bool statistics = false;
  std::uint32_t log = 0;               ///< how many events to keep
  std::string_view log_to_file{};
};
}  // namespace sys

/// How one server is started.   Spec: GS-6.
struct start_options {
  name_view name{};
  duration timeout = infinity;         ///< for init; then the half-started process is killed
  std::string_view label{};
  duration hibernate_after = infinity;
  sys::debug_options debug{};
  std::uint32_t mailbox_bound = 0;     ///< 0: the class's, with its when_full
  coppice::when_full when_full = coppice::when_full::refuse;
  coppice::priority priority = coppice::priority::normal;   ///< normal: the class's
  runtime* in = nullptr;               ///< null: the caller's
};

/// How servers of one class are: `static constexpr server_options options{.trap_exit = true};`
struct server_options {
  bool trap_exit = false;              ///< exit signals become messages; terminate runs at shutdown (GS-125..GS-132)
  bool leaf = false;                   ///< handlers never wait: they run on the caller's stack
  bool pinned = false;                 ///< a suspended handler goes on on its own worker only
  bool queued = false;                 ///< never run by a caller directly
  std::uint32_t stack_bytes = 0;       ///< 0: the default
  std::uint32_t mailbox_bound = 0;     ///< 0: none (GS-X2)
  coppice::when_full when_full = coppice::when_full::refuse;
  coppice::priority priority = coppice::priority::normal;
  duration hibernate_after = infinity; ///< GS-97
};

namespace detail {

/// What one class does with one message of its protocol.
struct protocol_entry {
  std::uint64_t key;
  const message_descriptor* type;
  trampoline call;
  trampoline cast;
  trampoline info;
};

/// The trampolines of one class; class_descriptor::table points here. Null: the class has no such callback.
struct gen_server_table {
  trampoline terminate;                                  // reads frame.reason
  trampoline on_down;                                    // handle_info(down)
  trampoline on_exit_signal;                             // handle_info(exit_signal)
  trampoline on_timeout;                                 // handle_info(timeout)
  trampoline on_message;                                 // handle_info(message&): request points to the message
  bool (*format_status)(const void* state, server_status& status) noexcept;   // false: it failed
  std::span<const protocol_entry> protocol;              // sorted by key
  server_options options;
};

/// The compiled half of every server class.
extern const behaviour gen_server_behaviour;

// --- handlers --------------------------------------------------------------------------------------------------------

/// Inside `catch (...)`: why the callback failed, into the frame. An exception becomes an owned reason (C9).
void callback_failed(handler_frame& frame) noexcept;
/// What the handler was given, for reports: called by a failed trampoline while it still has the request.
void note_request(handler_frame& frame, const message_descriptor& type, const void* request) noexcept;
/// GS-64: runs terminate before the reply of stop(why, v) goes out.
void terminate_now(handler_frame& frame) noexcept;
/// The ticket of the frame's caller; the call no longer depends on the caller's stack.
reply_ticket take_ticket(handler_frame& frame);
/// After a handler that took `from`: if the call is still open, the server's death answers it.
void keep_open(handler_frame& frame, const reply_ticket& ticket);
/// Messages behind the one in the frame, of the same kind and type, that are handled with it (GS-X6); gone with this object.
class batched {
 public:
  explicit batched(handler_frame& frame) noexcept : frame_(frame) {}
  ~batched();
  batched(const batched&) = delete;
  /// Takes up to `most` payloads of casts, or plain messages, that `own` handles; the frame's first. Returns: how many.
  std::size_t gather(bool casts, trampoline own, void** payloads, std::size_t most) noexcept;

 private:
  handler_frame& frame_;
  node* rest_ = nullptr;
};

/// Answers a queued call through its ticket and marks it as answered by a form (GS-163).
reply_ticket form_ticket(handler_frame& frame) noexcept;

/// A node whose payload is to be constructed at `place`.
struct open_node {
  node* made;
  void* place;
};
/// A node for `continue_with`, message timeouts and named timers: `run` handles it.
open_node new_follow_up(const message_descriptor& type, trampoline run);
void set_run(node* n, trampoline run) noexcept;
open_node new_cast(const message_descriptor& type, trampoline run, std::uint64_t class_key);
open_node new_info(const message_descriptor& type, trampoline run, std::uint64_t class_key);

// --- calling ---------------------------------------------------------------------------------------------------------

/// What is called, and what an error text says about it.
struct call_site : call_target {
  std::string_view server;
  bool request_outlives_move;          // trivially copyable: may be shown after the handler took it
  std::string_view operation{};        // instead of the request: `stop`, `sys::get_state`
};

/// Asks; src/otp/gen_core.cpp. Returns with a status that is not pending, or throws unwind when the caller has to end.
void call_core(call_record& record);
/// The error of a call that failed. Throws unwind when it is the caller who ends.
[[nodiscard]] call_error error_of(const call_record& record, const call_site& site, const name_view* name);
[[noreturn]] void throw_call_error(const call_record& record, const call_site& site, const name_view* name);
/// Sends a cast or an info. Never fails but by a full mailbox. Takes the node. Throws unwind when a process that does nothing
/// but send has to end.
sent cast_core(pid to, node* n);

// --- starting --------------------------------------------------------------------------------------------------------

enum class start_kind : unsigned char { alone, linked, monitored };

/// What a class's init trampoline reads (`frame.request` points to it) and writes.
struct init_request {
  void* arguments = nullptr;           // moved out first
  enum verdict : unsigned char { ok, ignore, fail, stop } said = ok;
};

/// One start, on the starter's stack. The class and the arguments are named, never wrapped in a closure (C5).
struct start_record {
  const class_descriptor* cls = nullptr;
  trampoline init = nullptr;
  void* arguments = nullptr;
  const start_options* options = nullptr;
  start_kind kind = start_kind::alone;
  // out
  pid who{};
  reference ref{};
};
/// Starts a server. Throws start_error.
void start_core(start_record& record);
/// The same without exceptions. Returns: false, with the error constructed at `why`.
bool try_start_core(start_record& record, void* why);

/// Makes the running process a server; GS-175. `construct` moves the state to where it stays. Throws unwind.
[[noreturn]] void enter_loop_core(const class_descriptor& cls, void (*construct)(void* place, void* state), void* state,
                                  const name_view& name, handler_frame& first);

// --- asking without waiting ------------------------------------------------------------------------------------------

/// A request under way, as the core sees it.
struct request_core {
  reference ref{};
  pid server{};
};
/// Monitors `to` and sends the request, whose payload is moved from `request`.
request_core send_request_core(pid to, const message_descriptor& type, void* request, trampoline run, std::uint64_t class_key);
enum class answer_kind : unsigned char { value, died, timed_out };
struct answer_record {
  std::span<const reference> of;                         // which requests are waited for
  const message_descriptor* type = nullptr;              // of response_payload<R>
  void (*take)(void* context, void* payload) = nullptr;
  void* context = nullptr;
  // out
  answer_kind kind = answer_kind::timed_out;
  reference ref{};
  exit_reason reason{};
};
/// Waits for the first answer to one of the requests; everything else stays in the mailbox (GS-60).
void receive_answer(answer_record& record, duration wait);
/// Nothing of this request will reach the mailbox any more.
void abandon_request(reference ref, const message_descriptor& type) noexcept;

// --- stopping and system requests ------------------------------------------------------------------------------------

/// Whom a function that needs no class is for.
class target {
 public:
  target(pid who) noexcept : who_(who) {}
  template <class S>
  target(const server_ref<S>& server) noexcept : who_(server.id()) {}
  template <class S>
  target(const named<S>& server) noexcept : name_(server.name()), by_name_(true) {}
  target(const name_view& name) noexcept : name_(name), by_name_(true) {}
  target(const char* name) noexcept : name_(name), by_name_(true) {}
  target(std::string_view name) noexcept : name_(name), by_name_(true) {}
  target(const std::string& name) noexcept : name_(name), by_name_(true) {}

  pid find() const noexcept { return by_name_ ? resolve(name_) : who_; }
  const name_view* name() const noexcept { return by_name_ ? &name_ : nullptr; }

 private:
  pid who_{};
  name_view name_{};
  bool by_name_ = false;
};

/// What a server does for sys, between two messages: `run(self, context)`. The context is the caller's; it stays valid
/// while `run` is under way, because the reply is claimed first.
struct system_request {
  using reply = void;
  void (*run)(slot& self, void* context) = nullptr;
  void* context = nullptr;
};
/// Has `to` run `request`. Throws call_error.
void system_call(const target& to, const system_request& request, duration timeout, std::string_view what, bool urgent);

/// For system requests of templates: the state of the server that runs one.
void* state_of_server(slot& self) noexcept;
std::uint64_t class_key_of(slot& self) noexcept;
[[noreturn]] void throw_bad_class(const target& to, std::string_view wanted);
[[noreturn]] void throw_sys_failed(const target& to, const exit_reason& why, std::string_view what);

void stop_core(const target& to, const exit_reason& why, duration timeout, bool urgent);

/// Who sent the message that is being handled.
pid caller_now() noexcept;

/// GS-X7. `n` is delivered to the running server once, or with `copy` again and again.
void start_named_timer(std::string_view name, duration after, duration every, node* n, void (*copy)(const void* from, void* place));
bool cancel_named_timer(std::string_view name) noexcept;

}  // namespace detail
}  // namespace coppice
