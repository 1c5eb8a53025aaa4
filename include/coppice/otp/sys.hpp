// SPDX-License-Identifier: Apache-2.0
//
// sys: looking into a running server and steering it: state, status, suspend and resume, statistics, trace, log, hooks, code
// change. Every function asks the server, which answers between two messages, behind those that wait already unless it is asked
// urgently (GS-X5); all fail like a call. A server with nothing of this switched on pays nothing for it.
//
// Thread: any.   Spec: GS-160..GS-171.
#pragma once

#include <coppice/otp/detail/gen.hpp>
#include <coppice/otp/detail/trampolines.hpp>
#include <coppice/otp/server_ref.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace coppice::sys {

/// How long the functions of this page wait if nothing is said.
inline constexpr duration default_timeout = 5s;

/// How a function of this page asks: `sys::get_status(server)`, `…(server, 100ms)`, `…(server, sys::urgent)`,
/// `…(server, sys::urgent(100ms))`.
class asking {
 public:
  constexpr asking() noexcept = default;
  /// For so long.
  template <class Count, class Unit>
  constexpr asking(std::chrono::duration<Count, Unit> timeout) noexcept : timeout_(timeout) {}
  constexpr duration timeout() const noexcept { return timeout_; }
  constexpr bool is_urgent() const noexcept { return urgent_; }
  /// The same, waiting no longer than that.
  constexpr asking operator()(duration timeout) const noexcept {
    asking other = *this;
    other.timeout_ = timeout;
    return other;
  }

 private:
  friend constexpr asking make_urgent() noexcept;
  duration timeout_ = default_timeout;
  bool urgent_ = false;
};
constexpr asking make_urgent() noexcept {
  asking how;
  how.urgent_ = true;
  return how;
}
/// Before the messages that wait, not behind them; among urgent ones first come, first served.   Spec: GS-X5.
inline constexpr asking urgent = make_urgent();

/// Something that happened in a server.   Spec: GS-165.
struct event {
  enum kind : std::uint8_t { got_call, got_cast, got_info, sent_reply, new_state };
  kind what;
  std::string text;     ///< `want{}`, or the state
};
std::string to_text(const event& e);

/// What a hook says when it has seen an event.
enum class hook { stay, remove };

struct statistics_report {
  duration running{};           ///< since they were switched on
  std::uint64_t messages_in = 0;   ///< handled messages
  std::uint64_t messages_out = 0;  ///< replies made by result forms, not by `from`
  std::uint64_t work = 0;       ///< callbacks run, system requests included
};

/// What get_status tells.   Spec: GS-162.
struct status {
  pid who;
  std::string behaviour;
  std::string class_name;
  bool suspended = false;
  pid parent{};
  bool tracing = false;
  bool statistics = false;
  std::uint32_t log_limit = 0;
  std::string log_file{};
  std::size_t hooks = 0;
  std::size_t held = 0;         ///< ordinary messages that wait for the resume
  std::size_t postponed = 0;    ///< of a state machine: events that wait for a change of state (SE-44)
  std::vector<std::string> timeouts{};   ///< of a state machine: those that run, `state_timeout in 9.8 s`
  server_status formatted{};    ///< through format_status, where the class has one
};

