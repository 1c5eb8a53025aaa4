// SPDX-License-Identifier: Apache-2.0
//
// start: making servers, and stopping them. The options come first, then what the state is made from: `init(arguments…)` if
// the class has one for them (the class is default-constructed before), else `S{arguments…}`.
//
// All forms are synchronous: they return when init has produced a result, has failed and is completely gone, or has run out
// of time. init runs in the new process; its name is registered before.
#pragma once

#include <coppice/base/result.hpp>
#include <coppice/otp/call_error.hpp>
#include <coppice/otp/detail/gen.hpp>
#include <coppice/otp/detail/trampolines.hpp>
#include <coppice/otp/server_ref.hpp>

#include <new>
#include <tuple>
#include <utility>

namespace coppice {

/// What start_monitor returns.
template <class S>
struct monitored_server {
  server_ref<S> server;
  reference ref;
};

namespace detail {

/// Room for an error that a compiled function may construct.
union start_error_room {
  start_error_room() noexcept {}
  ~start_error_room() {}
  start_error value;
};
struct start_error_taken {
  start_error& value;
  ~start_error_taken() { value.~start_error(); }
};

template <class S, class... A>
void prepare_start(start_record& record, const start_options& options, start_kind kind, std::tuple<A...>& arguments) noexcept {
  record.cls = &class_constant<S>;
  record.init = &run_init<S, A...>;
  record.arguments = &arguments;
  record.options = &options;
  record.kind = kind;
}

template <class S, class... A>
start_record start_at(const start_options& options, start_kind kind, A&&... arguments) {
  if constexpr (check_server<S, std::decay_t<A>...>()) {
    std::tuple<std::decay_t<A>...> init(std::forward<A>(arguments)...);
    start_record record;
    prepare_start<S>(record, options, kind, init);
    start_core(record);
    return record;
  } else {
    __builtin_unreachable();
  }
}

template <class S, class... A>
result<start_record, start_error> try_start_at(const start_options& options, start_kind kind, A&&... arguments) {
  if constexpr (check_server<S, std::decay_t<A>...>()) {
    std::tuple<std::decay_t<A>...> init(std::forward<A>(arguments)...);
    start_record record;
    prepare_start<S>(record, options, kind, init);
    start_error_room why;
    if (try_start_core(record, &why)) return record;
    const start_error_taken taken{why.value};
    return error(std::move(why.value));
  } else {
    __builtin_unreachable();
  }
}

}  // namespace detail

/// Starts a server of class `S`, without a link.
/// Returns:  its address, when init has succeeded.
/// Fails:    throws start_error: ignored, already_started (with the holder), failed (with the reason), timeout, …
/// Blocks:   the caller, until init is done.
/// Thread:   any.   Cost: about 100 ns with the stop.   Spec: GS-1..GS-29.
template <class S, class... A>
server_ref<S> start(const start_options& options = {}, A&&... arguments) {
  return server_ref<S>(detail::start_at<S>(options, detail::start_kind::alone, std::forward<A>(arguments)...).who);
}
/// As start, linked to the calling process, which is the server's parent. In a plain thread: start_error.   Spec: GS-1, GS-5.
template <class S, class... A>
server_ref<S> start_link(const start_options& options = {}, A&&... arguments) {
  return server_ref<S>(detail::start_at<S>(options, detail::start_kind::linked, std::forward<A>(arguments)...).who);
}
/// As start, monitored by the caller. A failed start leaves no DOWN behind.   Spec: GS-1, GS-4.
template <class S, class... A>
monitored_server<S> start_monitor(const start_options& options = {}, A&&... arguments) {
  const auto record = detail::start_at<S>(options, detail::start_kind::monitored, std::forward<A>(arguments)...);
  return {server_ref<S>(record.who), record.ref};
}

/// The same with the error as a value.
template <class S, class... A>
[[nodiscard]] result<server_ref<S>, start_error> try_start(const start_options& options = {}, A&&... arguments) {
  return detail::try_start_at<S>(options, detail::start_kind::alone, std::forward<A>(arguments)...)
      .transform([](const detail::start_record& r) { return server_ref<S>(r.who); });
}
template <class S, class... A>
[[nodiscard]] result<server_ref<S>, start_error> try_start_link(const start_options& options = {}, A&&... arguments) {
  return detail::try_start_at<S>(options, detail::start_kind::linked, std::forward<A>(arguments)...)
      .transform([](const detail::start_record& r) { return server_ref<S>(r.who); });
}
template <class S, class... A>
[[nodiscard]] result<monitored_server<S>, start_error> try_start_monitor(const start_options& options = {}, A&&... arguments) {
  return detail::try_start_at<S>(options, detail::start_kind::monitored, std::forward<A>(arguments)...)
      .transform([](const detail::start_record& r) { return monitored_server<S>{server_ref<S>(r.who), r.ref}; });
}

/// How a stop is asked for.
struct stop_options {
  duration timeout = infinity;
  bool urgent = false;   ///< before the messages that wait, not behind them (GS-X5)
};

/// Makes the server run terminate(why) and waits until it is gone and its names are free.
/// Fails:    throws call_error: noproc; ended, with the other reason it ended with; timeout (the request stays and takes
///           effect later); calling_self.
/// Thread:   any.   Spec: GS-133, GS-145..GS-149, GS-X5.
inline void stop(const detail::target& server, exit_reason why = exit_reason::normal, duration timeout = infinity) {
  detail::stop_core(server, why, timeout, false);
}
inline void stop(const detail::target& server, exit_reason why, const stop_options& options) {
  detail::stop_core(server, why, options.timeout, options.urgent);
}
/// As stop, with the error as a value.
[[nodiscard]] result<void, call_error> try_stop(const detail::target& server, exit_reason why = exit_reason::normal,
                                                duration timeout = infinity);

/// Turns the running process, a function that this library spawned, into a server with the state `state`, without init: to
/// acknowledge a start before a slow beginning, for instance. The function's stack is unwound, its destructors run, then
/// the server goes on without a stack. Never returns.
/// Fails:    ends the process with `process_not_registered` if it does not hold the `name` that it claims; throws exit_error
///           in a plain thread and in a process that is a server already.   Spec: GS-175.
template <class S>
[[noreturn]] void enter_loop(S state, const name_view& name = {}) {
  static_assert(detail::check_server<S, S>());
  detail::handler_frame first;
  detail::enter_loop_core(detail::class_constant<S>, &detail::move_message<S>, &state, name, first);
}
template <class S, action A>
[[noreturn]] void enter_loop(S state, A&& then, const name_view& name = {}) {
  static_assert(detail::check_server<S, S>());
  detail::handler_frame first;
  detail::follow<S>(first, detail::as_action(std::forward<A>(then)));
  detail::enter_loop_core(detail::class_constant<S>, &detail::move_message<S>, &state, name, first);
}

}  // namespace coppice
