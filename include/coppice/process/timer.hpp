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
  return detail::start_timer_core(to, {}, wait, duration{0},
                                  detail::construct_in(detail::new_node(descriptor_of<std::decay_t<M>>()), static_cast<M&&>(m)), 0);
}
/// To a local name, looked up when the timer fires; nobody has it then: dropped silently.   Spec: PR-82.
template <class M>
  requires message_type<std::decay_t<M>>
reference send_after(duration wait, std::string_view name, M&& m) {
  return detail::start_timer_core({}, name, wait, duration{0},
                                  detail::construct_in(detail::new_node(descriptor_of<std::decay_t<M>>()), static_cast<M&&>(m)), 0);
}
/// Delivers timed_out<M>{reference, m}.   Spec: PR-80.
template <class M>
  requires message_type<std::decay_t<M>>
reference start_timer(duration wait, pid to, M&& m) {
  const reference ref = reference::make();
  using wrapped = timed_out<std::decay_t<M>>;
  return detail::start_timer_core(to, {}, wait, duration{0},
                                  detail::construct_in(detail::new_node(descriptor_of<wrapped>()), wrapped{ref, static_cast<M&&>(m)}),
                                  ref.number());
}
/// Delivers a copy of `m` every `period`, the first one `period` from now, keeping cadence with its start; ends with `to`.
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
std::optional<duration> cancel_timer(reference timer);
/// How long it has to go; empty as above.
std::optional<duration> read_timer(reference timer);

}  // namespace coppice
