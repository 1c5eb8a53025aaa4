// SPDX-License-Identifier: Apache-2.0
//
// handlers: which callbacks a server class has, and whether what they return fits. All checks of a call, a cast or a start
// are the static assertions of check_call, check_cast and check_server: one error, our sentence, the types in its first
// lines. `!!` in front of a concept makes clang print them.
#pragma once

#include <coppice/otp/batch.hpp>
#include <coppice/otp/from.hpp>
#include <coppice/otp/outcome.hpp>
#include <coppice/otp/server_ref.hpp>
#include <coppice/process/message.hpp>

#include <concepts>
#include <type_traits>
#include <utility>

namespace coppice {

/// What the reply to a `Q` is; `void` where Q names none (and then check_call speaks).
template <class Q>
using reply_of = typename detail::reply_of_helper<Q>::type;

struct server_options;
struct server_status;
template <class... S>
struct states;
template <class M>
struct machine_state;

namespace detail {

// --- other behaviours ------------------------------------------------------------------------------------------------

template <class L>
inline constexpr bool is_state_list = false;
template <class... S>
inline constexpr bool is_state_list<states<S...>> = true;
/// A class that lists its states is a state machine: gen_statem.hpp.
template <class S>
concept is_machine = requires { typename S::all; } && is_state_list<typename S::all>;
/// The checks and trampolines of a state machine: machine.hpp.
template <class M>
struct machine_class;

template <class S>
concept complete = requires { sizeof(S); };

template <class Q>
concept names_its_reply = reply_of_helper<Q>::named;

/// Messages are moved in: a handler takes them by value or const&.
template <class S, class Q>
concept takes_call = requires(S& s, Q&& q) { s.handle_call(static_cast<Q&&>(q)); };
template <class S, class Q>
concept takes_call_from = requires(S& s, Q&& q, from<reply_of<Q>>&& f) {
  s.handle_call(static_cast<Q&&>(q), static_cast<from<reply_of<Q>>&&>(f));
};
template <class S, class Q>
concept has_handle_call = takes_call<S, Q> || takes_call_from<S, Q>;
template <class S, class M>
concept takes_cast = requires(S& s, M&& m) { s.handle_cast(static_cast<M&&>(m)); };
template <class S, class M>
concept takes_info = requires(S& s, M&& m) { s.handle_info(static_cast<M&&>(m)); };
/// Several at once (GS-X6); who takes single ones gets single ones.
template <class S, class M>
concept takes_cast_batch = !takes_cast<S, M> && requires(S& s, batch<M>&& b) { s.handle_cast(static_cast<batch<M>&&>(b)); };
template <class S, class M>
concept takes_info_batch = !takes_info<S, M> && requires(S& s, batch<M>&& b) { s.handle_info(static_cast<batch<M>&&>(b)); };
template <class S, class M>
concept has_handle_cast = takes_cast<S, M> || takes_cast_batch<S, M>;
template <class S, class M>
concept has_handle_info = takes_info<S, M> || takes_info_batch<S, M>;
/// What the handler is called with.
template <class S, class M>
using cast_argument = std::conditional_t<takes_cast_batch<S, M>, batch<M>, M>;
template <class S, class M>
using info_argument = std::conditional_t<takes_info_batch<S, M>, batch<M>, M>;
template <class S, class X>
concept has_handle_continue = requires(S& s, X&& x) { s.handle_continue(static_cast<X&&>(x)); };
template <class S>
concept has_catch_all = requires(S& s, message& m) { s.handle_info(m); };
template <class S>
concept has_terminate = requires(S& s, const exit_reason& why) { s.terminate(why); };
template <class S, class... A>
concept has_init = requires(S& s, A&&... a) { s.init(static_cast<A&&>(a)...); };
template <class S>
concept has_any_init = requires { &S::init; };
template <class S>
concept has_format_status = requires(const S& s, server_status& status) { s.format_status(status); };
template <class S>
concept has_options = requires { { S::options } -> std::convertible_to<const server_options&>; };
template <class S>
concept has_protocol = requires { typename S::protocol; };

// --- what they return ------------------------------------------------------------------------------------------------

template <class F>
inline constexpr bool is_reply_form = false;
template <class T, class A>
inline constexpr bool is_reply_form<reply_form<T, A>> = true;
template <class F>
inline constexpr bool is_noreply_form = false;
template <class A>
inline constexpr bool is_noreply_form<noreply_form<A>> = true;

/// Result type F of a handler answers a request whose reply is R.
template <class F, class R>
struct answers : std::bool_constant<!std::is_void_v<R> && !is_form<F> && !is_outcome<F> && std::is_convertible_v<F, stored<R>>> {};
template <class R>
struct answers<void, R> : std::is_void<R> {};
template <class T, class A, class R>
struct answers<reply_form<T, A>, R> : std::is_convertible<T, stored<R>> {};
template <class R>
struct answers<stop_form, R> : std::true_type {};
template <class T, class R>
struct answers<stop_reply_form<T>, R> : std::is_convertible<T, stored<R>> {};
template <class T, class... X, class R>
struct answers<outcome<T, X...>, R> : std::bool_constant<std::is_void_v<T> == std::is_void_v<R> && std::is_convertible_v<stored<T>, stored<R>>> {};

/// Result type F of a handler that answers nobody: void, noreply(…), stop(…), outcome<void, …>.
template <class F>
struct answers_nobody : std::bool_constant<is_noreply_form<F>> {};
template <>
struct answers_nobody<void> : std::true_type {};
template <>
struct answers_nobody<stop_form> : std::true_type {};
template <class... X>
struct answers_nobody<outcome<void, X...>> : std::true_type {};

/// Class S can do what action A asks for.
template <class S, class A>
struct can_do : std::true_type {};
template <class S, class X>
struct can_do<S, continue_action<X>> : std::bool_constant<has_handle_continue<S, X>> {};
template <class S, class M>
struct can_do<S, message_timeout<M>> : std::bool_constant<has_handle_info<S, M> || has_catch_all<S>> {};

/// Class S has a handle_continue, or handle_info, for everything that result type F may lead to.
template <class S, class F>
struct can_follow : std::true_type {};
template <class S, class T, class A>
struct can_follow<S, reply_form<T, A>> : can_do<S, A> {};
template <class S, class A>
struct can_follow<S, noreply_form<A>> : can_do<S, A> {};
template <class S, class A>
struct can_follow<S, ok_form<A>> : can_do<S, A> {};
template <class S, class T, class... X>
struct can_follow<S, outcome<T, X...>> : std::bool_constant<(can_do<S, typename continues_with<X>::type>::value && ...)> {};
template <class S, class... X>
struct can_follow<S, init_outcome<X...>> : std::bool_constant<(can_do<S, typename continues_with<X>::type>::value && ...)> {};

template <class S, class F>
concept follows = can_follow<S, F>::value;

template <class S, class Q>
using call_result = decltype(std::declval<S&>().handle_call(std::declval<Q>()));
template <class S, class Q>
using call_from_result = decltype(std::declval<S&>().handle_call(std::declval<Q>(), std::declval<from<reply_of<Q>>>()));

// --- protocols -------------------------------------------------------------------------------------------------------

template <class Q, class List>
inline constexpr bool in_list = false;
template <class Q, class... M>
inline constexpr bool in_list<Q, messages<M...>> = (std::is_same_v<Q, M> || ...);

template <class S>
inline constexpr bool is_protocol = false;
template <class... M>
inline constexpr bool is_protocol<messages<M...>> = true;

/// A caller of S may not compile S's handler for Q in: it is found by key in the class that the server is of at that moment,
/// so that a live upgrade reaches every caller (C3).
template <class S, class Q>
consteval bool found_by_key() {
  if constexpr (is_protocol<S>) return true;
  else if constexpr (has_protocol<S>) return in_list<Q, typename S::protocol>;
  else return false;
}

// --- the checks ------------------------------------------------------------------------------------------------------

/// Those of a state machine: machine.hpp. `In` names the state whose handler is wrong, so that g++'s first line shows it.
template <class M, class E>
struct wrong_handler {};
template <class M, class Q, class In = typename wrong_handler<M, Q>::type>
  requires is_machine<M>
consteval bool check_call();
template <class M, class E, class In = typename wrong_handler<M, E>::type>
  requires is_machine<M>
consteval bool check_cast();

template <class S, class Q>
consteval bool call_fits() {
  if constexpr (takes_call_from<S, Q>) return answers_nobody<call_from_result<S, Q>>::value;
  else return answers<call_result<S, Q>, reply_of<Q>>::value;
}
template <class S, class Q>
concept handle_call_answers = call_fits<S, Q>();

template <class S, class Q>
consteval bool call_follows() {
  if constexpr (takes_call_from<S, Q>) return follows<S, call_from_result<S, Q>>;
  else return follows<S, call_result<S, Q>>;
}
template <class S, class Q>
concept handle_continue_for_call = call_follows<S, Q>();

template <class S, class Q>
  requires(!is_machine<S>)
consteval bool check_call() {
  static_assert(!!names_its_reply<Q>, "coppice: the request does not say what its reply is: add `using reply = T;` (void: an acknowledgement).");
  if constexpr (!names_its_reply<Q>) {
    return false;
  } else if constexpr (is_protocol<S>) {
    static_assert(in_list<Q, S>, "coppice: the request is not in the protocol (the list messages<...>) of this server.");
    return in_list<Q, S>;
  } else if constexpr (!complete<S>) {
    static_assert(!!complete<S>, "coppice: the server's class is not complete here: include its definition, or use server_ref<messages<...>>.");
    return false;
  } else {
    static_assert(!!has_handle_call<S, Q>, "coppice: the server has no handle_call(request) for this request (take it by value or const&).");
    if constexpr (!has_handle_call<S, Q>) {
      return false;
    } else if constexpr (!handle_call_answers<S, Q>) {
      if constexpr (takes_call_from<S, Q>)
        static_assert(!!handle_call_answers<S, Q>, "coppice: a handle_call that takes `from` answers through it: it returns nothing, noreply(...), stop(...) or outcome<void>.");
      else
        static_assert(!!handle_call_answers<S, Q>, "coppice: handle_call must return the request's reply, reply(...), stop(...) or outcome<reply>; to answer later, take `from`.");
      return false;
    } else {
      static_assert(!!handle_continue_for_call<S, Q>, "coppice: handle_call returns continue_with(x) or timeout_with(..., m), but the server has no handle_continue(x) or handle_info(m) for it.");
      return handle_continue_for_call<S, Q>;
    }
  }
}

template <class S, class M>
using cast_result = decltype(std::declval<S&>().handle_cast(std::declval<cast_argument<S, M>>()));
template <class S, class M>
using info_result = decltype(std::declval<S&>().handle_info(std::declval<info_argument<S, M>>()));
template <class S, class X>
using continue_result = decltype(std::declval<S&>().handle_continue(std::declval<X>()));

template <class S, class M>
concept handle_cast_answers_nobody = answers_nobody<cast_result<S, M>>::value;
template <class S, class M>
concept handle_info_answers_nobody = answers_nobody<info_result<S, M>>::value;
template <class S, class X>
concept handle_continue_answers_nobody = answers_nobody<continue_result<S, X>>::value;

template <class S, class M>
  requires(!is_machine<S>)
consteval bool check_cast() {
  if constexpr (is_protocol<S>) {
    static_assert(in_list<M, S>, "coppice: the message is not in the protocol (the list messages<...>) of this server.");
    return in_list<M, S>;
  } else if constexpr (!complete<S>) {
    static_assert(!!complete<S>, "coppice: the server's class is not complete here: include its definition, or use server_ref<messages<...>>.");
    return false;
  } else {
    static_assert(!!has_handle_cast<S, M>, "coppice: the server has no handle_cast(message) for this message (take it by value or const&).");
    if constexpr (!has_handle_cast<S, M>) {
      return false;
    } else if constexpr (!handle_cast_answers_nobody<S, M>) {
      static_assert(!!handle_cast_answers_nobody<S, M>, "coppice: nobody waits for an answer to a cast: handle_cast returns nothing, noreply(...), stop(...) or outcome<void>.");
      return false;
    } else {
      static_assert(!!follows<S, cast_result<S, M>>, "coppice: handle_cast returns continue_with(x) or timeout_with(..., m), but the server has no handle_continue(x) or handle_info(m) for it.");
      return follows<S, cast_result<S, M>>;
    }
  }
}

template <class S, class M>
consteval bool check_info() {
  static_assert(!!has_handle_info<S, M>, "coppice: the server has no handle_info(message) for this message (take it by value or const&).");
  if constexpr (!has_handle_info<S, M>) {
    return false;
  } else if constexpr (!handle_info_answers_nobody<S, M>) {
    static_assert(!!handle_info_answers_nobody<S, M>, "coppice: handle_info returns nothing, noreply(...), stop(...) or outcome<void>.");
    return false;
  } else {
    static_assert(!!follows<S, info_result<S, M>>, "coppice: handle_info returns continue_with(x) or timeout_with(..., m), but the server has no handle_continue(x) or handle_info(m) for it.");
    return follows<S, info_result<S, M>>;
  }
}

template <class S, class X>
consteval bool check_continue() {
  static_assert(!!has_handle_continue<S, X>, "coppice: the server has no handle_continue(x) for what it may continue with.");
  if constexpr (!has_handle_continue<S, X>) {
    return false;
  } else {
    static_assert(!!handle_continue_answers_nobody<S, X>, "coppice: handle_continue returns nothing, noreply(...), stop(...) or outcome<void>.");
    return handle_continue_answers_nobody<S, X>;
  }
}

template <class S, class M>
concept handles_something = has_handle_call<S, M> || has_handle_cast<S, M> || has_handle_info<S, M>;
template <class S, class List>
inline constexpr bool handles_all = true;
template <class S, class... M>
inline constexpr bool handles_all<S, messages<M...>> = (handles_something<S, M> && ...);
template <class S, class List>
concept handles_its_protocol = handles_all<S, List>;

/// Class S traps exits.
template <class S>
consteval bool traps() {
  if constexpr (has_options<S>) return S::options.trap_exit;
  else return false;
}
template <class S>
concept may_handle_exit_signal = traps<S>() || has_catch_all<S> || !has_handle_info<S, exit_signal>;

/// How the state is made from the arguments of a start.
template <class S, class... A>
concept made_by_init = std::default_initializable<S> && has_init<S, A...>;
template <class S, class... A>
concept made_from = requires(A&&... a) { S{static_cast<A&&>(a)...}; };
template <class S, class... A>
concept startable_with = made_by_init<S, A...> || made_from<S, A...>;

}  // namespace detail
}  // namespace coppice
