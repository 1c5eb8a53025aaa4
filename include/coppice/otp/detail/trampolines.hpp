// SPDX-License-Identifier: Apache-2.0
//
// trampolines: the plain functions through which the compiled core reaches a user's callbacks. Each one moves its message
// out of the frame first (the sender's copy may go away as soon as the handler waits), runs the callback, and translates
// what it returns, or throws, into the frame. Nothing else is compiled per user type.
#pragma once

#include <coppice/otp/detail/gen.hpp>
#include <coppice/otp/detail/handlers.hpp>

#include <new>
#include <optional>
#include <tuple>

namespace coppice::detail {

template <class S, class X>
void run_continue(handler_frame& frame) noexcept;
template <class S, class M>
void run_info(handler_frame& frame) noexcept;
template <class S>
void run_message(handler_frame& frame) noexcept;

// --- what follows ----------------------------------------------------------------------------------------------------

/// The trampoline of what action A leads to.
template <class S, class A>
struct follow_up { static constexpr trampoline run = nullptr; };
template <class S, class X>
struct follow_up<S, continue_action<X>> { static constexpr trampoline run = &run_continue<S, X>; };
template <class S, class M>
struct follow_up<S, message_timeout<M>> {
  static constexpr trampoline run = [] {
    if constexpr (has_handle_info<S, M>) return &run_info<S, M>;
    else return &run_message<S>;
  }();
};

template <class S>
void follow(handler_frame&, no_action) noexcept {}
template <class S>
void follow(handler_frame& frame, wait_action a) noexcept { frame.then_do = after::wait, frame.wait = a.wait, frame.then = nullptr; }
template <class S>
void follow(handler_frame& frame, hibernate_action) noexcept { frame.then_do = after::hibernate, frame.wait = 0, frame.then = nullptr; }
template <class S, class X>
void follow(handler_frame& frame, continue_action<X>&& a) {
  const open_node n = new_follow_up(descriptor_of<X>(), follow_up<S, continue_action<X>>::run);
  frame.then = construct_at<X>(n.made, n.place, std::move(a.value));
  frame.wait = 0;
  frame.then_do = after::go_on;
}
template <class S, class M>
void follow(handler_frame& frame, message_timeout<M>&& a) {
  const open_node n = new_follow_up(descriptor_of<M>(), follow_up<S, message_timeout<M>>::run);
  frame.then = construct_at<M>(n.made, n.place, std::move(a.message));
  frame.then_do = a.hibernated ? after::hibernate : after::wait_message;
  frame.wait = then_part::wait_of(a.wait, a.absolute);
}

/// The same for an outcome<…, X…>, which has built its node already.
template <class S, class... X>
void follow_part(handler_frame& frame, then_part& part) noexcept {
  frame.then_do = part.what;
  frame.wait = part.wait;
  frame.then = part.take();
  if constexpr (sizeof...(X) != 0) {
    if (frame.then != nullptr) {
      constexpr trampoline runs[] = {follow_up<S, typename continues_with<X>::type>::run...};
      set_run(frame.then, runs[part.which]);
    }
  }
}

inline void stop_with(handler_frame& frame, exit_reason&& why) noexcept {
  frame.then_do = after::stop;
  frame.then = nullptr;
  frame.reason = std::move(why);
}

// --- replies ---------------------------------------------------------------------------------------------------------

/// Through the frame's ticket. A function of its own, so that the other way saves no registers for it.
template <class R>
[[gnu::noinline]] void give_reply_apart(handler_frame& frame, R&& value) {
  if (const reply_ticket to = form_ticket(frame)) answer(to, std::move(value));
}
/// The value goes to the place of a caller who waits on this very thread, or through the frame's ticket.
template <class R, class V>
void give_reply(handler_frame& frame, V&& value) {
  if (frame.record == nullptr) [[unlikely]] return give_reply_apart<R>(frame, R(std::forward<V>(value)));
  ::new (frame.record->place) R(std::forward<V>(value));
  frame.record->status = call_status::replied;
}

template <class S, class F>
struct translate;  // of the form F a handler returned

template <class S, class T, class A>
struct translate<S, reply_form<T, A>> {
  template <class R>
  static void call(handler_frame& frame, reply_form<T, A>&& form) {
    give_reply<stored<R>>(frame, std::move(form.value));
    follow<S>(frame, std::move(form.then));
  }
};
template <class S, class A>
struct translate<S, noreply_form<A>> {
  static void rest(handler_frame& frame, noreply_form<A>&& form) { follow<S>(frame, std::move(form.then)); }
};
template <class S>
struct translate<S, stop_form> {
  template <class R>
  static void call(handler_frame& frame, stop_form&& form) noexcept { stop_with(frame, std::move(form.reason)); }
  static void rest(handler_frame& frame, stop_form&& form) noexcept { stop_with(frame, std::move(form.reason)); }
};
template <class S, class T>
struct translate<S, stop_reply_form<T>> {
  template <class R>
  static void call(handler_frame& frame, stop_reply_form<T>&& form) {
    stop_with(frame, std::move(form.reason));
    terminate_now(frame);
    give_reply<stored<R>>(frame, std::move(form.value));
  }
};
template <class S, class T, class... X>
struct translate<S, outcome<T, X...>> {
  template <class R>
  static void call(handler_frame& frame, outcome<T, X...>&& form) {
    follow_part<S, X...>(frame, form.then());
    if (frame.then_do == after::stop) {
      frame.reason = std::move(form.reason());
      if (form.value()) terminate_now(frame);
    }
    if (form.value()) give_reply<stored<R>>(frame, std::move(*form.value()));
    else if constexpr (std::is_void_v<T>)
      if (frame.then_do != after::stop) give_reply<nothing>(frame, nothing{});
  }
  static void rest(handler_frame& frame, outcome<T, X...>&& form) {
    follow_part<S, X...>(frame, form.then());
    if (frame.then_do == after::stop) frame.reason = std::move(form.reason());
  }
};

/// Runs a callback that answers nobody.
template <class S, class F>
void run_quietly(handler_frame& frame, F&& callback) {
  using form = decltype(callback());
  if constexpr (std::is_void_v<form>) callback();
  else translate<S, form>::rest(frame, callback());
}

using trampoline_body = void (*)(handler_frame& frame);

template <class M>
void note_request_of(handler_frame& frame, const M& request) noexcept {
  if constexpr (std::is_trivially_copyable_v<M>) note_request(frame, descriptor_of<M>(), __builtin_addressof(request));
  else note_request(frame, descriptor_of<M>(), nullptr);  // the handler has moved it away
}

// --- the trampolines -------------------------------------------------------------------------------------------------

/// Runs `handle(frame)`, which begins by moving an M out of the frame. If that throws, the callback has failed with it.
template <class M, trampoline_body handle>
[[gnu::always_inline]] inline void taking(handler_frame& frame) noexcept {
  if constexpr (std::is_nothrow_move_constructible_v<M>) {
    handle(frame);
  } else {
    try {
      handle(frame);
    } catch (...) {
      callback_failed(frame);
      note_request(frame, descriptor_of<M>(), nullptr);
    }
  }
}

template <class S, class Q>
[[gnu::always_inline]] inline void run_call_taken(handler_frame& frame) noexcept(std::is_nothrow_move_constructible_v<Q>) {
  using R = reply_of<Q>;
  Q request(std::move(*static_cast<Q*>(frame.request)));
  S& server = *static_cast<S*>(frame.state);
  try {
    if constexpr (takes_call_from<S, Q>) {
      const reply_ticket ticket = take_ticket(frame);
      run_quietly<S>(frame, [&]() -> decltype(auto) { return server.handle_call(std::move(request), from<R>(ticket, frame.self)); });
      keep_open(frame, ticket);
    } else {
      using form = call_result<S, Q>;
      if constexpr (std::is_void_v<form>) {
        server.handle_call(std::move(request));
        give_reply<nothing>(frame, nothing{});
      } else if constexpr (is_form<form> || is_outcome<form>) {
        translate<S, form>::template call<R>(frame, server.handle_call(std::move(request)));
      } else {
        give_reply<R>(frame, server.handle_call(std::move(request)));
      }
    }
  } catch (...) {
    callback_failed(frame);
    note_request_of(frame, request);
  }
}
template <class S, class Q>
void run_call(handler_frame& frame) noexcept { taking<Q, &run_call_taken<S, Q>>(frame); }

/// The messages stay where they are; the core destroys them afterwards.
template <class S, class M, class F>
void run_batch(handler_frame& frame, bool casts, trampoline own, F callback) noexcept {
  S& server = *static_cast<S*>(frame.state);
  void* places[batch<M>::most];
  M* all[batch<M>::most];
  batched with(frame);
  try {
    const std::size_t count = with.gather(casts, own, places, batch<M>::most);
    for (std::size_t i = 0; i < count; ++i) all[i] = static_cast<M*>(places[i]);
    run_quietly<S>(frame, [&]() -> decltype(auto) { return callback(server, batch<M>(all, count)); });
  } catch (...) {
    callback_failed(frame);
    note_request(frame, descriptor_of<M>(), nullptr);
  }
}

template <class S, class M>
[[gnu::always_inline]] inline void run_cast_taken(handler_frame& frame) noexcept(std::is_nothrow_move_constructible_v<M>) {
  M message(std::move(*static_cast<M*>(frame.request)));
  S& server = *static_cast<S*>(frame.state);
  try {
    run_quietly<S>(frame, [&]() -> decltype(auto) { return server.handle_cast(std::move(message)); });
  } catch (...) {
    callback_failed(frame);
    note_request_of(frame, message);
  }
}
template <class S, class M>
void run_cast(handler_frame& frame) noexcept {
  if constexpr (takes_cast_batch<S, M>)
    run_batch<S, M>(frame, true, &run_cast<S, M>,
                    [](S& server, batch<M> all) -> decltype(auto) { return server.handle_cast(std::move(all)); });
  else
    taking<M, &run_cast_taken<S, M>>(frame);
}

template <class S, class M>
[[gnu::always_inline]] inline void run_info_taken(handler_frame& frame) noexcept(std::is_nothrow_move_constructible_v<M>) {
  M message(std::move(*static_cast<M*>(frame.request)));
  S& server = *static_cast<S*>(frame.state);
  try {
    run_quietly<S>(frame, [&]() -> decltype(auto) { return server.handle_info(std::move(message)); });
  } catch (...) {
    callback_failed(frame);
    note_request_of(frame, message);
  }
}
template <class S, class M>
void run_info(handler_frame& frame) noexcept {
  if constexpr (takes_info_batch<S, M>)
    run_batch<S, M>(frame, false, &run_info<S, M>,
                    [](S& server, batch<M> all) -> decltype(auto) { return server.handle_info(std::move(all)); });
  else
    taking<M, &run_info_taken<S, M>>(frame);
}

/// handle_info(message&): the object stays where it is, the core destroys it afterwards.
template <class S>
void run_message(handler_frame& frame) noexcept {
  S& server = *static_cast<S*>(frame.state);
  message m(*frame.type, frame.request);
  try {
    run_quietly<S>(frame, [&]() -> decltype(auto) { return server.handle_info(m); });
  } catch (...) {
    callback_failed(frame);
    note_request(frame, m.type(), nullptr);
  }
}

template <class S, class X>
[[gnu::always_inline]] inline void run_continue_taken(handler_frame& frame) noexcept(std::is_nothrow_move_constructible_v<X>) {
  static_assert(check_continue<S, X>());
  X argument(std::move(*static_cast<X*>(frame.request)));
  S& server = *static_cast<S*>(frame.state);
  try {
    run_quietly<S>(frame, [&]() -> decltype(auto) { return server.handle_continue(std::move(argument)); });
  } catch (...) {
    callback_failed(frame);
    note_request_of(frame, argument);
  }
}
template <class S, class X>
void run_continue(handler_frame& frame) noexcept { taking<X, &run_continue_taken<S, X>>(frame); }

template <class S>
void run_terminate(handler_frame& frame) noexcept {
  S& server = *static_cast<S*>(frame.state);
  const exit_reason why = frame.reason;
  try {
    server.terminate(why);
  } catch (...) {
    callback_failed(frame);
  }
}

template <class S>
bool run_format_status(const void* state, server_status& status) noexcept {
  try {
    static_cast<const S*>(state)->format_status(status);
    return true;
  } catch (...) {
    return false;
  }
}

// --- init ------------------------------------------------------------------------------------------------------------

/// Destroys a state whose init did not succeed.
template <class S>
struct state_guard {
  S* made;
  ~state_guard() {
    if (made != nullptr) made->~S();
  }
};

template <class S, class F>
void init_said(handler_frame& frame, init_request& request, F&& form) {
  using T = std::remove_cvref_t<F>;
  if constexpr (std::is_same_v<T, ignore_form>) {
    request.said = init_request::ignore;
  } else if constexpr (std::is_same_v<T, fail_form>) {
    request.said = init_request::fail;
    frame.reason = std::move(form.reason);
  } else if constexpr (std::is_same_v<T, stop_form>) {
    request.said = init_request::stop;
    frame.reason = std::move(form.reason);
  } else if constexpr (is_init_outcome<T>) {
    request.said = static_cast<init_request::verdict>(form.what());
    if (request.said == init_request::ok)
      [&]<class... X>(init_outcome<X...>& said) { follow_part<S, X...>(frame, said.then()); }(form);
    else
      frame.reason = std::move(form.reason());
  } else {
    follow<S>(frame, std::move(form.then));
  }
}

template <class S, class... A>
void run_server_init(handler_frame& frame) noexcept;

/// Makes the state from the arguments: by init if there is one for them, else S{arguments…}.
template <class S, class... A>
void run_init(handler_frame& frame) noexcept {
  if constexpr (is_machine<S>) return machine_class<S>::template init<A...>(frame);
  else run_server_init<S, A...>(frame);
}
template <class S, class... A>
void run_server_init(handler_frame& frame) noexcept {
  auto& request = *static_cast<init_request*>(frame.request);
  try {
    std::tuple<A...> arguments(std::move(*static_cast<std::tuple<A...>*>(request.arguments)));
    if constexpr (made_by_init<S, A...>) {
      state_guard<S> guard{::new (frame.state) S()};
      std::apply(
          [&](A&... a) {
            using form = decltype(guard.made->init(std::move(a)...));
            if constexpr (std::is_void_v<form>) guard.made->init(std::move(a)...);
            else init_said<S>(frame, request, guard.made->init(std::move(a)...));
          },
          arguments);
      if (request.said == init_request::ok) guard.made = nullptr;
    } else {
      std::apply([&](A&... a) { ::new (frame.state) S{std::move(a)...}; }, arguments);
    }
  } catch (...) {
    callback_failed(frame);
  }
}

template <class S, class... A>
concept init_follows = !made_by_init<S, A...> || follows<S, decltype(std::declval<S&>().init(std::declval<A>()...))>;

template <class F>
inline constexpr bool is_init_form = is_init_outcome<F>;
template <>
inline constexpr bool is_init_form<void> = true;
template <class A>
inline constexpr bool is_init_form<ok_form<A>> = true;
template <>
inline constexpr bool is_init_form<ignore_form> = true;
template <>
inline constexpr bool is_init_form<fail_form> = true;
template <>
inline constexpr bool is_init_form<stop_form> = true;
template <class S, class... A>
concept init_returns_a_form = !made_by_init<S, A...> || is_init_form<decltype(std::declval<S&>().init(std::declval<A>()...))>;

template <class S>
concept is_struct = std::is_class_v<S>;

/// Of a state machine: machine.hpp.
template <class M, class... A>
  requires is_machine<M>
consteval bool check_server();

template <class S, class... A>
consteval bool check_server() {
  static_assert(!!is_struct<S>, "coppice: this is no server: a server is a struct with handlers.");
  if constexpr (!is_struct<S>) {
    return false;
  } else if constexpr (!startable_with<S, A...>) {
    static_assert(!!startable_with<S, A...>, "coppice: the server can not be made from these arguments: no init(arguments) fits, nor does S{arguments}.");
    return false;
  } else if constexpr (!init_returns_a_form<S, A...>) {
    static_assert(!!init_returns_a_form<S, A...>, "coppice: init returns nothing, ok(...), ignore, fail(why), stop(why) or init_outcome<...>.");
    return false;
  } else {
    static_assert(!!init_follows<S, A...>, "coppice: init returns continue_with(x) or timeout_with(..., m), but the server has no handle_continue(x) or handle_info(m) for it.");
    static_assert(!!may_handle_exit_signal<S>, "coppice: handle_info(exit_signal) is never called unless the class traps exits: add `static constexpr server_options options{.trap_exit = true};`.");
    if constexpr (has_protocol<S>)
      static_assert(!!handles_its_protocol<S, typename S::protocol>, "coppice: the protocol lists a message for which the server has no handler.");
    return init_follows<S, A...> && may_handle_exit_signal<S>;
  }
}

// --- the class -------------------------------------------------------------------------------------------------------

template <class S>
consteval server_options options_of() {
  if constexpr (has_options<S>) return S::options;
  else return {};
}
template <class S>
consteval std::uint32_t flags_of() {
  constexpr server_options o = options_of<S>();
  const auto flag = [](bool on, class_flag f) { return on ? static_cast<std::uint32_t>(f) : 0u; };
  return flag(o.trap_exit, class_flag::trap_exit) | flag(o.leaf, class_flag::leaf) | flag(o.pinned, class_flag::pinned) |
         flag(o.queued, class_flag::queued) | flag(o.mailbox_bound != 0, class_flag::bounded);
}

template <class S, class M>
consteval protocol_entry protocol_entry_of() {
  protocol_entry e{descriptor_of<M>().key, &descriptor_of<M>(), nullptr, nullptr, nullptr};
  if constexpr (is_machine<S>) {
    if constexpr (names_its_reply<M>) {
      if constexpr (check_call<S, M>()) e.call = machine_class<S>::template call<M>;
    } else {
      if constexpr (check_cast<S, M>()) e.cast = e.info = machine_class<S>::template event<M>;
    }
    return e;
  }
  if constexpr (names_its_reply<M>) {
    if constexpr (has_handle_call<S, M>)
      if constexpr (check_call<S, M>()) e.call = &run_call<S, M>;
  }
  if constexpr (has_handle_cast<S, M>)
    if constexpr (check_cast<S, M>()) e.cast = &run_cast<S, M>;
  if constexpr (has_handle_info<S, M>)
    if constexpr (check_info<S, M>()) e.info = &run_info<S, M>;
  return e;
}

template <std::size_t N>
struct protocol_table {
  protocol_entry entries[N == 0 ? 1 : N];
};
template <class S, class... M>
consteval auto sorted_protocol(messages<M...>) {
  protocol_table<sizeof...(M)> t{{protocol_entry_of<S, M>()...}};
  for (std::size_t i = 1; i < sizeof...(M); ++i)
    for (std::size_t j = i; j > 0 && t.entries[j].key < t.entries[j - 1].key; --j) std::swap(t.entries[j], t.entries[j - 1]);
  return t;
}
template <class S, class... M>
inline constexpr auto protocol_constant = sorted_protocol<S>(messages<M...>{});

template <class S, class... M>
constexpr std::span<const protocol_entry> protocol_span(messages<M...>) {
  if constexpr (sizeof...(M) == 0) return {};
  else return {protocol_constant<S, M...>.entries, sizeof...(M)};
}

template <class S, class M>
constexpr trampoline info_trampoline() {
  if constexpr (has_handle_info<S, M>) {
    static_assert(check_info<S, M>());
    return &run_info<S, M>;
  } else {
    return nullptr;
  }
}

template <class S>
constexpr gen_server_table make_table() {
  gen_server_table t{};
  if constexpr (has_terminate<S>) t.terminate = &run_terminate<S>;
  t.on_down = info_trampoline<S, down>();
  t.on_exit_signal = info_trampoline<S, exit_signal>();
  t.on_timeout = info_trampoline<S, timeout>();
  if constexpr (has_catch_all<S>) t.on_message = &run_message<S>;
  if constexpr (has_format_status<S>) t.format_status = &run_format_status<S>;
  if constexpr (has_protocol<S>) t.protocol = protocol_span<S>(typename S::protocol{});
  t.options = options_of<S>();
  return t;
}
template <class S>
inline constexpr gen_server_table table_constant = make_table<S>();

/// What the process of a class holds.
template <class S>
struct held_by { using type = S; };
template <class S>
  requires is_machine<S>
struct held_by<S> { using type = machine_state<S>; };
template <class S>
using state_held = typename held_by<S>::type;

template <class S>
constexpr const behaviour* behaviour_for() noexcept {
  if constexpr (is_machine<S>) return machine_class<S>::handles;
  else return &gen_server_behaviour;
}
template <class S>
constexpr const gen_server_table* table_for() noexcept {
  if constexpr (is_machine<S>) return machine_class<S>::table();
  else return &table_constant<S>;
}

template <class S>
inline constexpr class_descriptor class_constant{
    .name = short_type_name<S>(),
    .key = type_hash<S>(),
    .state_size = sizeof(state_held<S>),
    .state_align = alignof(state_held<S>),
    .flags = flags_of<S>(),
    .stack_bytes = options_of<S>().stack_bytes,
    .destroy = &destroy_message<state_held<S>>,
    .print = &print_message<state_held<S>>,
    .body = nullptr,
    .handles = behaviour_for<S>(),
    .table = table_for<S>(),
};

/// Which class the sender of a Q means. 0: any class that knows the message, also the one that S was upgraded to (C3).
template <class S, class Q>
consteval std::uint64_t key_of_class() {
  if constexpr (found_by_key<S, Q>()) return 0;
  else return type_hash<S>();
}
template <class S>
consteval std::string_view name_of_class() {
  if constexpr (is_protocol<S>) return {};
  else return short_type_name<S>();
}

template <class S, class Q>
constexpr trampoline call_trampoline() {
  if constexpr (found_by_key<S, Q>()) return nullptr;
  else if constexpr (is_machine<S>) return machine_class<S>::template call<Q>;
  else return &run_call<S, Q>;
}
template <class S, class M>
constexpr trampoline cast_trampoline() {
  if constexpr (found_by_key<S, M>()) return nullptr;
  else if constexpr (is_machine<S>) return machine_class<S>::template event<M>;
  else return &run_cast<S, M>;
}

template <class S, class Q>
inline constexpr call_site site_of{{&descriptor_of<Q>(), call_trampoline<S, Q>(), key_of_class<S, Q>()},
                                   name_of_class<S>(), std::is_trivially_copyable_v<Q>};

}  // namespace coppice::detail
