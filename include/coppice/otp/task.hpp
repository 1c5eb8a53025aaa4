// SPDX-License-Identifier: Apache-2.0
//
// task: a process that computes one value for the one that started it, its *owner*.
//
//     auto price = async([&] { return fetch_price(article); });        // runs beside us
//     …
//     int p = price.await(1s);                                          // or throws task_failed, task_timeout
//
// The result goes through a pooled place and never through a mailbox: no message, EXIT or DOWN of a task ever reaches its
// owner's. Only the owner may ask for the result; the handle may be moved within the owner as it likes.
//
// Links: async links the task to its owner. If the task fails, the owner ends with its reason, unless it traps exits; if the
// owner ends abnormally, so does the task. async_nolink does without. A plain thread cannot be linked: nothing could end it,
// so from there both are the same, and a failure is seen by await.
//
// A handle that is destroyed gives the result up; the task goes on, linked as it was. For tasks that must not outlive a scope
// there is task_group. Design note: docs/internals/task.md.
#pragma once

#include <coppice/otp/detail/task_core.hpp>
#include <coppice/otp/task_error.hpp>
#include <coppice/process/child_spec.hpp>
#include <coppice/process/process.hpp>

#include <concepts>
#include <cstddef>
#include <iterator>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

namespace coppice {

template <class T>
class task;

namespace detail {

/// How the parts of the library reach into a handle.
struct task_access {
  template <class T>
  static task<T> make(result_place* p) noexcept { return task<T>(p); }
  template <class T>
  static result_place* place(const task<T>& t) noexcept { return t.place_; }
  template <class T>
  static T take_value(task<T>& t) { return t.take_value(); }
  template <class T>
  static task_result<T> take_result(task<T>& t) { return t.take_result(); }
  template <class T>
  static void drop(task<T>& t) noexcept { drop_place(t.place_); }
};

template <class N>
concept timeout_without_unit = std::is_arithmetic_v<N>;

}  // namespace detail

/// The owner's handle of a task.
/// Thread: the owner's; moving and destroying: any.   Spec: EX-1..EX-15, OL-62..OL-65.
template <class T>
class [[nodiscard]] task {
 public:
  using value_type = T;

  task() noexcept = default;
  task(task&& other) noexcept : place_(std::exchange(other.place_, nullptr)) {}
  task& operator=(task&& other) noexcept {
    detail::result_place* before = std::exchange(place_, std::exchange(other.place_, nullptr));
    detail::drop_place(before);
    return *this;
  }
  ~task() {
    if (place_ != nullptr) detail::drop_place(place_);
  }

  /// Whether a result can still be taken from it.
  explicit operator bool() const noexcept { return place_ != nullptr; }
  /// The process that computes; none when the result was taken, and for `completed`.
  pid id() const noexcept { return place_ != nullptr ? detail::task_of(*place_) : pid{}; }

  /// Waits for the value.
  /// Returns:  it; the handle is empty then.
  /// Fails:    task_failed, with the reason and the exception (the handle is empty then); task_timeout, and the task goes on
  ///           and may be asked again; task_timeout at once if the handle is empty; exit_error if the caller is not the owner.
  /// Blocks:   the calling process or thread.
  /// Thread:   the owner.   Cost: with async about 150 ns; no allocation beyond pooled blocks.   Spec: EX-3..EX-7, OL-63.
  T await(duration timeout = task_timeout_default) {
    detail::await_value(place_, timeout);
    return take_value();
  }
  template <detail::timeout_without_unit N>
  T await(N) {
    static_assert(!detail::timeout_without_unit<N>, "coppice: a timeout needs a unit: write 5s or 100ms, not a bare number.");
    __builtin_unreachable();
  }

  /// Waits, and says what came.
  /// Returns:  the value, or why there is none; nothing if the task still runs: ask again. Nothing at once if the handle is empty.
  /// Fails:    exit_error if the caller is not the owner.
  /// Blocks:   the calling process or thread.   Spec: EX-9, EX-11.
  std::optional<task_result<T>> yield(duration timeout = task_timeout_default) {
    if (!detail::await_place(place_, timeout)) return std::nullopt;
    return take_result();
  }

