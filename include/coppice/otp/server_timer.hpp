// SPDX-License-Identifier: Apache-2.0
//
// server_timer: any number of named timers of a server, for periodic work and time limits that other messages must not
// disturb. Starting a name that runs replaces it; a timer that was cancelled or replaced is never delivered. They go with
// the server.
//
//     start_timer(this, "poll", 5s, poll{});                 // once: handle_info(poll)
//     start_timer(this, "poll", 5s, poll{}, repeat);         // every 5 s
//     cancel_timer(this, "poll");
//
// Thread: the server's own callbacks.   Spec: GS-X7.
#pragma once

#include <coppice/otp/detail/gen.hpp>
#include <coppice/otp/detail/trampolines.hpp>

#include <string_view>

namespace coppice {

namespace detail {
template <class S, class M>
open_node timer_node_for(M& message) {
  static_assert(!!(has_handle_info<S, M> || has_catch_all<S>), "coppice: the server has no handle_info(message) for what this timer delivers.");
  constexpr trampoline run = follow_up<S, message_timeout<M>>::run;
  const open_node n = new_follow_up(descriptor_of<M>(), run);
  construct_at<M>(n.made, n.place, std::move(message));
  return n;
}
}  // namespace detail

/// Delivers `message` to this server's handle_info in `wait`, unless it is cancelled or replaced.
template <class S, class M>
void start_timer(const S*, std::string_view name, duration wait, M message) {
  detail::start_named_timer(name, wait, infinity, detail::timer_node_for<S>(message).made, nullptr);
}
/// The same, again and again, without drift; late by many periods, it leaves them out.
template <class S, std::copy_constructible M>
void start_timer(const S*, std::string_view name, duration every, M message, detail::repeat_word) {
  detail::start_named_timer(name, every, every, detail::timer_node_for<S>(message).made,
                            [](const void* from, void* place) { ::new (place) M(*static_cast<const M*>(from)); });
}
/// Returns: whether it was running.
template <class S>
bool cancel_timer(const S*, std::string_view name) { return detail::cancel_named_timer(name); }

}  // namespace coppice
