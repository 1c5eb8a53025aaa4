// SPDX-License-Identifier: Apache-2.0
//
// gen_event: an event manager: one process that tells each event to any number of handlers, which come and go at run time.
//
//     using alarms = event_manager<fire, flood>;                 // the events it takes
//     struct printer {                                           // a handler: its state, and what it does with events
//       std::string prefix;
//       void handle_event(const fire& f) { … }                   // no overload for flood: ignored
//     };
//     auto m = start_link<alarms>({.name = "alarms"});
//     add_handler<printer>(m, {}, "to the log: ");
//     notify(m, fire{3});
//
// The manager is a server: start, stop, names, sys, child are those of servers. A handler is a struct: `init(arguments…)` or
// its members, then handle_event(event), handle_call(request), handle_info(down | exit_signal | message&), terminate(const
// handler_end&). handle_event returns nothing, keep, remove_handler, hibernate, handler_outcome (any of these),
// swap_to<Other>(arguments…), or an optional of that.
//
// Handlers get an event one after another, in the order in which they were added. One that throws is reported and removed;
// the others get the event all the same. A slow one delays all: `{.own_process = true}` gives it a process of its own (SE-72).
//
// Thread: any.   Spec: SE-60..SE-72.
#pragma once

#include <coppice/otp/call.hpp>
#include <coppice/otp/detail/event_core.hpp>
#include <coppice/otp/detail/trampolines.hpp>
#include <coppice/otp/next.hpp>
#include <coppice/otp/server_ref.hpp>
#include <coppice/otp/start.hpp>

#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace coppice {

/// How a handler is added, found or removed.
struct handler_options {
  std::string_view id{};               ///< tells several handlers of one class apart
  bool own_process = false;            ///< add_handler: it runs beside the manager
  duration timeout = infinity;
};

namespace detail {
struct remove_word {};
}
/// The handler has done its part: its terminate runs, and it is taken out.   Spec: SE-63.
inline constexpr detail::remove_word remove_handler{};

/// What a handler returns that says now this, now that.   Spec: SE-63.
class handler_outcome {
 public:
  handler_outcome(detail::keep_word) noexcept {}
  handler_outcome(detail::remove_word) noexcept : said_(detail::handler_turn::remove) {}
  handler_outcome(detail::hibernate_action) noexcept : said_(detail::handler_turn::hibernate) {}
  detail::handler_turn::verdict said() const noexcept { return said_; }

 private:
  detail::handler_turn::verdict said_ = detail::handler_turn::keep;
};

/// A reply, and what becomes of the handler.
template <class R>
struct reply_and {
  R value;
  handler_outcome then = keep;
};

namespace detail {
template <class New, class... A>
struct swap_form { std::tuple<A...> arguments; };
}  // namespace detail

/// Another handler takes this one's place. Its init gets what this one's terminate returns, as a std::optional, in front of
/// `arguments`; where terminate returns nothing, the arguments alone.   Spec: SE-63, SE-68.
template <class New, class... A>
detail::swap_form<New, std::decay_t<A>...> swap_to(A&&... arguments) { return {{std::forward<A>(arguments)...}}; }

/// One handler of a manager, as text.
struct handler_state {
  handler_id handler;
  std::string state;
};

template <class... E>
class event_manager;

