// SPDX-License-Identifier: Apache-2.0
//
// task_supervisor: a dynamic supervisor for tasks. Work that somebody asks for and that shall not die silently, nor live on for
// ever, has a place in the tree: it is seen there, counted, bounded, and stopped with it.
//
//     task_supervisor jobs = start_task_supervisor({.name = "jobs", .max_children = 100});
//     jobs.start_child([mail] { send_mail(mail); });                     // nobody waits for it
//     auto t = jobs.async_nolink([q] { return search(q); });             // we do, and live on if it fails
//     auto answer = t.yield(2s);
//
// Owner of a task of `async` and of a stream is the caller, exactly as without a supervisor; the supervisor starts the process and
// stops it when it is stopped itself. Design note: docs/internals/task.md.
#pragma once

#include <coppice/otp/async_stream.hpp>
#include <coppice/otp/dynamic_supervisor.hpp>
#include <coppice/otp/task_child.hpp>

#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

namespace coppice {

/// A supervisor of tasks, as a value.   Spec: SV-130.
struct task_supervisor_spec {
  owned_name name{};
  unsigned intensity = 3;             ///< of restarts, for tasks that are not temporary
  duration period = 5s;
  std::size_t max_children = std::numeric_limits<std::size_t>::max();

  friend bool operator==(const task_supervisor_spec&, const task_supervisor_spec&) = default;
};

/// How one task stands under its supervisor.   Spec: SV-130, SV-131.
struct supervised_task_options {
  restart_type restart = temporary;   ///< of start_child alone; started again from a copy of the function
  shutdown_time shutdown = 5s;        ///< how long it may take to end with its supervisor
  std::string_view label{};           ///< shown in reports
  std::size_t stack_bytes = 0;        ///< 0: 64 KiB
};

namespace detail {

result_place* start_task_under(const supervisor_address& at, const task_start& what, const shutdown_time& shutdown, task_link link);
result<pid, supervisor_error> start_alone_under(const supervisor_address& at, const task_start& what, const supervised_task_options& options);
result<pid, supervisor_error> start_again_under(const supervisor_address& at, child_spec spec);
[[noreturn]] void throw_not_restartable(std::string_view function);
std::vector<pid> tasks_under(const supervisor_address& at);

template <class F>
child_spec restartable_task(F&& own, const supervised_task_options& options) {
  return make_child_spec(task_class<F>, {.id = "task", .restart = options.restart, .shutdown = options.shutdown, .label = options.label}, {},
                         any_value(std::tuple<F>(std::move(own))));
}

}  // namespace detail

/// The handle of a supervisor of tasks.
/// Thread: any; what async returns is the calling process's or thread's.   Spec: SV-130..SV-137.
class task_supervisor {
 public:
  task_supervisor() noexcept = default;
  explicit task_supervisor(pid who) noexcept : at_(who) {}
  explicit task_supervisor(const name_view& name) : at_(name) {}

  pid id() const noexcept { return at_.find(); }
  operator pid() const noexcept { return at_.find(); }
  operator dynamic_supervisor() const { return at_.name() ? dynamic_supervisor(at_.name().view()) : dynamic_supervisor(at_.find()); }

  /// Starts a task of which nobody wants the result, not linked to the caller.
  /// Returns:  its pid.
  /// Fails:    supervisor_error: max_children, failed, unreachable. std::invalid_argument for a function that cannot be copied and
  ///           is to be started again.   Spec: SV-131, SV-133.
  template <task_function F>
  pid start_child(F&& f, const supervised_task_options& options = {}) const { return try_start_child(static_cast<F&&>(f), options).value(); }
  template <task_function F>
  [[nodiscard]] result<pid, supervisor_error> try_start_child(F&& f, const supervised_task_options& options = {}) const {
    using own_function = std::decay_t<F>;
    own_function own(static_cast<F&&>(f));
    if (options.restart != temporary) {
      if constexpr (std::copy_constructible<own_function>)
        return detail::start_again_under(at_, detail::restartable_task(std::move(own), options));
      else
        detail::throw_not_restartable(type_name<own_function>());
    }
    return detail::start_alone_under(at_, detail::how_to_start(own, {.label = options.label, .stack_bytes = options.stack_bytes}), options);
  }

  /// As async, under this supervisor.
  /// Fails:    supervisor_error: max_children, failed, unreachable.   Spec: SV-132..SV-134, EX-1.
  template <task_function F>
  [[nodiscard]] auto async(F&& f, const supervised_task_options& options = {}) const {
    return start_under(static_cast<F&&>(f), options, detail::task_link::owner);
  }
  /// As async_nolink, under this supervisor: its failure is seen by who awaits it.   Spec: SV-132.
  template <task_function F>
  [[nodiscard]] auto async_nolink(F&& f, const supervised_task_options& options = {}) const {
    return start_under(static_cast<F&&>(f), options, detail::task_link::none);
  }

  /// As async_stream, with its tasks under this supervisor.   Fails: (reading) supervisor_error, too.   Spec: SV-135.
  template <class Range, class F>
  [[nodiscard]] auto async_stream(Range&& input, F function, const stream_options& options = {}) const {
    return detail::stream_over(std::forward<Range>(input), std::move(function), options, detail::task_link::owner, &at_);
  }
  template <class Range, class F>
  [[nodiscard]] auto async_stream_nolink(Range&& input, F function, const stream_options& options = {}) const {
    return detail::stream_over(std::forward<Range>(input), std::move(function), options, detail::task_link::none, &at_);
  }

  /// The tasks that run.   Cost: O(n).   Spec: SV-136.
  std::vector<pid> children() const { return detail::tasks_under(at_); }
  child_counts count_children() const { return detail::count_children_in(at_, infinity).value(); }
  /// Stops a task and waits for its end.   Fails: supervisor_error: not_found, unreachable.   Spec: SV-136.
  void terminate_child(pid who, duration timeout = infinity) const { detail::terminate_child_in(at_, {}, who, timeout).value(); }
  auto try_terminate_child(pid who, duration timeout = infinity) const { return detail::terminate_child_in(at_, {}, who, timeout); }

 private:
  template <class F>
  auto start_under(F&& f, const supervised_task_options& options, detail::task_link link) const {
    using own_function = std::decay_t<F>;
    if constexpr (detail::check_task<own_function>()) {
      own_function own(static_cast<F&&>(f));
      return detail::task_access::make<detail::value_of_task<own_function>>(detail::start_task_under(
          at_, detail::how_to_start(own, {.label = options.label, .stack_bytes = options.stack_bytes}), options.shutdown, link));
    } else {
      return task<void>();
    }
  }

  detail::supervisor_address at_;
};

/// Starts a supervisor of tasks.   Fails: throws start_error.   Spec: SV-130.
task_supervisor start_task_supervisor(const task_supervisor_spec& spec = {}, const start_options& options = {});
/// The same, linked to the calling process.
task_supervisor start_task_supervisor_link(const task_supervisor_spec& spec = {}, const start_options& options = {});

/// A supervisor of tasks as a child: type supervisor, shutdown infinity, its name as its id.   Spec: EX-101.
child_spec child(const child_options& options, const task_supervisor_spec& spec);
inline child_spec child(const task_supervisor_spec& spec) { return child(child_options{}, spec); }

}  // namespace coppice