namespace detail {

using coppice::detail::slot;
using coppice::detail::state_held;
using coppice::detail::system_call;
using coppice::detail::system_request;
using coppice::detail::target;

/// Gives the server that runs this the state that `make(place, old, context)` constructs, and the class `to`. If `make`
/// throws, nothing has changed. Returns: why it failed, or normal.
exit_reason exchange_state(slot& self, const coppice::detail::class_descriptor& to,
                           void (*make)(void* place, void* old, void* context), void* context) noexcept;
bool is_suspended(slot& self) noexcept;
exit_reason current_failure() noexcept;

/// What a typed request carries to the server and back.
template <class S>
struct state_request {
  std::optional<state_held<S>> state;
  exit_reason failure;
  bool right_class = true;
};

template <class S>
void copy_state(slot& self, void* raw) noexcept {
  auto& request = *static_cast<state_request<S>*>(raw);
  try {
    if (coppice::detail::class_key_of(self) != type_hash<S>()) request.right_class = false;
    else request.state.emplace(*static_cast<const state_held<S>*>(coppice::detail::state_of_server(self)));
  } catch (...) {
    request.failure = current_failure();
  }
}

template <class S>
state_held<S> finish(const target& to, state_request<S>& request, std::string_view what) {
  if (!request.right_class) coppice::detail::throw_bad_class(to, short_type_name<S>());
  if (!request.state) coppice::detail::throw_sys_failed(to, request.failure, what);
  return std::move(*request.state);
}

template <class S>
state_held<S> get_state_at(const target& to, const asking& how) {
  state_request<S> request;
  system_call(to, {.run = &copy_state<S>, .context = &request}, how.timeout(), "sys::get_state", how.is_urgent());
  return finish(to, request, "sys::get_state");
}

template <class S, class F>
struct replace_request : state_request<S> {
  F* change;
};

template <class S, class F>
void replace(slot& self, void* raw) noexcept {
  auto& request = *static_cast<replace_request<S, F>*>(raw);
  if (coppice::detail::class_key_of(self) != type_hash<S>()) {
    request.right_class = false;
    return;
  }
  const auto make = [](void* place, void* old, void* context) {
    auto& r = *static_cast<replace_request<S, F>*>(context);
    state_held<S> next((*r.change)(*static_cast<const state_held<S>*>(old)));
    r.state.emplace(next);
    ::new (place) state_held<S>(std::move(next));
  };
  request.failure = exchange_state(self, coppice::detail::class_constant<S>, make, &request);
  if (!request.failure.is(exit_reason::normal)) request.state.reset();
}

template <class S, class F>
state_held<S> replace_state_at(const target& to, F& change, const asking& how) {
  replace_request<S, F> request;
  request.change = &change;
  system_call(to, {.run = &replace<S, F>, .context = &request}, how.timeout(), "sys::replace_state", how.is_urgent());
  return finish<S>(to, request, "sys::replace_state: callback_failed");
}

template <class S, class Extra>
concept changes_code = requires(S& s, std::string_view version, const Extra& extra) { s.code_change(version, extra); };

template <class S, class Extra>
struct change_request {
  std::string_view version;
  const Extra* extra;
  exit_reason failure;
  bool right_class = true;
  bool was_suspended = true;
};

template <class S, class Extra>
void change(slot& self, void* raw) noexcept {
  auto& request = *static_cast<change_request<S, Extra>*>(raw);
  request.was_suspended = is_suspended(self);
  request.right_class = coppice::detail::class_key_of(self) == type_hash<S>();
  if (!request.was_suspended || !request.right_class) return;
  const auto make = [](void* place, void* old, void* context) {
    auto& r = *static_cast<change_request<S, Extra>*>(context);
    state_held<S> next(*static_cast<const state_held<S>*>(old));
    if constexpr (coppice::detail::is_machine<S>) next.data.code_change(r.version, *r.extra);
    else next.code_change(r.version, *r.extra);
    ::new (place) state_held<S>(std::move(next));
  };
  request.failure = exchange_state(self, coppice::detail::class_constant<S>, make, &request);
}

template <class New, class Old>
struct upgrade_request {
  exit_reason failure;
  bool right_class = true;
  bool was_suspended = true;
};

template <class New, class Old>
void upgrade(slot& self, void* raw) noexcept {
  auto& request = *static_cast<upgrade_request<New, Old>*>(raw);
  request.was_suspended = is_suspended(self);
  request.right_class = coppice::detail::class_key_of(self) == type_hash<Old>();
  if (!request.was_suspended || !request.right_class) return;
  const auto make = [](void* place, void* old, void*) {
    ::new (place) state_held<New>(New::upgrade(*static_cast<const state_held<Old>*>(old)));
  };
  request.failure = exchange_state(self, coppice::detail::class_constant<New>, make, nullptr);
}

/// What watches a server: a function and what it works on, never a closure (C7).
struct hook_parts {
  hook (*run)(void* context, const event& e);
  void (*destroy)(void* context) noexcept;
  void* context;
};
template <class F>
hook run_hook(void* context, const event& e) { return (*static_cast<F*>(context))(e); }
template <class F>
void destroy_hook(void* context) noexcept { delete static_cast<F*>(context); }
/// Takes the context in any case.
void install_hook(const target& server, std::string_view id, const hook_parts& watch, const asking& how);

[[noreturn]] void throw_not_suspended(const target& to, std::string_view what);

}  // namespace detail

// --- state -----------------------------------------------------------------------------------------------------------

/// A copy of the server's state; of a machine, its data and the state it is in (machine_state).   Spec: GS-160, SE-44.
template <class S>
coppice::detail::state_held<S> get_state(const server_ref<S>& server, const asking& how = {}) { return detail::get_state_at<S>(server, how); }
template <class S>
coppice::detail::state_held<S> get_state(const named<S>& server, const asking& how = {}) { return detail::get_state_at<S>(server, how); }
/// The state as text, for who does not know the class.   Spec: GS-160.
std::string state_text(const detail::target& server, const asking& how = {});