namespace detail {

// --- what a handler has ----------------------------------------------------------------------------------------------

template <class H, class E>
concept handles_event_type = requires(H& h, const E& e) { h.handle_event(e); };
template <class H, class Q>
concept answers_handler_call = requires(H& h, Q&& q) { h.handle_call(static_cast<Q&&>(q)); };
template <class H>
concept ends_as_handler = requires(H& h, const handler_end& end) { h.terminate(end); };
template <class H>
struct end_result { using type = void; };
template <class H>
  requires ends_as_handler<H>
struct end_result<H> { using type = decltype(std::declval<H&>().terminate(std::declval<const handler_end&>())); };
template <class H>
using end_result_of = typename end_result<H>::type;

template <class H, class List>
struct class_of_handler;

template <class F>
inline constexpr bool is_swap = false;
template <class New, class... A>
inline constexpr bool is_swap<swap_form<New, A...>> = true;
template <class F>
inline constexpr bool is_handler_result = std::is_void_v<F> || std::is_convertible_v<F, handler_outcome> || is_swap<F>;
template <class F>
inline constexpr bool is_handler_result<std::optional<F>> = is_swap<F>;

template <class T>
owned_value own_value(T&& value) {
  using V = std::decay_t<T>;
  return owned_value(new V(std::forward<T>(value)), [](void* p) noexcept { delete static_cast<V*>(p); });
}

/// Inside `catch (...)`: what the handler threw, into the turn. exit(reason) of a handler is its own end; a signal that ends
/// the manager is not.
void handler_threw(handler_turn& turn) noexcept;
/// The same outside a turn. Returns: what it failed with.
exit_reason what_handler_threw() noexcept;

// --- making and ending -----------------------------------------------------------------------------------------------

/// An init that refuses says fail(why), ignore or stop(why).
template <class F>
bool init_accepts(F&& form, exit_reason& why) {
  using T = std::remove_cvref_t<F>;
  if constexpr (std::is_same_v<T, ignore_form>) {
    why = exit_reason("ignore");
    return false;
  } else if constexpr (std::is_same_v<T, fail_form> || std::is_same_v<T, stop_form>) {
    why = std::move(form.reason);
    return false;
  } else if constexpr (is_init_outcome<T>) {
    if (form.what() == T::verdict::ready) return true;
    why = form.what() == T::verdict::ignored ? exit_reason("ignore") : std::move(form.reason());
    return false;
  } else {
    return true;
  }
}

/// Returns: the handler, or null with `why`. Throws what init throws.
template <class H, class... A>
H* made_handler(exit_reason& why, A&&... a) {
  if constexpr (made_by_init<H, A...>) {
    H* h = new H();
    try {
      using F = decltype(h->init(std::forward<A>(a)...));
      if constexpr (std::is_void_v<F>) {
        h->init(std::forward<A>(a)...);
        return h;
      } else {
        if (init_accepts(h->init(std::forward<A>(a)...), why)) return h;
      }
    } catch (...) {
      delete h;
      throw;
    }
    delete h;
    return nullptr;
  } else {
    return new H{std::forward<A>(a)...};
  }
}

template <class H, class... A>
void* make_from(void* arguments, exit_reason& why) noexcept {
  try {
    return std::apply([&](A&... a) { return made_handler<H>(why, std::move(a)...); }, *static_cast<std::tuple<A...>*>(arguments));
  } catch (...) {
    why = what_handler_threw();
    return nullptr;
  }
}

template <class Old, class New, class... A>
concept takes_over = made_by_init<New, std::optional<stored<end_result_of<Old>>>, A...>;

template <class Old, class New, class... A>
void* exchange_from(void* old, const handler_end& end, void* arguments, exit_reason& why) noexcept {
  using T = end_result_of<Old>;
  try {
    std::optional<stored<T>> handed;
    if constexpr (ends_as_handler<Old>) {
      if (old != nullptr) {
        try {
          if constexpr (std::is_void_v<T>) static_cast<Old*>(old)->terminate(end), handed.emplace();
          else handed.emplace(static_cast<Old*>(old)->terminate(end));
        } catch (...) {
          (void)what_handler_threw();   // It could not say what to hand over: the new one learns that there is nothing.
        }
      }
    }
    return std::apply(
        [&](A&... a) -> New* {
          if constexpr (takes_over<Old, New, A...>) return made_handler<New>(why, std::move(handed), std::move(a)...);
          else return made_handler<New>(why, std::move(a)...);
        },
        *static_cast<std::tuple<A...>*>(arguments));
  } catch (...) {
    why = what_handler_threw();
    return nullptr;
  }
}

// --- running ---------------------------------------------------------------------------------------------------------

template <class H, class List, class New, class... A>
void ask_for_swap(handler_turn& turn, swap_form<New, A...>&& form) {
  turn.said = handler_turn::swap;
  turn.to = &class_of_handler<New, List>::constant;
  turn.exchange = &exchange_from<H, New, A...>;
  turn.arguments = own_value(std::move(form.arguments));
}

template <class H, class List, class F>
void take_handler_result(handler_turn& turn, F&& run) {
  using result = decltype(run());
  static_assert(is_handler_result<std::remove_cvref_t<result>>, "coppice: a handler returns nothing, keep, remove_handler, hibernate, handler_outcome, swap_to<Other>(...) or an optional of that.");
  if constexpr (std::is_void_v<result>) {
    run();
  } else if constexpr (std::is_convertible_v<result, handler_outcome>) {
    turn.said = handler_outcome(run()).said();
  } else if constexpr (is_swap<std::remove_cvref_t<result>>) {
    ask_for_swap<H, List>(turn, run());
  } else {
    if (auto form = run()) ask_for_swap<H, List>(turn, std::move(*form));
  }
}

template <class F>
void run_guarded(handler_turn& turn, F&& run) noexcept {
  try {
    run();
  } catch (...) {
    handler_threw(turn);
  }
}

template <class H, class List, class E>
void run_handle_event(void* state, const void* event, handler_turn& turn) noexcept {
  run_guarded(turn, [&] {
    take_handler_result<H, List>(turn, [&]() -> decltype(auto) { return static_cast<H*>(state)->handle_event(*static_cast<const E*>(event)); });
  });
}
template <class H, class List, class E>
constexpr handler_run event_run() {
  if constexpr (handles_event_type<H, E>) return &run_handle_event<H, List, E>;
  else return nullptr;
}

template <class H, class List>
void run_handle_info(void* state, message& m, handler_turn& turn) noexcept {
  H& h = *static_cast<H*>(state);
  run_guarded(turn, [&] {
    if constexpr (has_handle_info<H, down>)
      if (auto* d = m.as<down>()) return take_handler_result<H, List>(turn, [&]() -> decltype(auto) { return h.handle_info(down(*d)); });
    if constexpr (has_handle_info<H, exit_signal>)
      if (auto* s = m.as<exit_signal>()) return take_handler_result<H, List>(turn, [&]() -> decltype(auto) { return h.handle_info(exit_signal(*s)); });
    if constexpr (has_catch_all<H>) take_handler_result<H, List>(turn, [&]() -> decltype(auto) { return h.handle_info(m); });
  });
}

template <class H>
void run_handler_end(void* state, const handler_end& end) noexcept {
  try {
    static_cast<void>(static_cast<H*>(state)->terminate(end));
  } catch (...) {
    (void)what_handler_threw();   // It is gone in any case.
  }
}

template <class E>
owned_value copied_event(const void* event) {
  if constexpr (std::is_copy_constructible_v<E>) return own_value(E(*static_cast<const E*>(event)));
  else return {};
}

template <class H, class... E>
struct class_of_handler<H, messages<E...>> {
  static constexpr handler_run runs[] = {event_run<H, messages<E...>, E>()..., nullptr};
  static constexpr copy_event copies[] = {&copied_event<E>..., nullptr};
  static constexpr handler_class constant{
      .name = short_type_name<H>(),
      .key = type_hash<H>(),
      .events = runs,
      .copies = copies,
      .info = has_catch_all<H> || has_handle_info<H, down> || has_handle_info<H, exit_signal> ? &run_handle_info<H, messages<E...>> : nullptr,
      .terminate = [] () -> void (*)(void*, const handler_end&) noexcept {
        if constexpr (ends_as_handler<H>) return &run_handler_end<H>;
        else return nullptr;
      }(),
      .destroy = [](void* p) noexcept { delete static_cast<H*>(p); },
      .print = &print_message<H>,
  };
};

// --- what a manager is asked -----------------------------------------------------------------------------------------

template <class E>
struct sync_event {
  using reply = void;
  E event;
};
template <class H, class... A>
struct add_handler_request {
  using reply = handler_error;
  std::string id;
  bool supervised;
  bool own_process;
  std::tuple<A...> arguments;
};
template <class H, class Q>
struct handler_call {
  using reply = result<reply_of<Q>, handler_error>;
  std::string id;
  Q request;
};
template <class H>
struct delete_handler_request {
  using reply = result<end_result_of<H>, handler_error>;
  std::string id;
  any_value arguments;
};
template <class Old, class New, class... A>
struct swap_handler_request {
  using reply = handler_error;
  std::string old_id;
  std::string id;
  bool supervised;
  any_value given;
  std::tuple<A...> arguments;
};
struct which_handlers_request { using reply = std::vector<handler_id>; };
struct handler_states_request { using reply = std::vector<handler_state>; };
template <class H, class F>
struct replace_handler_state_request {
  using reply = std::size_t;
  F change;
};

std::vector<handler_id> ids_of(const event_core& core);
std::vector<handler_state> states_of(const event_core& core);

/// Whoever waits for a handler. The handler's own process may end before it answers, or before the manager knows that it has:
/// then the caller is told so.
template <class H, class R>
class waits_for_handler {
 public:
  using answer_type = result<R, handler_error>;
  explicit waits_for_handler(from<answer_type>&& caller) noexcept : caller_(std::move(caller)) {}
  waits_for_handler(waits_for_handler&&) noexcept = default;
  ~waits_for_handler() {
    if (caller_) answer(error(handler_error(handler_error::failed, exit_reason::noproc, std::string(short_type_name<H>()) + " ended before it answered")));
  }
  void answer(answer_type&& value) { std::move(caller_).reply(std::move(value)); }
  explicit operator bool() const noexcept { return bool(caller_); }

