// SPDX-License-Identifier: Apache-2.0
//
// gen_statem: a state machine: a server whose states are types. Its members are its data; each state has members of its own,
// which are made when the state is entered and gone when it is left; a handler for each pair of state and event.
//
//     struct door {
//       struct locked { std::string typed{}; };
//       struct open {};
//       using all = states<locked, open>;                                 // begins in the first
//       std::string code;
//       next<open> handle(locked& s, button b) {
//         s.typed += b.digit;
//         if (s.typed.size() < code.size() || std::exchange(s.typed, {}) != code) return keep;
//         return open{};
//       }
//       auto enter(open&) { return state_timeout{10s}; }
//       next<locked> handle(open&, state_timeout) { return locked{}; }
//       next<> handle(open&, button) { return postpone; }
//     };
//     auto d = start<door>({.name = "front door"}, "1234");
//     cast(d, button{'1'});
//
// Everything of a server applies: start, call, cast, send_request, stop, names, sys, child. A call, a cast and a plain message
// are events alike: `handle(state&, event)`. A call's handler returns the reply, or takes `from` behind the request.
//
// The callbacks: handle(state&, event[, from<reply>]); `handle(auto& state, event)` for all states at once;
// handle(state&, message&) for what has no handler. Optional: init(arguments…), enter(state&[, const previous&]),
// terminate(const exit_reason&[, state&]), format_status(server_status&) const, code_change; and `options`, `protocol`,
// `allowed` (a table of transitions), `handlers` (other sets of handlers). What they may return stands in next.hpp.
//
// An event that some state does not handle does not compile, nor does a handler that goes to a state which it does not name.
#pragma once

#include <coppice/otp/call.hpp>
#include <coppice/otp/detail/machine.hpp>
#include <coppice/otp/next.hpp>
#include <coppice/otp/server_ref.hpp>
#include <coppice/otp/start.hpp>