/// Gives the server the state `change(old)`, and returns a copy of it. If `change` throws, the state is what it was and the
/// caller gets call_error::failed with the cause; the server lives. Works while suspended.   Spec: GS-161.
template <class S, class F>
coppice::detail::state_held<S> replace_state(const server_ref<S>& server, F change, const asking& how = {}) {
  return detail::replace_state_at<S>(server, change, how);
}
template <class S, class F>
coppice::detail::state_held<S> replace_state(const named<S>& server, F change, const asking& how = {}) {
  return detail::replace_state_at<S>(server, change, how);
}

/// Who and how the server is.   Spec: GS-162.
status get_status(const detail::target& server, const asking& how = {});

// --- steering --------------------------------------------------------------------------------------------------------

/// From now on only system requests, and the EXIT of its parent, are handled; everything else waits. Idempotent.
/// Spec: GS-164.
void suspend(const detail::target& server, const asking& how = {});
void resume(const detail::target& server, const asking& how = {});

/// Makes the server end as `stop` does, without waiting for it.   Spec: GS-169.
void terminate(const detail::target& server, const exit_reason& why, const asking& how = {});

/// Runs `code_change(old_version, extra)` on a copy of the suspended server's state and puts it in place. On an exception
/// the old state stays and the caller gets call_error::failed; the server lives.   Spec: GS-170.
template <class S, class Extra = coppice::detail::nothing>
void change_code(const server_ref<S>& server, std::string_view old_version, const Extra& extra = {}, const asking& how = {}) {
  static_assert(!!detail::changes_code<S, Extra>, "coppice: the server has no code_change(std::string_view old_version, const Extra& extra).");
  if constexpr (detail::changes_code<S, Extra>) {
    detail::change_request<S, Extra> request{old_version, &extra, {}};
    detail::system_call(server, {.run = &detail::change<S, Extra>, .context = &request}, how.timeout(), "sys::change_code", how.is_urgent());
    if (!request.right_class) coppice::detail::throw_bad_class(server, short_type_name<S>());
    if (!request.was_suspended) detail::throw_not_suspended(server, "sys::change_code");
    if (!request.failure.is(exit_reason::normal)) coppice::detail::throw_sys_failed(server, request.failure, "sys::change_code");
  }
}

/// Makes the suspended server one of class `New`, whose state is `New::upgrade(old state)`. The pid stays.
/// Returns: the same server, as a `New`.   Spec: GS-171.
template <class New, class Old>
server_ref<New> upgrade(const server_ref<Old>& server, const asking& how = {}) {
  detail::upgrade_request<New, Old> request;
  detail::system_call(server, {.run = &detail::upgrade<New, Old>, .context = &request}, how.timeout(), "sys::upgrade", how.is_urgent());
  if (!request.right_class) coppice::detail::throw_bad_class(server, short_type_name<Old>());
  if (!request.was_suspended) detail::throw_not_suspended(server, "sys::upgrade");
  if (!request.failure.is(exit_reason::normal)) coppice::detail::throw_sys_failed(server, request.failure, "sys::upgrade");
  return server_ref<New>(server.id());
}

// --- watching --------------------------------------------------------------------------------------------------------

/// Counts from now on; `off` forgets.   Spec: GS-163.
void statistics(const detail::target& server, bool on, const asking& how = {});
/// Nothing where they are off.
std::optional<statistics_report> get_statistics(const detail::target& server, const asking& how = {});

/// Reports every event at level notice to the log sink.   Spec: GS-165.
void trace(const detail::target& server, bool on, const asking& how = {});
/// Appends every event to a file; an empty path ends that. Throws call_error::failed if the file cannot be opened, or is a pipe
/// that nobody reads. When its reader leaves later, what is written is lost.   Spec: GS-165.
void log_to_file(const detail::target& server, std::string_view path, const asking& how = {});

/// Keeps the last `limit` events; 0: off. Changing the limit keeps what fits.   Spec: GS-166.
void log(const detail::target& server, std::uint32_t limit = 10, const asking& how = {});
std::vector<event> get_log(const detail::target& server, const asking& how = {});
/// Reports the kept events to the log sink.
void print_log(const detail::target& server, const asking& how = {});

/// `watch(event)` runs in the server on every event until it says remove, or throws. An id that is there already: nothing
/// happens.   Spec: GS-167.
template <class F>
  requires std::is_invocable_r_v<hook, F&, const event&>
void install(const detail::target& server, std::string_view id, F watch, const asking& how = {}) {
  detail::install_hook(server, id, {&detail::run_hook<F>, &detail::destroy_hook<F>, new F(std::move(watch))}, how);
}
void remove(const detail::target& server, std::string_view id, const asking& how = {});
/// Switches everything of this section off and closes files.   Spec: GS-167.
void no_debug(const detail::target& server, const asking& how = {});

}  // namespace coppice::sys