 private:
  from<answer_type> caller_;
};

/// A call of a handler; runs in the manager or in the handler's own process.
template <class H, class Q>
struct pending_handler_call {
  Q request;
  waits_for_handler<H, reply_of<Q>> caller;
};

template <class H>
handler_error handler_failed(const exit_reason& why) {
  return handler_error(handler_error::failed, why, std::string(short_type_name<H>()) + " failed and was removed: " + to_text(why));
}

template <class H, class Q>
void run_handler_call(void* state, void* data, handler_turn& turn) noexcept {
  using R = reply_of<Q>;
  using answer_type = result<R, handler_error>;
  auto& call = *static_cast<pending_handler_call<H, Q>*>(data);
  run_guarded(turn, [&] {
    try {
      using F = decltype(static_cast<H*>(state)->handle_call(std::move(call.request)));
      if constexpr (std::is_void_v<F>) {
        static_cast<H*>(state)->handle_call(std::move(call.request));
        call.caller.answer(answer_type());
      } else {
        F value = static_cast<H*>(state)->handle_call(std::move(call.request));
        if constexpr (requires { value.then; value.value; }) {
          turn.said = value.then.said();
          call.caller.answer(answer_type(std::in_place, std::move(value.value)));
        } else {
          call.caller.answer(answer_type(std::in_place, std::move(value)));
        }
      }
    } catch (...) {
      handler_threw(turn);
      if (call.caller && turn.said == handler_turn::failed) call.caller.answer(answer_type(error(handler_failed<H>(turn.why))));
    }
  });
}

template <class H>
struct pending_deletion {
  any_value arguments;
  waits_for_handler<H, end_result_of<H>> caller;
};
/// Ends the handler, and tells the caller what its terminate returned.
template <class H>
void run_deletion(void* state, void* data, handler_turn& turn) noexcept {
  using R = end_result_of<H>;
  using answer_type = result<R, handler_error>;
  auto& d = *static_cast<pending_deletion<H>*>(data);
  turn.said = handler_turn::remove;
  turn.to = &turn_is_over;                                     // terminate runs here, not again
  run_guarded(turn, [&] {
    try {
      const handler_end end{handler_end::deleted, exit_reason::normal, std::move(d.arguments)};
      if constexpr (std::is_void_v<R>) {
        if constexpr (ends_as_handler<H>) static_cast<H*>(state)->terminate(end);
        d.caller.answer(answer_type());
      } else {
        d.caller.answer(answer_type(std::in_place, static_cast<H*>(state)->terminate(end)));
      }
    } catch (...) {
      handler_threw(turn);
      if (d.caller && turn.said == handler_turn::failed) d.caller.answer(answer_type(error(handler_failed<H>(turn.why))));
      turn.said = handler_turn::remove;
    }
  });
}

template <class T, class... E>
consteval std::size_t place_of_event() {
  std::size_t place = 0;
  (void)((std::is_same_v<T, E> || (++place, false)) || ...);
  return place;
}

}  // namespace detail

