// SPDX-License-Identifier: Apache-2.0
//
// child: how servers become children. `child<S>({options}, arguments…)` is a value that says what `start_link<S>` would do,
// to be done by a supervisor, again and again.
//
//     child<session>({.name = via(names, user), .restart = temporary}, user)
//
// The arguments are copied into the spec, and from there for each start. Pointers, and views other than names, stay what they
// are: what they point to has to live as long as the supervisor.
#pragma once

#include <coppice/otp/detail/trampolines.hpp>
#include <coppice/process/child_spec.hpp>

#include <tuple>
#include <utility>

namespace coppice {

namespace detail {

/// The start of any class of server: src/otp/server_child.cpp.
started_child start_server_child(const child_class& what, const child_spec& spec, void* given);
/// What a failed start comes to for a supervisor.
started_child outcome_of(const start_error& e);

/// The outcome of `start`, which returns a pid or throws start_error.
template <class F>
started_child guarded_server_start(F&& start) {
  try {
    return started_child(start());
  } catch (const start_error& e) {
    return outcome_of(e);
  }
}

template <class Before, class Own, class After>
struct joined_arguments;
template <class... B, class... A, class... E>
struct joined_arguments<std::tuple<B...>, std::tuple<A...>, std::tuple<E...>> {
  using type = std::tuple<B..., A..., E...>;
  static void join(void* place, const void* before, const void* own, const void* after) {
    static constexpr std::tuple<> none{};
    const auto& b = *static_cast<const std::tuple<B...>*>(sizeof...(B) == 0 ? &none : before);
    const auto& e = *static_cast<const std::tuple<E...>*>(sizeof...(E) == 0 ? &none : after);
    ::new (place) type(std::tuple_cat(b, *static_cast<const std::tuple<A...>*>(own), e));
  }
};

template <class Tuple>
constexpr const value_operations* operations_unless_empty() noexcept {
  if constexpr (std::tuple_size_v<Tuple> == 0) return nullptr;
  else return &value_constant<Tuple>;
}

template <class S, class Tuple>
constexpr trampoline init_from() noexcept {
  return []<class... A>(std::tuple<A...>*) -> trampoline { return &run_init<S, A...>; }(static_cast<Tuple*>(nullptr));
}

/// A server class S that starts from what its supervisor gives (Before), what its spec holds (Own), and what each start
/// appends (After).
template <class S, class Before, class Own, class After>
inline constexpr child_class server_child{
    .name = short_type_name<S>(),
    .key = type_hash<S>(),
    .behaviour = is_machine<S> ? "gen_statem" : "gen_server",
    .arguments = &value_constant<Own>,
    .before = operations_unless_empty<Before>(),
    .after = operations_unless_empty<After>(),
    .joined = std::tuple_size_v<Before> + std::tuple_size_v<After> == 0
                  ? nullptr : &value_constant<typename joined_arguments<Before, Own, After>::type>,
    .join = &joined_arguments<Before, Own, After>::join,
    .start = &start_server_child,
    .cls = &class_constant<S>,
    .init = init_from<S, typename joined_arguments<Before, Own, After>::type>(),
};

template <class... A>
consteval bool check_child_arguments() {
  static_assert(!!can_be_copied<A...>, "coppice: a child's arguments must be copyable, because each restart uses a copy.");
  return can_be_copied<A...>;
}

template <class S, class Before, class After, class... A>
child_spec server_child_spec(const child_options& options, A&&... arguments) {
  using own = std::tuple<std::decay_t<A>...>;
  return make_child_spec(server_child<S, Before, own, After>, options, child_defaults_of<S>(), any_value(own(std::forward<A>(arguments)...)));
}

}  // namespace detail

/// A server of class `S` as a child: started as `start_link<S>({…}, arguments…)` would start it. A class says what its
/// children are like by default with `static constexpr child_options child_defaults{.restart = transient};`.
/// Spec: SV-1..SV-7, EX-100, EX-102.
template <class S, class... A>
child_spec child(const child_options& options = {}, A&&... arguments) {
  if constexpr (detail::check_child_arguments<std::decay_t<A>...>() && detail::check_server<S, std::decay_t<A>...>())
    return detail::server_child_spec<S, std::tuple<>, std::tuple<>>(options, std::forward<A>(arguments)...);
  else
    __builtin_unreachable();
}

/// A template for children that each start with arguments of their own, of types `More…`, behind those given here: the one
/// child of a simple_one_for_one supervisor.   Spec: SV-80, SV-83.
template <class S, class... More, class... A>
child_spec child_template(const child_options& options = {}, A&&... arguments) {
  if constexpr (detail::check_child_arguments<std::decay_t<A>..., More...>() && detail::check_server<S, std::decay_t<A>..., More...>())
    return detail::server_child_spec<S, std::tuple<>, std::tuple<More...>>(options, std::forward<A>(arguments)...);
  else
    __builtin_unreachable();
}

}  // namespace coppice
