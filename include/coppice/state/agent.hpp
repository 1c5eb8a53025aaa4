// SPDX-License-Identifier: Apache-2.0
//
// agent: a value that is changed by actions, one after another, somewhere else. Sending an action never waits.
//
//     agent<int> a(0, {.validator = [](int x) { return x >= 0; }});
//     a.send(inc);
//     await(a);                                    // *a == 1
//     a.send(dec).send(dec);                       // -1 is refused: failed, *a stays 0, a.error() says why
//     a.restart(5);                                // a.send(…) threw needs_restart until here
//
// Inside of an action, and of a transaction, what is sent is held back until that is over; it is dropped if that fails.
//
// Thread: any. An agent is destroyed when its queue is empty or it has failed: its destructor waits for that; nobody may send
// to it any more. Design note: docs/internals/agents.md.
#pragma once

#include <coppice/state/detail/agent_core.hpp>
#include <coppice/state/detail/observers.hpp>
#include <coppice/state/executor.hpp>
#include <coppice/state/view.hpp>

#include <concepts>
#include <exception>
#include <functional>  // std::invoke: actions may be pointers to members
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace coppice {

/// What an exception in an action does.   Spec: AG-1, AG-25, AG-29.
enum class error_mode : std::uint8_t {
  fail,                                          ///< the agent stops until it is restarted
  go_on,                                         ///< as if the action had not been (Clojure's :continue)
  stop,                                          ///< its process ends with that: of agents that are processes alone (agent_ref.hpp)
};

template <class T>
class agent;

template <class T>
struct agent_options {
  detail::validator_function<T> validator{};
  metadata meta{};
  /// Called in the action's thread with what it threw.
  function<void(agent<T>&, const std::exception_ptr&) const> error_handler{};
  std::optional<coppice::error_mode> mode{};     ///< none: go_on with a handler, fail without
};

template <class T>
class agent : public detail::observed<agent<T>, T> {
  static_assert(std::is_object_v<T> && !std::is_const_v<T> && std::move_constructible<T>, "agent<T>: T is a type of values that can be moved");
  using box = detail::box;
  using value_box = detail::value_box<T>;

 public:
  using value_type = T;
  using handler_function = function<void(agent<T>&, const std::exception_ptr&) const>;
  static constexpr const char* noun = "agent";

  agent() requires std::default_initializable<T> : agent(T{}) {}
  /// Fails: invalid_state when the validator refuses `value`.   Spec: AG-1, VA-2.
  explicit agent(T value, agent_options<T> options = {}) : core_(observers_, this) {
    if (options.validator && !options.validator(value)) detail::refuse(noun);
    if constexpr (detail::word_value<T>) core_.word.store(detail::to_word(value), detail::sync::release);
    else core_.value.store(detail::make_box<T>([&]() -> T { return std::move(value); }), detail::sync::release);
    if (options.validator) detail::replace_validator(observers_, detail::make_validator<T>(std::move(options.validator)));
    if (!options.meta.empty()) detail::put_metadata(observers_, std::move(options.meta));
    set_mode(options.mode.value_or(options.error_handler ? coppice::error_mode::go_on : coppice::error_mode::fail));
    if (options.error_handler) set_error_handler(std::move(options.error_handler));
  }

  /// The value after the last action that is over.   Blocks: never.   Cost: about 2 ns.   Spec: AG-3.
  look<T> operator*() const {
    if constexpr (detail::word_value<T>) {
      return detail::from_word<T>(core_.word.load(detail::sync::acquire));
    } else {
      return view<T>(detail::made_by{}, [this](detail::guard& g) { return value_of(g.protect(core_.value)); });
    }
  }
  view<T> operator->() const requires(!detail::word_value<T>) { return operator*(); }
  T get() const requires std::copy_constructible<T> {
    const auto& now = **this;
    return now;
  }
  template <class F>
  decltype(auto) read(F&& f) const {
    const auto& now = **this;
    return std::invoke(static_cast<F&&>(f), static_cast<const T&>(now));
  }

  /// Has `f(value, args…)` made the value, later, by the executor of send. `f` and `args` are copied or moved.
  /// Returns:  this agent.
  /// Fails:    needs_restart when it has failed; rejected when the executor takes no work.
  /// Blocks:   never.   Spec: AG-5..AG-21, TX-27..TX-31.
  template <class F, class... Args>
    requires std::is_invocable_r_v<T, std::decay_t<F>&, const T&, const std::decay_t<Args>&...>
  agent& send(F&& f, Args&&... args) {
    return send_via(send_executor(), static_cast<F&&>(f), static_cast<Args&&>(args)...);
  }
  /// The same by the executor of send_off: for actions that block.
  template <class F, class... Args>
    requires std::is_invocable_r_v<T, std::decay_t<F>&, const T&, const std::decay_t<Args>&...>
  agent& send_off(F&& f, Args&&... args) {
    return send_via(send_off_executor(), static_cast<F&&>(f), static_cast<Args&&>(args)...);
  }
  /// The same by `e`, which must live until the action is over.
  template <class F, class... Args>
    requires std::is_invocable_r_v<T, std::decay_t<F>&, const T&, const std::decay_t<Args>&...>
  agent& send_via(executor& e, F&& f, Args&&... args) {
    if constexpr (std::is_pointer_v<std::decay_t<F>>)
      if (f == nullptr) detail::refuse_null();
    detail::send_action(core_, e, make_action(static_cast<F&&>(f), static_cast<Args&&>(args)...));
    return *this;
  }

  /// Why it has failed; null if it has not.   Spec: AG-25.
  std::exception_ptr error() const noexcept { return detail::error_of(core_); }
  /// Lets a failed agent go on, with `value`. `clear`: what is queued is dropped.
  /// Returns:  `value`, as itself or as a snapshot.   Fails: state_error when it has not failed; what the validator throws: it stays failed then.
  /// Spec:     AG-33..AG-36.
  auto restart(T value, bool clear = false) {
    if constexpr (detail::word_value<T>) {
      detail::restart_agent(core_, {.shown = &value, .word = detail::to_word(value)}, clear);
      return value;
    } else {
      value_box* fresh = detail::make_box<T>([&]() -> T { return std::move(value); });
      snapshot<T> kept(detail::made_by{}, hold(fresh), &fresh->value);
      detail::restart_agent(core_, {.shown = &fresh->value, .boxed = fresh}, clear);
      return kept;
    }
  }

  coppice::error_mode mode() const noexcept {
    detail::sync::lock_guard held(core_.lock);
    return core_.mode;
  }
  /// A failed agent stays failed.   Fails: state_error from or to `stop`.   Spec: AG-32.
  agent& set_mode(coppice::error_mode m) {
    detail::change_mode(core_, m);
    return *this;
  }
  /// Does not change the mode. Null: none.   Spec: AG-2.
  agent& set_error_handler(handler_function f) {
    using stored = detail::value_box<handler_function, detail::handler_head>;
    stored* h = nullptr;
    if (f) {
      h = detail::make_box<handler_function, detail::handler_head>([&]() -> handler_function { return std::move(f); });
      h->call = [](const detail::handler_head& of, void* self, const std::exception_ptr& why) {
        static_cast<const stored&>(of).value(*static_cast<agent*>(self), why);
      };
    }
    detail::replace_handler(core_, h);
    return *this;
  }

  /// For await and its kin.
  detail::agent_core& core() noexcept { return core_; }

 private:
  friend detail::observed<agent<T>, T>;
  using detail::observed<agent<T>, T>::observers_;

  look<T> look_now() const { return operator*(); }
  static const T* value_of(const box* b) noexcept { return &static_cast<const value_box*>(b)->value; }
  static box* hold(box* b) noexcept {
    b->holders.fetch_add(1, detail::sync::relaxed);
    return b;
  }

  template <class F, class... Args>
  struct typed_action : detail::action {
    template <class G, class... A>
    explicit typed_action(G&& function_given, A&&... values)
        : action(of), f(static_cast<G&&>(function_given)), arguments(static_cast<A&&>(values)...) {}
    [[no_unique_address]] F f;
    [[no_unique_address]] std::tuple<Args...> arguments;

    static void run(detail::action& self, detail::agent_core& a) {
      auto& mine = static_cast<typed_action&>(self);
      detail::change_value<T>(a, [&](const T& now) -> T {
        return std::apply([&](const auto&... values) -> T { return std::invoke(mine.f, now, values...); }, mine.arguments);
      });
    }
    static const detail::action_class of;
  };

  template <class F, class... Args>
  static detail::action* make_action(F&& f, Args&&... args) {
    return detail::new_action<typed_action<std::decay_t<F>, std::decay_t<Args>...>>(static_cast<F&&>(f), static_cast<Args&&>(args)...);
  }

  mutable detail::agent_core core_;
};

template <class T>
template <class F, class... Args>
inline constexpr detail::action_class agent<T>::typed_action<F, Args...>::of{
    .run = &typed_action::run, .destroy = &detail::destroy_action<typed_action>, .bytes = sizeof(typed_action)};

/// Waits until all actions that the caller has sent to these agents so far are over.
/// Fails:   needs_restart when one has failed already; rejected when an action can never run; in_transaction; in_action.
/// Blocks:  the calling process or thread; for ever while an agent that failed meanwhile is not restarted. A plain thread runs itself
///          what was given to `send`'s and `send_off`'s executors and has not begun, if those lend.   Cost: 30 ns then.
/// Spec:    AG-39..AG-45.
template <class... T>
void await(agent<T>&... agents) {
  detail::agent_core* all[] = {&agents.core()..., nullptr};
  static_cast<void>(detail::await_agents({all, sizeof...(T)}, infinity));
}
/// The same for at most `limit`.   Returns: whether it was so in time.
template <class... T>
bool await_for(duration limit, agent<T>&... agents) {
  detail::agent_core* all[] = {&agents.core()..., nullptr};
  return detail::await_agents({all, sizeof...(T)}, limit);
}

/// Whether an action of `a` runs here.   Spec: AG-22.
template <class T>
bool is_current(agent<T>& a) noexcept { return detail::running_agent() == &a.core(); }
/// The agent whose action runs here, if it is an agent<T>'s; the caller knows T.
template <class T>
agent<T>* current_agent() noexcept {
  detail::agent_core* c = detail::running_agent();
  return c != nullptr ? static_cast<agent<T>*>(c->self) : nullptr;
}
/// Whether an action runs here.
bool is_in_action() noexcept;
/// Sends at once what the running action has held back so far.   Returns: how many those are; 0 outside.   Spec: AG-16..AG-18.
std::size_t release_pending() noexcept;

}  // namespace coppice
