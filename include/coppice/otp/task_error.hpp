// SPDX-License-Identifier: Apache-2.0
//
// task_failed, task_timeout: why a task gave no value, as typed errors. Values. Uncaught in a process, they end it with the
// task's reason, or with `timeout`.
#pragma once

#include <coppice/process/exit_reason.hpp>
#include <coppice/process/pid.hpp>

#include <exception>
#include <string_view>

namespace coppice {

/// A task ended without a value. Thrown by await; what `error()` of a task's result is.   Spec: EX-4, EX-9.
class task_failed : public exit_error {
 public:
  task_failed(exit_reason reason, pid who, std::exception_ptr exception, std::string_view what);

  /// The task; none for a task that never had a process.
  pid who() const noexcept { return who_; }
  /// What the task's function threw; null if it ended in another way (a signal, exit()).
  const std::exception_ptr& exception() const noexcept { return exception_; }
  /// Throws what the task's function threw; this error if it ended in another way.
  [[noreturn]] void rethrow() const;

 private:
  pid who_;
  std::exception_ptr exception_;
};

/// A task has no result yet, or will never have one: it was taken, or given up.   Spec: EX-6, EX-12.
class task_timeout : public exit_error {
 public:
  task_timeout(pid who, std::string_view what);
  pid who() const noexcept { return who_; }

 private:
  pid who_;
};

}  // namespace coppice