  /// Ends the task: unlinks it, sends it `shutdown`, and `kill` when it has not ended in time (`brutal_kill`: at once); waits
  /// for its end.
  /// Returns:  the value if there was one all the same; nothing if it ended by our signal; else why it ended.
  ///           The handle is empty afterwards; noproc if it was before.
  /// Blocks:   the calling process or thread. A task that computes ends at its next wait.   Spec: EX-10, EX-11.
  std::optional<task_result<T>> shutdown(shutdown_time time = task_timeout_default) {
    if (place_ == nullptr) return task_result<T>(error(detail::failure_of_empty()));
    if (detail::shutdown_place(place_, time)) return take_result();
    detail::drop_place(place_);
    return std::nullopt;
  }

  /// Unlinks the task and gives its result up; it goes on.
  /// Returns:  what had come already; else nothing. The handle is empty afterwards.   Spec: EX-12.
  std::optional<task_result<T>> ignore() {
    if (detail::ignore_place(place_)) return take_result();
    detail::drop_place(place_);
    return std::nullopt;
  }

 private:
  friend struct detail::task_access;
  explicit task(detail::result_place* place) noexcept : place_(place) {}

  /// Gives the place back when the value has been moved out, or could not be.
  struct emptied {
    task& of;
    ~emptied() { detail::drop_place(of.place_); }
  };
  T take_value() {
    const emptied when_left{*this};
    if constexpr (!std::is_void_v<T>) return std::move(*static_cast<T*>(detail::value_in(*place_)));
  }
  task_result<T> take_result() {
    const emptied when_left{*this};
    if (!detail::has_value(*place_)) return error(detail::failure_of(*place_));
    if constexpr (std::is_void_v<T>) return {};
    else return task_result<T>(std::in_place, std::move(*static_cast<T*>(detail::value_in(*place_))));
  }

