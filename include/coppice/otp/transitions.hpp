// SPDX-License-Identifier: Apache-2.0
//
// transitions: which states of a machine lead where. What the handlers say with `next<…>` is a table already; here it is
// checked as a whole, and shown.
//
//     struct door {
//       using all = states<locked, open>;
//       using allowed = transitions<edge<locked, open>, edge<open, locked>>;    // every handler must keep to it
//       …
//     };
//     print(transition_table<door, messages<button>>());
//
// Overloads cannot be enumerated in C++: the table shows the events that are named, those of the machine's `protocol`, and
// the plain timeouts.   Spec: SE-45.
#pragma once

#include <coppice/otp/gen_statem.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace coppice {

template <class From, class To>
struct edge {};

/// The edges that a machine allows. A handler that leads elsewhere does not compile. To stay is always allowed.
template <class... E>
struct transitions {
  template <class From, class To>
  static constexpr bool has = (std::is_same_v<edge<From, To>, E> || ...);
};

/// One handler's way: from a state, by an event, to a state. `to` is empty where the handler never leaves.
struct transition {
  std::string_view from;
  std::string_view event;
  std::string_view to;
  friend bool operator==(const transition&, const transition&) = default;
};

/// `locked --button--> open`; `open --where--> open` for a handler that stays.
std::string to_text(const transition& t);
/// One a line.
std::string to_text(const std::vector<transition>& table);
/// The same for Graphviz: `dot -Tsvg`. The edges that stay are left out.
std::string to_dot(std::string_view machine, const std::vector<transition>& table);

namespace detail {

template <class M, class S, class E>
void add_transitions(std::vector<transition>& table) {
  if constexpr (is_handled<M, M, S, E>()) {
    using targets = typename targets_of<M, typename result_for<M, M, S, E>::type>::type;
    const auto add = [&]<class... T>(states<T...>) {
      (table.push_back({short_type_name<S>(), short_type_name<E>(), short_type_name<T>()}), ...);
      if constexpr (sizeof...(T) == 0) table.push_back({short_type_name<S>(), short_type_name<E>(), {}});
    };
    add(targets{});
  }
}
template <class M, class... S, class... E>
void add_transitions_of(std::vector<transition>& table, states<S...>, messages<E...>) {
  const auto of_state = [&]<class State>(State*) { (add_transitions<M, State, E>(table), ...); };
  (of_state(static_cast<S*>(nullptr)), ...);
}

template <class M>
struct protocol_of { using type = messages<>; };
template <class M>
  requires has_protocol<M>
struct protocol_of<M> { using type = typename M::protocol; };

}  // namespace detail

/// All ways of machine `M` by the events of `Events` (default: its protocol), then by the plain timeouts.
template <class M, class Events = typename detail::protocol_of<M>::type>
std::vector<transition> transition_table() {
  std::vector<transition> table;
  detail::add_transitions_of<M>(table, typename M::all{}, Events{});
  detail::add_transitions_of<M>(table, typename M::all{}, messages<state_timeout, event_timeout, named_timeout>{});
  return table;
}

/// The picture of machine `M`, for Graphviz.
template <class M, class Events = typename detail::protocol_of<M>::type>
std::string to_dot() { return to_dot(short_type_name<M>(), transition_table<M, Events>()); }

}  // namespace coppice