/// The server that tells events of types `E…` to its handlers.   Spec: SE-60.
template <class... E>
class event_manager {
 public:
  static constexpr server_options options{.trap_exit = true};
  using events = messages<E...>;

  template <class T>
    requires detail::is_one_of<T, E...>
  outcome<void> handle_cast(const T& event) {
    return after(core_.handle_event(detail::place_of_event<T, E...>(), descriptor_of<T>(), &event, {}));
  }
  template <class T>
    requires detail::is_one_of<T, E...>
  outcome<void> handle_call(const detail::sync_event<T>& m, from<void> caller) {
    const detail::event_receipt receipt(std::move(caller));
    return after(core_.handle_event(detail::place_of_event<T, E...>(), descriptor_of<T>(), &m.event, receipt));
  }

  template <class H, class... A>
  handler_error handle_call(detail::add_handler_request<H, A...> r) {
    const detail::handler_class& cls = class_of<H>();
    if (auto against = core_.may_add(cls, r.id)) return against;
    const pid supervisor = r.supervised ? caller() : pid{};
    if (r.own_process) return core_.add_process(cls, r.id, supervisor, &detail::make_from<H, A...>, detail::own_value(std::move(r.arguments)));
    exit_reason why;
    void* made = detail::make_from<H, A...>(&r.arguments, why);
    if (made == nullptr) return refused<H>(why);
    core_.add(cls, r.id, detail::owned_value(made, cls.destroy), supervisor, {});
    return {};
  }

