// SPDX-License-Identifier: Apache-2.0
//
// task_core: what the templates of tasks, groups and streams see of their compiled core: the class of a task's process, and
// the operations on places that do not depend on the type of the value.
#pragma once

#include <coppice/base/result.hpp>
#include <coppice/base/type_name.hpp>
#include <coppice/otp/task_error.hpp>
#include <coppice/process/child_spec.hpp>
#include <coppice/process/detail/result_place.hpp>
#include <coppice/process/pid.hpp>

#include <concepts>
#include <cstddef>
#include <new>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

namespace coppice {

/// How a task is started. Every field has a default.
struct task_options {
  std::string_view name{};                ///< local name; taken: exit_error
  std::string_view label{};               ///< shown in reports
  std::size_t stack_bytes = 0;            ///< 0: 64 KiB
  runtime* in = nullptr;                  ///< null: the caller's
};

/// How long the owner of a task waits if nothing is said.
inline constexpr duration task_timeout_default = 5s;

/// What a task came to: its value, or why it has none.
template <class T>
using task_result = result<T, task_failed>;

namespace detail {

// --- the process of a task ------------------------------------------------------------------------------------------

/// What a task's function returns. A reference would point into a stack that is gone when the owner reads it.
template <class F>
using value_of_task = std::remove_cv_t<std::invoke_result_t<F&>>;

template <class F>
consteval bool check_task() {
  static_assert(std::invocable<F&>, "coppice: a task is a function without parameters: capture what it needs.");
  if constexpr (std::invocable<F&>) {
    using R = std::invoke_result_t<F&>;
    static_assert(!std::is_reference_v<R>, "coppice: a task returns a value, not a reference: its stack is gone when the value is read.");
    if constexpr (!std::is_reference_v<R>)
      static_assert(std::is_void_v<R> || std::move_constructible<R>, "coppice: the value of a task is moved to its owner: its type must be movable.");
    return !std::is_reference_v<R>;
  }
  return false;
}

/// The state of a task: where its value goes, and the function.
template <class F>
struct task_state : task_head {
  explicit task_state(F&& f) : function(std::move(f)) {}
  F function;
};

template <class R, class F>
void construct_value(result_place& place, F& function) {
  if constexpr (std::is_void_v<R>) {
    function();
    ::new (value_in(place)) nothing;
  } else {
    ::new (value_in(place)) R(function());
  }
  mark_value(place);
}

/// What a report calls the function: of one that the library made, the program's.
template <class F>
consteval std::string_view shown_name() {
  if constexpr (requires { typename F::shown; }) return type_name<typename F::shown>();
  else return type_name<F>();
}

template <class F>
struct task_body {
  using value = value_of_task<F>;
  using state = task_state<F>;

  static void construct(void* place, void* from) { ::new (place) state(std::move(*static_cast<F*>(from))); }
  static void destroy(void* raw) noexcept { static_cast<state*>(raw)->~state(); }
  static void print(text_sink& out, const void*) { out.put(shown_name<F>()); }
  static void run(void* raw) {
    state& s = *static_cast<state*>(raw);
    if (s.place == nullptr) {
      static_cast<void>(s.function());
      return;
    }
    try {
      if (!may_run(*s.place)) return;
      construct_value<value>(*s.place, s.function);
    } catch (const unwind&) {
      throw;                                             // it has to end: that is no failure of its own
    } catch (...) {
      keep_exception(*s.place);
      throw;
    }
  }
  static constexpr class_descriptor make(std::uint32_t stack) {
    return {.name = "task", .key = 0, .state_size = sizeof(state), .state_align = alignof(state),
            .flags = static_cast<std::uint32_t>(class_flag::task), .stack_bytes = stack, .destroy = &destroy,
            .print = &print, .body = &run, .handles = nullptr, .table = nullptr};
  }
  static constexpr class_descriptor plain[4] = {make(0), make(16 * 1024), make(256 * 1024), make(1024 * 1024)};
};

// --- starting --------------------------------------------------------------------------------------------------------

enum class task_link : bool { none, owner };

/// How a function is kept while somebody else spawns its task.
struct function_operations {
  std::size_t size;
  std::size_t align;
  void (*move)(void* to, void* from);
  void (*destroy)(void* function) noexcept;
};
template <class F>
inline constexpr function_operations function_operations_of{sizeof(F), alignof(F), &move_message<F>, &destroy_message<F>};

/// What the core needs to start one.
struct task_start {
  const class_descriptor* cls;
  state_maker make;                              // its context is the function
  const result_type* type;
  const task_options* options;
  const function_operations* function = nullptr;
};
/// The running process or thread becomes the owner. Throws exit_error.
result_place* start_task(const task_start& what, task_link link);
/// Without a result. Throws exit_error.
pid start_alone(const task_start& what, task_link link);
/// The monitor of the caller is also the alias that `told` gives to the new process.
spawned start_telling(const task_start& what, void (*told)(void* state, reference ref));
/// A place that is done. The value is to be constructed in it; then call finish_made.
result_place* make_done(const result_type& type);

// --- the owner's operations ------------------------------------------------------------------------------------------

/// Waits for the end of the task.
/// Returns: false when the time is up. Fails: exit_error when the caller is not the owner.
bool await_place(result_place* p, duration timeout);
/// await_place for `await`: throws task_timeout when the time is up or nothing will come. A failed place is given back.
void await_value(result_place*& p, duration timeout);
/// EX-10. Returns: false when nothing is to be taken.
bool shutdown_place(result_place* p, const shutdown_time& time);
/// EX-12.
bool ignore_place(result_place* p);
/// After a shutdown or an ignore: the task ended by the signal and has no value; the handle is empty.
void drop_place(result_place*& p) noexcept;
/// The failure in a place that is done; it counts as taken.
task_failed failure_of(result_place& p);
task_failed failure_of_empty();

enum class many_mode : unsigned char { values, results };
struct many_end {
  bool in_time;                                  ///< enough were done, or one has failed
  std::size_t failed;                            ///< values: the first that has failed; else the number of places
};
/// EX-13, EX-14: waits until all are done, `limit` are, one has failed (values), or the time is up. No place: nothing to wait
/// for; with `values`: task_timeout. Throws exit_error when the caller does not own all of them.
many_end await_places(std::span<result_place* const> places, duration timeout, std::size_t limit, many_mode mode);
[[noreturn]] void throw_not_in_time(std::span<result_place* const> places, duration timeout);

}  // namespace detail
}  // namespace coppice
