// SPDX-License-Identifier: Apache-2.0
//
// task_message: tasks for servers, which cannot wait: the result comes as a message.
//
//     void handle_cast(quote q) { asked.emplace(async_message(this, [q] { return fetch_price(q); }).ref, q); }
//     void handle_info(task_reply<int> r) {                              // the value
//       demonitor_and_flush(r.ref);                                      // the DOWN of its normal end is of no interest
//       …
//     }
//     void handle_info(down d) { … }                                     // it failed; d.ref says which
//
// Such a task is monitored by its owner and not linked.
#pragma once

#include <coppice/otp/detail/trampolines.hpp>
#include <coppice/otp/task.hpp>

#include <utility>

namespace coppice {

/// The value of a task of async_message.
template <class T>
struct task_reply {
  reference ref;
  T value;
};
template <>
struct task_reply<void> {
  reference ref;
};

namespace detail {

/// Whose handle_info gets the message: of any process that receives, or of a server of class S.
struct any_process {};
template <class S, class M>
constexpr trampoline run_of_reply() noexcept {
  if constexpr (std::same_as<S, any_process> || found_by_key<S, M>()) return nullptr;
  else return &run_info<S, M>;
}
template <class S>
constexpr std::uint64_t class_of_reply() noexcept {
  if constexpr (std::same_as<S, any_process>) return 0;
  else return class_constant<S>.key;
}
template <class S, class M>
consteval bool check_task_reply() {
  if constexpr (!std::same_as<S, any_process>) {
    static_assert(!!has_handle_info<S, M>, "coppice: the server has no handle_info(task_reply<T>) for the value of this task.");
    return has_handle_info<S, M>;
  }
  return true;
}

/// Takes the node; src/otp/task_message.cpp.
void send_reply(const alias_ref& to, node* n, trampoline run, std::uint64_t class_key);

/// The function of such a task: computes, then sends.
template <class S, class F>
struct messenger {
  using shown = F;
  using value = value_of_task<F>;
  using message = task_reply<value>;
  F function;
  alias_ref to{};

  void operator()() {
    if constexpr (std::is_void_v<value>) {
      function();
      give(message{to.ref});
    } else {
      give(message{to.ref, function()});
    }
  }
  void give(message m) {
    send_reply(to, construct_in(new_alias_node(descriptor_of<message>(), to), std::move(m)), run_of_reply<S, message>(), class_of_reply<S>());
  }
  static void told(void* state, reference ref) { static_cast<task_state<messenger>*>(state)->function.to.ref = ref; }
};

template <class S, class F>
monitored start_messenger(F&& f, const task_options& options) {
  using own_function = std::decay_t<F>;
  if constexpr (check_task<own_function>()) {
    using body = messenger<S, own_function>;
    if constexpr (check_task_reply<S, typename body::message>()) {
      body own{static_cast<F&&>(f), {self(), {}}};
      const spawned s = start_telling({.cls = &task_body<body>::plain[stack_index(options.stack_bytes)],
                                       .make = {&task_body<body>::construct, &own},
                                       .type = nullptr,
                                       .options = &options},
                                      &body::told);
      return {s.who, s.ref};
    }
  }
  return {};
}

}  // namespace detail

/// Starts a task whose value comes to the caller as the message task_reply<T>, and whose end as `down`, both with the reference
/// that is returned. After the value has come, demonitor_and_flush(ref) keeps the DOWN of its end away; before, it makes
/// sure that neither comes.
/// Returns:  the task's pid and the reference.
/// Fails:    exit_error: system_limit.
/// Thread:   any; the first form inside the server's callbacks, as `async_message(this, f)`: its handle_info is checked at compile
///           time. The second for a process that receives, or a server whose protocol lists the message.   Spec: EX-19.
template <class S, task_function F>
  requires std::is_class_v<S>
monitored async_message(const S*, F&& f, const task_options& options = {}) {
  return detail::start_messenger<S>(static_cast<F&&>(f), options);
}
template <task_function F>
monitored async_message(F&& f, const task_options& options = {}) {
  return detail::start_messenger<detail::any_process>(static_cast<F&&>(f), options);
}

}  // namespace coppice