  template <class H, class Q>
  void handle_call(detail::handler_call<H, Q> c, from<result<reply_of<Q>, handler_error>> caller) {
    detail::handler_entry* e = core_.find(type_hash<H>(), c.id);
    if (e == nullptr) return std::move(caller).reply(result<reply_of<Q>, handler_error>(error(core_.unknown(short_type_name<H>(), c.id))));
    detail::pending_handler_call<H, Q> call{std::move(c.request), detail::waits_for_handler<H, reply_of<Q>>(std::move(caller))};
    if (e->process) return core_.order(e->process, &detail::run_handler_call<H, Q>, detail::own_value(std::move(call)));
    detail::handler_turn turn;
    detail::run_handler_call<H, Q>(e->state.value, &call, turn);
    core_.settle(*e, turn, "handle_call", descriptor_of<Q>(), &call.request);
  }

  template <class H>
  void handle_call(detail::delete_handler_request<H> d, from<result<detail::end_result_of<H>, handler_error>> caller) {
    detail::handler_entry* e = core_.find(type_hash<H>(), d.id);
    if (e == nullptr) return std::move(caller).reply(result<detail::end_result_of<H>, handler_error>(error(core_.unknown(short_type_name<H>(), d.id))));
    detail::pending_deletion<H> deletion{std::move(d.arguments), detail::waits_for_handler<H, detail::end_result_of<H>>(std::move(caller))};
    if (e->process) return core_.order(e->process, &detail::run_deletion<H>, detail::own_value(std::move(deletion)));
    detail::handler_turn turn;
    detail::run_deletion<H>(e->state.value, &deletion, turn);
    core_.remove(*e, {handler_end::deleted}, false);
  }

  template <class Old, class New, class... A>
  handler_error handle_call(detail::swap_handler_request<Old, New, A...> r) {
    const detail::handler_class& cls = class_of<New>();
    const bool same = type_hash<Old>() == type_hash<New>() && r.old_id == r.id;
    if (!same)
      if (auto against = core_.may_add(cls, r.id)) return against;
    detail::handler_entry* e = core_.find(type_hash<Old>(), r.old_id);
    if (e != nullptr && e->process)
      return handler_error(handler_error::failed, exit_reason("own_process"), "a handler in a process of its own cannot be swapped: delete it and add the other");
    const pid supervisor = r.supervised ? caller() : pid{};
    if (e != nullptr) {
      auto failure = core_.exchange(*e, cls, r.id, &detail::exchange_from<Old, New, A...>, &r.arguments, std::move(r.given));
      if (!failure && supervisor) core_.supervise(type_hash<New>(), r.id, supervisor);
      return failure;
    }
    exit_reason why;
    void* made = detail::exchange_from<Old, New, A...>(nullptr, {handler_end::swapped}, &r.arguments, why);
    if (made == nullptr) return refused<New>(why);
    core_.add(cls, r.id, detail::owned_value(made, cls.destroy), supervisor, {});
    return {};
  }

  std::vector<handler_id> handle_call(detail::which_handlers_request) { return detail::ids_of(core_); }
  std::vector<handler_state> handle_call(detail::handler_states_request) { return detail::states_of(core_); }
  template <class H, class F>
  std::size_t handle_call(detail::replace_handler_state_request<H, F> r) {
    std::size_t replaced = 0;
    for (const detail::handler_entry& e : core_.handlers()) {
      if (e.cls->key != type_hash<H>() || e.process) continue;
      H& state = *static_cast<H*>(e.state.value);
      try {
        H next(r.change(static_cast<const H&>(state)));
        state = std::move(next);
        ++replaced;
      } catch (...) {
        (void)detail::what_handler_threw();   // SE-71: that one keeps its state.
      }
    }
    return replaced;
  }