  detail::result_place* place_ = nullptr;
};

/// What can be the function of a task.
template <class F>
concept task_function = std::move_constructible<std::decay_t<F>>;

namespace detail {

template <class F>
task_start how_to_start(F& own, const task_options& options) noexcept {
  using value = stored<value_of_task<F>>;
  return {.cls = &task_body<F>::plain[stack_index(options.stack_bytes)],
          .make = {&task_body<F>::construct, &own},
          .type = &result_type_of<value>,
          .options = &options,
          .function = &function_operations_of<F>};
}

template <class F>
auto start_async(F&& f, const task_options& options, task_link link) {
  using own_function = std::decay_t<F>;
  if constexpr (check_task<own_function>()) {
    own_function own(static_cast<F&&>(f));
    return task_access::make<value_of_task<own_function>>(start_task(how_to_start(own, options), link));
  } else {
    return task<void>();
  }
}

}  // namespace detail

/// Starts a process that computes `f()`, linked to the caller.
/// Returns:  the handle from which the caller takes the value.
/// Fails:    exit_error: system_limit.
/// Thread:   any; from a plain thread without the link.   Cost: one slot and one pooled block.   Spec: EX-1, EX-2, EX-8, OL-65.
template <task_function F>
[[nodiscard]] auto async(F&& f, const task_options& options = {}) {
  return detail::start_async(static_cast<F&&>(f), options, detail::task_link::owner);
}
/// The same without the link: its failure is seen by who awaits it, the caller's end is nothing to it.   Spec: EX-5.
template <task_function F>
[[nodiscard]] auto async_nolink(F&& f, const task_options& options = {}) {
  return detail::start_async(static_cast<F&&>(f), options, detail::task_link::none);
}

/// A task that is done and never had a process.   Spec: EX-15.
template <class T>
[[nodiscard]] task<std::decay_t<T>> completed(T&& value) {
  using own = std::decay_t<T>;
  detail::result_place* p = detail::make_done(detail::result_type_of<own>);
  task<own> made = detail::task_access::make<own>(p);
  ::new (detail::value_in(*p)) own(static_cast<T&&>(value));
  detail::mark_value(*p);
  return made;
}
[[nodiscard]] inline task<void> completed() {
  detail::result_place* p = detail::make_done(detail::result_type_of<detail::nothing>);
  ::new (detail::value_in(*p)) detail::nothing;
  detail::mark_value(*p);
  return detail::task_access::make<void>(p);
}

/// Starts a task of which nobody wants a result, and no handle.   Returns: its pid.   Spec: EX-16.
template <task_function F>
  requires std::invocable<std::decay_t<F>&>
pid start(F&& f, const task_options& options = {}) {
  std::decay_t<F> own(static_cast<F&&>(f));
  return detail::start_alone({.cls = &detail::task_body<std::decay_t<F>>::plain[detail::stack_index(options.stack_bytes)],
                              .make = {&detail::task_body<std::decay_t<F>>::construct, &own},
                              .type = nullptr,
                              .options = &options},
                             detail::task_link::none);
}
/// The same, linked to the calling process.   Fails: exit_error in a plain thread.   Spec: EX-16.
template <task_function F>
  requires std::invocable<std::decay_t<F>&>
pid start_link(F&& f, const task_options& options = {}) {
  std::decay_t<F> own(static_cast<F&&>(f));
  return detail::start_alone({.cls = &detail::task_body<std::decay_t<F>>::plain[detail::stack_index(options.stack_bytes)],
                              .make = {&detail::task_body<std::decay_t<F>>::construct, &own},
                              .type = nullptr,
                              .options = &options},
                             detail::task_link::owner);
}

// --- many ------------------------------------------------------------------------------------------------------------

namespace detail {

template <class Tasks>
concept tasks_range = requires(Tasks& r) {
  std::begin(r);
  std::end(r);
  typename std::remove_cvref_t<decltype(*std::begin(r))>::value_type;
} && std::same_as<std::remove_cvref_t<decltype(*std::begin(std::declval<Tasks&>()))>,
                  task<typename std::remove_cvref_t<decltype(*std::begin(std::declval<Tasks&>()))>::value_type>>;
template <class Tasks>
using value_of_tasks = typename std::remove_cvref_t<decltype(*std::begin(std::declval<Tasks&>()))>::value_type;

template <class Tasks>
std::vector<result_place*> places_of(Tasks& tasks) {
  std::vector<result_place*> places;
  for (auto& t : tasks) places.push_back(task_access::place(t));
  return places;
}

}  // namespace detail

/// Waits for the values of all.
/// Returns:  them, in the order of `tasks` (for task<void> nothing); all handles are empty then.
/// Fails:    task_failed as soon as one of them has failed, task_timeout after the common time: the others go on, their handles
///           keep what they have. exit_error if the caller does not own all of them.
/// Blocks:   the calling process or thread.   Spec: EX-13.
template <detail::tasks_range Tasks>
auto await_many(Tasks&& tasks, duration timeout = task_timeout_default) {
  using T = detail::value_of_tasks<Tasks>;
  const auto places = detail::places_of(tasks);
  const detail::many_end came = detail::await_places(places, timeout, places.size(), detail::many_mode::values);
  if (!came.in_time) detail::throw_not_in_time(places, timeout);
  std::size_t i = 0;
  for (auto& t : tasks)
    if (i++ == came.failed) static_cast<void>(t.await(duration{0}));   // throws why
  if constexpr (std::is_void_v<T>) {
    for (auto& t : tasks) detail::task_access::take_value(t);
  } else {
    std::vector<T> values;
    values.reserve(places.size());
    for (auto& t : tasks) values.push_back(detail::task_access::take_value(t));
    return values;
  }
}

/// How to wait for many, and what becomes of those that are not done in time.
struct yield_many_options {
  enum action : unsigned char { nothing, ignore_task, kill_task };
  duration timeout = task_timeout_default;
  std::size_t limit = std::numeric_limits<std::size_t>::max();   ///< enough: then `on_timeout` does not apply
  action on_timeout = nothing;
};

/// Waits for many.
/// Returns:  for each task, in the order of `tasks`, its result; nothing for those that still run and for empty handles.
/// Fails:    exit_error if the caller does not own all of them.
/// Blocks:   the calling process or thread.   Spec: EX-14.
template <detail::tasks_range Tasks>
auto yield_many(Tasks&& tasks, const yield_many_options& options = {}) {
  using T = detail::value_of_tasks<Tasks>;
  const auto places = detail::places_of(tasks);
  const bool in_time = detail::await_places(places, options.timeout, options.limit, detail::many_mode::results).in_time;
  std::vector<std::optional<task_result<T>>> results;
  results.reserve(places.size());
  for (auto& t : tasks) {
    auto one = t.yield(duration{0});
    if (!one && t && !in_time && options.on_timeout == yield_many_options::ignore_task) one = t.ignore();
    if (!one && t && !in_time && options.on_timeout == yield_many_options::kill_task) one = t.shutdown(brutal_kill);
    results.push_back(std::move(one));
  }
  return results;
}

}  // namespace coppice
