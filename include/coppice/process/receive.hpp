// SPDX-License-Identifier: Apache-2.0
//
// receive: selective receive. Clauses are functions, chosen by the type of their parameter, in arrival order of the messages:
//
//     receive([](ping p) { … }, [](const down& d) { … }, after(5s, [] { … }));
//     auto reply = receive<pong>(1s);                        // one type; empty when the time is up
//     receive(when([&](const pong& p) { return p.id == id; }, [](pong p) { … }));
//
// The first message in arrival order that some clause takes is taken; the others stay in place and in order (PR-58).
#pragma once

#include <coppice/process/detail/core.hpp>
#include <coppice/process/message.hpp>

#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace coppice {

/// What to do when nothing came for so long. At most one, last.
template <class F>
struct after_clause {
  duration wait;
  F run;
};
template <class F>
after_clause<F> after(duration wait, F run) { return {wait, std::move(run)}; }

template <class P, class F>
struct when_clause {
  P condition;
  F run;
};
/// A clause that takes only messages for which `condition(message)` holds.
template <class P, class F>
when_clause<P, F> when(P condition, F run) { return {std::move(condition), std::move(run)}; }

namespace detail {

template <class T>
struct parameter_of : parameter_of<decltype(&T::operator())> {};
template <class R, class C, class A>
struct parameter_of<R (C::*)(A)> { using type = std::decay_t<A>; };
template <class R, class C, class A>
struct parameter_of<R (C::*)(A) const> { using type = std::decay_t<A>; };
template <class R, class A>
struct parameter_of<R (*)(A)> { using type = std::decay_t<A>; };
template <class R, class C, class A>
struct parameter_of<R (C::*)(A) noexcept> { using type = std::decay_t<A>; };
template <class R, class C, class A>
struct parameter_of<R (C::*)(A) const noexcept> { using type = std::decay_t<A>; };

/// A clause takes its message by value, by M&&, const M& or M&.
template <class F, class M>
void give(F& f, M& m) {
  if constexpr (std::is_invocable_v<F&, M>)
    f(std::move(m));
  else
    f(m);
}

template <class F>
struct clause_traits {
  using message = typename parameter_of<F>::type;
  static constexpr bool is_after = false;
  static receive_clause make(F& f) noexcept {
    if constexpr (std::is_same_v<message, coppice::message>)
      return {0, nullptr, [](void* c, const message_descriptor& t, void* p) { coppice::message m(t, p); (*static_cast<F*>(c))(m); }, &f};
    else
      return {descriptor_of<message>().key, nullptr,
              [](void* c, const message_descriptor&, void* p) { give(*static_cast<F*>(c), *static_cast<message*>(p)); }, &f};
  }
};
template <class P, class F>
struct clause_traits<when_clause<P, F>> {
  using message = typename parameter_of<F>::type;
  static constexpr bool is_after = false;
  static receive_clause make(when_clause<P, F>& w) noexcept {
    return {descriptor_of<message>().key,
            [](void* c, void* p) -> bool { return static_cast<when_clause<P, F>*>(c)->condition(std::as_const(*static_cast<message*>(p))); },
            [](void* c, const message_descriptor&, void* p) { give(static_cast<when_clause<P, F>*>(c)->run, *static_cast<message*>(p)); },
            &w};
  }
};
template <class F>
struct clause_traits<after_clause<F>> {
  static constexpr bool is_after = true;
};

}  // namespace detail

/// Waits for the first message that a clause takes and runs that clause.
/// Returns: false if the `after` clause ran instead.
/// Fails:   what the clause throws; the message is gone then.
/// Blocks:  the calling process or thread.   Thread: any.   Spec: PR-58, PR-59, OL-58, OL-59.
template <class... Clauses>
bool receive(Clauses... clauses) {
  constexpr std::size_t afters = (std::size_t{detail::clause_traits<Clauses>::is_after} + ... + 0);
  static_assert(afters <= 1, "coppice: receive takes at most one after(…) clause");
  static_assert(sizeof...(Clauses) > 0, "coppice: receive needs a clause");
  detail::receive_clause table[sizeof...(Clauses) - afters + 1];
  std::size_t n = 0;
  duration wait = infinity;
  const auto enter = [&](auto& clause) {
    using traits = detail::clause_traits<std::decay_t<decltype(clause)>>;
    if constexpr (traits::is_after)
      wait = clause.wait;
    else
      table[n++] = traits::make(clause);
  };
  (enter(clauses), ...);
  if (detail::receive_core(std::span<const detail::receive_clause>(table, n), wait)) return true;
  const auto expire = [&](auto& clause) {
    if constexpr (detail::clause_traits<std::decay_t<decltype(clause)>>::is_after) clause.run();
  };
  (expire(clauses), ...);
  return false;
}

/// Waits for the first message of type M.   Returns: it.   Spec: PR-58.
template <message_type M>
M receive() {
  std::optional<M> got;
  receive([&](M m) { got.emplace(std::move(m)); });
  return std::move(*got);
}
/// The same with a limit.   Returns: empty if none came in time.
template <message_type M>
std::optional<M> receive(duration wait) {
  std::optional<M> got;
  receive([&](M m) { got.emplace(std::move(m)); }, after(wait, [] {}));
  return got;
}

}  // namespace coppice