  outcome<void> handle_info(exit_signal s) { return after(core_.handle_exit(s)); }
  outcome<void> handle_info(message& m) { return after(core_.handle_info(m)); }
  void terminate(const exit_reason& why) { core_.stop(why); }

  friend std::string to_text(const event_manager& m) { return detail::text_of(m.core_); }

 private:
  template <class H>
  static const detail::handler_class& class_of() noexcept { return detail::class_of_handler<H, messages<E...>>::constant; }
  template <class H>
  static handler_error refused(const exit_reason& why) {
    return handler_error(handler_error::failed, why, std::string(short_type_name<H>()) + " could not be added: " + to_text(why));
  }
  static outcome<void> after(bool hibernates) {
    if (hibernates) return noreply(hibernate);
    return noreply();
  }
  detail::event_core core_;
};

// --- the functions ---------------------------------------------------------------------------------------------------

namespace detail {

template <class E, class List>
inline constexpr bool takes_event = false;
template <class E, class... L>
inline constexpr bool takes_event<E, messages<L...>> = is_one_of<E, L...>;
template <class Manager, class E>
concept event_is_listed = takes_event<E, typename Manager::events>;
template <class H, class... A>
concept handler_can_be_made = startable_with<H, A...>;

template <class H, class List>
inline constexpr bool copies_all = true;
template <class H, class... E>
inline constexpr bool copies_all<H, messages<E...>> = ((!handles_event_type<H, E> || std::is_copy_constructible_v<E>) && ...);

template <class Address>
struct manager_at;
template <class M>
struct manager_at<server_ref<M>> { using type = M; };
template <class M>
struct manager_at<named<M>> { using type = M; };

template <class Manager, class E>
consteval bool check_event() {
  static_assert(!!event_is_listed<Manager, E>, "coppice: this event is not in the list of the event manager (event_manager<events...>).");
  return event_is_listed<Manager, E>;
}
template <class H, class... A>
consteval bool check_handler() {
  static_assert(!!handler_can_be_made<H, A...>, "coppice: the handler can not be made from these arguments: no init(arguments) fits, nor does H{arguments}.");
  return handler_can_be_made<H, A...>;
}
template <class H, class Q>
consteval bool check_handler_call() {
  static_assert(!!answers_handler_call<H, Q>, "coppice: the handler has no handle_call(request) for this request.");
  return answers_handler_call<H, Q>;
}

inline void throw_if(handler_error&& e) {
  if (e) throw std::move(e);
}
/// Who adds a supervised handler is linked to the manager: a process.
handler_error not_a_process();

template <class H, class Address, class... A>
handler_error add_handler_at(const Address& manager, const handler_options& options, bool supervised, A&&... arguments) {
  if (supervised && current_slot() == nullptr) return not_a_process();
  if constexpr (check_handler<H, std::decay_t<A>...>())
    return call(manager, add_handler_request<H, std::decay_t<A>...>{std::string(options.id), supervised, options.own_process, {std::forward<A>(arguments)...}}, options.timeout);
  else __builtin_unreachable();
}

}  // namespace detail

/// Tells `event` to all handlers. Always succeeds, at once.   Spec: SE-62.
template <class Address, class E, class Manager = typename detail::manager_at<Address>::type>
void notify(const Address& manager, E event) {
  if constexpr (detail::check_event<Manager, E>()) cast(manager, std::move(event));
}
/// The same, and waits until all handlers have handled it, also those in processes of their own.
/// Fails: throws call_error.   Spec: SE-62.
template <class Address, class E, class Manager = typename detail::manager_at<Address>::type>
void sync_notify(const Address& manager, E event, duration timeout = call_timeout) {
  if constexpr (detail::check_event<Manager, E>()) call(manager, detail::sync_event<E>{std::move(event)}, timeout);
}

