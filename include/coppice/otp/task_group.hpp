// SPDX-License-Identifier: Apache-2.0
//
// task_group: tasks that do not outlive a scope. At its end, however it is left, those that still run are told to end and are
// waited for: so they may refer to what the scope holds.
//
//     task_group group;
//     auto fast = group.async([&] { return fetch("a"); });
//     auto slow = group.async([&] { return fetch("b"); });
//     use(fast.await(1s));                                              // by the handle
//     group.await_all();                                                // the others, too; throws the first failure
//
// Tasks of a group are not linked: their failure is seen by who awaits them. The owner's end, even by the signal `kill`, ends
// them, because it leaves the scope. Design note: docs/internals/task.md.
#pragma once

#include <coppice/otp/task.hpp>

#include <cstddef>

namespace coppice {

/// How a group ends.
struct task_group_options {
  duration shutdown = 5s;   ///< how long a task may take to end when it is told to; then it is killed
};

namespace detail {

struct group_core;
group_core* make_group(const task_group_options& options);
void end_group(group_core* g) noexcept;
result_place* start_in_group(group_core& g, const task_start& what);
void await_group(group_core& g, duration timeout);
void cancel_group(group_core& g);
std::size_t running_in_group(group_core& g);

}  // namespace detail

/// Tasks of one scope.
/// Thread: the process or thread that made it, all functions.   Spec: EX-8.
class task_group {
 public:
  explicit task_group(const task_group_options& options = {}) : core_(detail::make_group(options)) {}
  /// Tells those that still run to end (`shutdown`; `kill` when they have not in time) and waits until they have.
  /// Blocks:  the calling process or thread, also when it is being killed. A task that computes ends at its next wait.
  ~task_group() { detail::end_group(core_); }
  task_group(const task_group&) = delete;
  task_group& operator=(const task_group&) = delete;

  /// Starts a task of this group.
  /// Returns:  its handle, which may be destroyed at once: the group sees the task through.
  /// Fails:    exit_error: system_limit, or the caller is not the group's owner.
  template <task_function F>
  auto async(F&& f, const task_options& options = {}) {
    using own_function = std::decay_t<F>;
    if constexpr (detail::check_task<own_function>()) {
      own_function own(static_cast<F&&>(f));
      return detail::task_access::make<detail::value_of_task<own_function>>(
          detail::start_in_group(*core_, detail::how_to_start(own, options)));
    } else {
      return task<void>();
    }
  }

  /// Waits until all tasks have ended.
  /// Fails:    task_failed, the first failure that was not taken through its handle: the others are ended before; task_timeout
  ///           when the time is up: they go on.
  /// Blocks:   the calling process or thread.
  void await_all(duration timeout = infinity) { detail::await_group(*core_, timeout); }
  /// Tells those that run to end, by the signal `shutdown`. Does not wait.
  void cancel() { detail::cancel_group(*core_); }
  /// How many still run.
  std::size_t size() const { return detail::running_in_group(*core_); }

 private:
  detail::group_core* core_;
};

}  // namespace coppice
