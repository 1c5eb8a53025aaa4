// SPDX-License-Identifier: Apache-2.0
//
// task_child: a task directly under a supervisor, which starts it and does not wait for it.
//
//     one_for_one{ …, task_child({.id = "warm up"}, [](int pages) { … }, 20) }
//
// As with other children the spec holds no closure but a function and copies of its arguments.
#pragma once

#include <coppice/otp/task.hpp>
#include <coppice/process/child_spec.hpp>

#include <tuple>
#include <utility>

namespace coppice {

namespace detail {

/// The task of a child: the function and its arguments.
template <class F, class... A>
struct child_call {
  using shown = F;
  std::tuple<F, A...> all;
  void operator()() {
    std::apply([](F& f, A&... a) { static_cast<void>(f(std::move(a)...)); }, all);
  }
};

template <class F, class... A>
started_child start_task_child(const child_class&, const child_spec& spec, void* given) {
  const name_view name = spec.name.view();
  if (name && name.form() != name_view::kind::local) return started_child::failure(exit_reason("bad_name"));
  if (const pid holder = name ? resolve(name) : pid{}) return started_child::taken_by(holder);
  try {
    return started_child(start_link(child_call<F, A...>{std::move(*static_cast<std::tuple<F, A...>*>(given))},
                                    {.name = name.text(), .label = spec.label}));
  } catch (...) {
    return caught_start();
  }
}

template <class F, class... A>
inline constexpr child_class task_class{
    .name = "task",
    .key = type_hash<child_call<F, A...>>(),
    .behaviour = "task",
    .arguments = &value_constant<std::tuple<F, A...>>,
    .start = &start_task_child<F, A...>,
};

template <class F, class... A>
consteval bool check_task_child() {
  static_assert(!holds_something<F>, "coppice: a child is started by a function and its arguments, not by a closure that holds something: hand over what it holds as arguments.");
  static_assert(!!can_be_copied<A...>, "coppice: a child's arguments must be copyable, because each restart uses a copy.");
  if constexpr (!holds_something<F>) {
    static_assert(!!can_be_called<F, A...>, "coppice: the function of this task cannot be called with these arguments.");
    return can_be_copied<A...> && can_be_called<F, A...>;
  }
  return false;
}

}  // namespace detail

/// A task that runs `function(arguments…)` as a child. `temporary` if nothing is said: it is not started again.
/// Spec: EX-16, EX-101.
template <class F, class... A>
child_spec task_child(const child_options& options, F&& function, A&&... arguments) {
  using f = std::decay_t<F>;
  if constexpr (detail::check_task_child<f, std::decay_t<A>...>())
    return detail::make_child_spec(detail::task_class<f, std::decay_t<A>...>, options, {},
                                   any_value(std::tuple<f, std::decay_t<A>...>(std::forward<F>(function), std::forward<A>(arguments)...)),
                                   {.restart = temporary});
  else
    __builtin_unreachable();
}

}  // namespace coppice