/// Adds a handler of class `H`, made from `arguments`.
/// Fails:   throws handler_error: already_present (the same class and id), failed (its init says so or throws); call_error.
/// Blocks:  until its init is done.   Spec: SE-61.
template <class H, class Address, class... A>
void add_handler(const Address& manager, const handler_options& options = {}, A&&... arguments) {
  detail::throw_if(detail::add_handler_at<H>(manager, options, false, std::forward<A>(arguments)...));
}
template <class H, class Address, class... A>
[[nodiscard]] handler_error try_add_handler(const Address& manager, const handler_options& options = {}, A&&... arguments) {
  return detail::add_handler_at<H>(manager, options, false, std::forward<A>(arguments)...);
}
/// The same, and links manager and caller: if the caller ends, the handler is removed; if the handler is removed, for
/// whatever reason, the caller gets a handler_exit.   Spec: SE-69.
template <class H, class Address, class... A>
void add_sup_handler(const Address& manager, const handler_options& options = {}, A&&... arguments) {
  detail::throw_if(detail::add_handler_at<H>(manager, options, true, std::forward<A>(arguments)...));
}

/// Asks one handler.
/// Fails: throws handler_error: unknown_handler; failed, when it threw (it is removed then); call_error.   Spec: SE-65.
template <class H, class Address, class Q>
[[nodiscard]] result<reply_of<Q>, handler_error> try_call_handler(const Address& manager, Q request, const handler_options& options = {}) {
  if constexpr (detail::check_handler_call<H, Q>())
    return call(manager, detail::handler_call<H, Q>{std::string(options.id), std::move(request)}, options.timeout);
  else __builtin_unreachable();
}
template <class H, class Address, class Q>
reply_of<Q> call_handler(const Address& manager, Q request, const handler_options& options = {}) {
  return try_call_handler<H>(manager, std::move(request), options).value();
}

/// Removes a handler: its terminate gets `arguments` (handler_end::deleted).
/// Returns: what terminate returns.   Fails: throws handler_error: unknown_handler, failed; call_error.   Spec: SE-67.
template <class H, class Address>
detail::end_result_of<H> delete_handler(const Address& manager, const handler_options& options = {}, any_value arguments = {}) {
  return call(manager, detail::delete_handler_request<H>{std::string(options.id), std::move(arguments)}, options.timeout).value();
}
template <class H, class Address>
[[nodiscard]] result<detail::end_result_of<H>, handler_error> try_delete_handler(const Address& manager, const handler_options& options = {}, any_value arguments = {}) {
  return call(manager, detail::delete_handler_request<H>{std::string(options.id), std::move(arguments)}, options.timeout);
}

struct swap_options {
  std::string_view old_id{};
  std::string_view id{};               ///< of the new one
  any_value given{};                   ///< for the old one's terminate
  bool supervised = false;             ///< the caller supervises the new one
  duration timeout = infinity;
};
/// `New` takes the place of `Old`, between two events. Its init gets what the old one's terminate returned, as a
/// std::optional that is empty if there was no old one, in front of `arguments`.
/// Fails: throws handler_error: already_present; failed, and then neither is there; call_error.   Spec: SE-68.
template <class Old, class New, class Address, class... A>
void swap_handler(const Address& manager, const swap_options& options = {}, A&&... arguments) {
  if (options.supervised && detail::current_slot() == nullptr) detail::throw_if(detail::not_a_process());
  detail::throw_if(call(manager, detail::swap_handler_request<Old, New, std::decay_t<A>...>{
      std::string(options.old_id), std::string(options.id), options.supervised, options.given, {std::forward<A>(arguments)...}}, options.timeout));
}

/// The handlers, in the order in which they get events.   Spec: SE-71.
template <class Address>
std::vector<handler_id> which_handlers(const Address& manager, duration timeout = call_timeout) {
  return call(manager, detail::which_handlers_request{}, timeout);
}
/// The same, with their states as text.   Spec: SE-71.
template <class Address>
std::vector<handler_state> handler_states(const Address& manager, duration timeout = call_timeout) {
  return call(manager, detail::handler_states_request{}, timeout);
}
/// Gives each handler of class `H` the state `change(old)`; where `change` throws, the old one stays.
/// Returns: how many were changed.   Spec: SE-71.
template <class H, class Address, class F>
std::size_t replace_handler_state(const Address& manager, F change, duration timeout = call_timeout) {
  return call(manager, detail::replace_handler_state_request<H, F>{std::move(change)}, timeout);
}

}  // namespace coppice
