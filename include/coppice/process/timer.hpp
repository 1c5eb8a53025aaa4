// SPDX-License-Identifier: Apache-2.0
//
// timer: messages that arrive later. On the monotonic clock: changes of the wall clock move nothing (PR-83).
#pragma once

#include <coppice/process/name.hpp>
#include <coppice/process/process.hpp>

#include <optional>

namespace coppice {

/// What start_timer delivers: the timer's own reference tells stale ones apart.   Spec: PR-80.
template <class M>
struct timed_out {
  reference ref;
  M payload;
};

/// Delivers `m` to `to` not earlier than `wait` from now. A `to` that ends takes its timers with it.
/// Returns: the timer.   Thread: any.   Cost: no clock read in a process.   Spec: PR-80, PR-82.
template <class M>
  requires message_type<std::decay_t<M>>
reference send_after(duration wait, pid to, M&& m) {
  return detail::start_timer_core(to, {}, wait,
                                  detail::construct_in(detail::new_node(descriptor_of<std::decay_t<M>>()), static_cast<M&&>(m)), nullptr);
}
/// To a local name, looked up when the timer fires; nobody has it then: dropped silently.   Spec: PR-82.
template <class M>
  requires message_type<std::decay_t<M>>
reference send_after(duration wait, std::string_view name, M&& m) {
  return detail::start_timer_core({}, name, wait,
                                  detail::construct_in(detail::new_node(descriptor_of<std::decay_t<M>>()), static_cast<M&&>(m)), nullptr);
}
/// Delivers timed_out<M>{reference, m}.   Spec: PR-80.
template <class M>
  requires message_type<std::decay_t<M>>
reference start_timer(duration wait, pid to, M&& m) {
  using wrapped = timed_out<std::decay_t<M>>;
  detail::node* n = detail::construct_in(detail::new_node(descriptor_of<wrapped>()), wrapped{{}, static_cast<M&&>(m)});
  return detail::start_timer_core(to, {}, wait, n, &static_cast<wrapped*>(detail::payload_of(*n))->ref);
}
/// Delivers a copy of `m` every `period`, the first one `period` from now, keeping cadence with its start; ends with `to`.
/// Shots that are missed by 16 periods or more are left out, and so is one whose copy throws.
/// Spec: PR-84.
template <class M>
  requires message_type<std::decay_t<M>> && std::copy_constructible<std::decay_t<M>>
reference send_every(duration period, pid to, const M& m) {
  return detail::start_interval_core(to, period, detail::construct_in(detail::new_node(descriptor_of<M>()), M(m)),
                                     [](const void* from, void* place) { ::new (place) M(*static_cast<const M*>(from)); });
}

/// Stops a timer.
/// Returns: the time that was left: then the message never arrives; empty: it has fired (the message may be in the mailbox
///          already), was cancelled, or never was.   Thread: any.   Spec: PR-81.
inline std::optional<duration> cancel_timer(reference timer) {
  const std::int64_t left = detail::cancel_timer_core(timer);
  if (left < 0) return std::nullopt;
  return duration(left);
}
/// The same without asking how much time was left, which costs a look at the clock (Erlang's `{info, false}`).
/// Returns: whether it was stopped: then the message never arrives.   Thread: any.   Cost: half of cancel_timer's.   Spec: PR-81.
inline bool stop_timer(reference timer) { return detail::stop_timer_core(timer); }
/// How long it has to go; empty as above.
inline std::optional<duration> read_timer(reference timer) {
  const std::int64_t left = detail::read_timer_core(timer);
  if (left < 0) return std::nullopt;
  return duration(left);
}

}  // namespace coppice
