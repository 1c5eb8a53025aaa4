// SPDX-License-Identifier: Apache-2.0
//
// result_place: where a process leaves what it computed, for the one that started it: a pooled block with room for one value.
// It takes the place of the monitor, the alias, the link and the result message that a task would need otherwise: who waits
// for the result waits for this place, and nothing of the task ever reaches the mailbox.
//
// The maker is the *owner*: it alone waits for the place, takes the result and gives the place back. The process that computes
// is the *task*: it constructs the value and, when it has ended and nothing of it exists any more, marks the place `done`.
// Layout and transitions: src/process/result_place.hpp. Design note: docs/internals/task.md.
#pragma once

#include <coppice/process/detail/core.hpp>

#include <cstdint>
#include <exception>

namespace coppice::detail {

/// The type of the value in a place.
struct result_type {
  std::uint32_t size;
  std::uint32_t align;
  void (*destroy)(void* value) noexcept;
};
template <class T>
inline constexpr result_type result_type_of{sizeof(T), alignof(T), &destroy_message<T>};

/// What the state of a process of a class with the flag `task` begins with.
struct task_head {
  result_place* place = nullptr;                 ///< null: nobody waits for a result
};

/// A place of the running process or thread. `linked`: a failure of the task ends the owner, and an end of the owner the task.
/// Give it to spawn_core as `result`, or to discard_place.
result_place* new_place(const result_type& type, bool linked);
/// Where the value is constructed, by the task, and read, by the owner when the place is done.
void* value_in(result_place& p) noexcept;
/// By the task, before it computes: waits until the owner allows it. False: it must not run (SV-134).
bool may_run(result_place& p);
/// The value is constructed.
void mark_value(result_place& p) noexcept;
/// Inside `catch`: the exception that the task fails with, for the owner.
void keep_exception(result_place& p) noexcept;

// When the place is done; the owner only.
bool has_value(const result_place& p) noexcept;
const exit_reason& reason_of_end(const result_place& p) noexcept;
const std::exception_ptr& exception_of(const result_place& p) noexcept;
pid task_of(const result_place& p) noexcept;

}  // namespace coppice::detail