namespace coppice {

// --- actions that bring an event -------------------------------------------------------------------------------------
//
// They take `this`, the machine: so the compiler sees whether the event is handled.

namespace detail {

template <class M, class E>
node* event_node(E& event) {
  const open_node n = new_machine_event(descriptor_of<E>(), machine_class<M>::template event<E>);
  ::new (n.place) E(std::move(event));
  return n.made;
}

/// The event of a timeout that fires in the state it was set in: one state that handles it is enough; which, is checked when
/// the timeout is set.
template <class M, class E>
consteval bool check_timeout_event() {
  static_assert(!!handled_somewhere<M, E>, "coppice: no state of the machine has a handle(state&, event) for what this timeout delivers.");
  return handled_somewhere<M, E>;
}

template <class M, class E>
machine_step timeout_step(timer_kind kind, std::int64_t wait, bool absolute, E& event) {
  if constexpr (check_timeout_event<M, E>())
    return machine_step({.what = machine_action::start, .timer = kind, .absolute = absolute, .wait = wait, .event = event_node<M>(event), .handled = &handled_now<M, E>});
  else __builtin_unreachable();
}
template <class M, class E>
machine_step update_step(timer_kind kind, E& event) {
  if constexpr (check_timeout_event<M, E>())
    return machine_step({.what = machine_action::update, .timer = kind, .event = event_node<M>(event), .handled = &handled_now<M, E>});
  else __builtin_unreachable();
}

}  // namespace detail

/// As state_timeout, delivering `event` instead: `handle(state&, event)`.   Spec: SE-31.
template <class M, class E>
detail::machine_step state_timeout_with(const M*, duration wait, E event) { return detail::timeout_step<M>(detail::timer_kind::state, wait.count(), false, event); }
template <class M, class E>
detail::machine_step state_timeout_with(const M*, deadline at, E event) { return detail::timeout_step<M>(detail::timer_kind::state, at.at(), true, event); }
/// As event_timeout, delivering `event` instead.   Spec: SE-30.
template <class M, class E>
detail::machine_step event_timeout_with(const M*, duration wait, E event) { return detail::timeout_step<M>(detail::timer_kind::event, wait.count(), false, event); }
template <class M, class E>
detail::machine_step event_timeout_with(const M*, deadline at, E event) { return detail::timeout_step<M>(detail::timer_kind::event, at.at(), true, event); }
/// As named_timeout, delivering `event` instead; whatever the state is then must handle it.   Spec: SE-32.
template <class M, class E>
detail::machine_step named_timeout_with(const M*, std::string name, duration wait, E event) {
  if constexpr (detail::check_cast<M, E>())
    return detail::machine_step({.what = detail::machine_action::start, .timer = detail::timer_kind::named, .wait = wait.count(), .event = detail::event_node<M>(event), .name = std::move(name)});
  else __builtin_unreachable();
}
template <class M, class E>
detail::machine_step named_timeout_with(const M*, std::string name, deadline at, E event) {
  if constexpr (detail::check_cast<M, E>())
    return detail::machine_step({.what = detail::machine_action::start, .timer = detail::timer_kind::named, .absolute = true, .wait = at.at(), .event = detail::event_node<M>(event), .name = std::move(name)});
  else __builtin_unreachable();
}

/// A running timeout goes on and will deliver `event`; where none runs, `event` is delivered at once.   Spec: SE-33.
template <class M, class E>
detail::machine_step update_state_timeout(const M*, E event) { return detail::update_step<M>(detail::timer_kind::state, event); }
template <class M, class E>
detail::machine_step update_event_timeout(const M*, E event) { return detail::update_step<M>(detail::timer_kind::event, event); }
template <class M, class E>
detail::machine_step update_timeout(const M*, std::string name, E event) {
  if constexpr (detail::check_cast<M, E>())
    return detail::machine_step({.what = detail::machine_action::update, .timer = detail::timer_kind::named, .event = detail::event_node<M>(event), .name = std::move(name)});
  else __builtin_unreachable();
}

/// The timeout is never delivered, even if its time has come.   Spec: SE-33, SE-34.
inline detail::machine_step cancel_state_timeout() { return {{.what = detail::machine_action::cancel, .timer = detail::timer_kind::state}}; }
inline detail::machine_step cancel_event_timeout() { return {{.what = detail::machine_action::cancel, .timer = detail::timer_kind::event}}; }
inline detail::machine_step cancel_timeout(std::string name) {
  return {{.what = detail::machine_action::cancel, .timer = detail::timer_kind::named, .name = std::move(name)}};
}

/// `event` is handled next, before postponed events and before the mailbox; several in the order given.   Spec: SE-10, SE-13.
template <class M, class E>
detail::handler_step next_event(const M*, E event) {
  if constexpr (detail::check_cast<M, E>())
    return detail::handler_step({.what = detail::machine_action::insert, .event = detail::event_node<M>(event)});
  else __builtin_unreachable();
}
/// A call to be handled next, for the caller that `caller` stands for: one that was kept, or is handed on in another form.
template <class M, class Q>
detail::handler_step next_event(const M*, from<reply_of<Q>>&& caller, Q request) {
  if constexpr (detail::check_call<M, Q>()) {
    const detail::open_node n = detail::new_machine_call(descriptor_of<Q>(), detail::machine_class<M>::template call<Q>, std::move(caller).release());
    ::new (n.place) Q(std::move(request));
    return detail::handler_step({.what = detail::machine_action::insert, .event = n.made});
  } else {
    __builtin_unreachable();
  }
}

// --- other handlers --------------------------------------------------------------------------------------------------

namespace detail {

template <class H, class... Set>
consteval unsigned place_of_set(handler_sets<Set...>) {
  unsigned n = 1;
  (void)((std::is_same_v<H, Set> || (++n, false)) || ...);
  return n > sizeof...(Set) ? 0 : n;
}
template <class H, class M>
concept is_set_of = place_of_set<H>(typename sets_of<M>::type{}) != 0 || std::is_same_v<H, M>;

template <class H, class M>
handler_step handlers_step(machine_action::kind what) {
  static_assert(!!is_set_of<H, M>, "coppice: these handlers are not in the machine's list (using handlers = handler_sets<...>).");
  return handler_step({.what = what, .handlers = place_of_set<H>(typename sets_of<M>::type{})});
}

}  // namespace detail

/// From the next event on the handlers of `H` are in force; state and data stay. `H` is one of the machine's `handlers`, or
/// the machine itself.   Spec: SE-42.
template <class H, class M>
detail::handler_step change_handlers(const M*) { return detail::handlers_step<H, M>(detail::machine_action::change_handlers); }
/// The same; those that were in force come back with pop_handlers.
template <class H, class M>
detail::handler_step push_handlers(const M*) { return detail::handlers_step<H, M>(detail::machine_action::push_handlers); }
inline detail::handler_step pop_handlers() { return {{.what = detail::machine_action::pop_handlers}}; }

}  // namespace coppice
