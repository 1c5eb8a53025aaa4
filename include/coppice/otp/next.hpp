// SPDX-License-Identifier: Apache-2.0
//
// next: what the handlers of a state machine return: where it goes, and what is to be done on the way.
//
//     next<open> handle(locked& s, button b) {
//       if (wrong(b)) return keep;                               // stays; nothing else
//       return {open{}, state_timeout{10s}};                     // goes to `open`, with a time limit
//     }
//
// First where to go: a state of the list `next<…>`, `keep`, `repeat` (leave the state and enter it again), `postpone` (keep,
// and see this event again in another state) or `stop(why)`. Then any number of actions, done in this order: timeouts,
// `next_event`, `postpone`, `hibernate`, other handlers. A handler of a call that returns its reply and goes somewhere says
// `replies<R, …>`, with `reply(v)` among the actions.
//
// Values, used by one thread.
#pragma once

#include <coppice/otp/detail/handlers.hpp>
#include <coppice/otp/from.hpp>
#include <coppice/otp/outcome.hpp>

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

namespace coppice {

/// The states of a machine: `using all = states<locked, open>;`. It begins in the first unless init says otherwise.
template <class... S>
struct states {};

/// Sets of handlers that may take the place of a machine's own: `using handlers = handler_sets<maintenance>;`. Each is an
/// empty struct with `handle(machine&, state&, event)` for whatever the machine itself handles.   Spec: SE-42.
template <class... H>
struct handler_sets {};

namespace detail {
struct keep_word {};
struct postpone_word {};
}  // namespace detail

/// The machine stays in its state.   Spec: SE-3.
inline constexpr detail::keep_word keep{};
/// The event comes back after the next change of state, in its old place among those that were postponed.   Spec: SE-12.
inline constexpr detail::postpone_word postpone{};

// --- timeouts --------------------------------------------------------------------------------------------------------

/// After this long in one state: `handle(state&, state_timeout)`. A change of state cancels it, nothing else does.
/// `infinity` cancels. Set again, it starts again.   Spec: SE-31.
class state_timeout {
 public:
  explicit state_timeout(duration wait) noexcept : wait_(wait.count()) {}
  explicit state_timeout(deadline at) noexcept : wait_(at.at()), absolute_(true) {}
  std::int64_t wait() const noexcept { return wait_; }
  bool is_absolute() const noexcept { return absolute_; }

 private:
  std::int64_t wait_;   // ns, or the point in time
  bool absolute_ = false;
};

/// After this long without any event: `handle(state&, event_timeout)`.   Spec: SE-30.
class event_timeout {
 public:
  explicit event_timeout(duration wait) noexcept : wait_(wait.count()) {}
  explicit event_timeout(deadline at) noexcept : wait_(at.at()), absolute_(true) {}
  std::int64_t wait() const noexcept { return wait_; }
  bool is_absolute() const noexcept { return absolute_; }

 private:
  std::int64_t wait_;
  bool absolute_ = false;
};

/// Any number of these run at a time, told apart by name: `handle(state&, named_timeout t)`, whatever the state is then.
/// Spec: SE-32.
class named_timeout {
 public:
  named_timeout(std::string name, duration wait) noexcept : name_(std::move(name)), wait_(wait.count()) {}
  named_timeout(std::string name, deadline at) noexcept : name_(std::move(name)), wait_(at.at()), absolute_(true) {}
  const std::string& name() const noexcept { return name_; }
  std::int64_t wait() const noexcept { return wait_; }
  bool is_absolute() const noexcept { return absolute_; }

 private:
  std::string name_;
  std::int64_t wait_;
  bool absolute_ = false;
};

std::string to_text(const state_timeout& t);
std::string to_text(const event_timeout& t);
std::string to_text(const named_timeout& t);

namespace detail {

enum class timer_kind : unsigned char { event, state, named };

/// Whether the state that a machine is in handles the event of a timeout.
using handled_test = bool (*)(const void* state, unsigned handlers) noexcept;

/// One thing to be done when a handler has returned.
struct machine_action {
  enum kind : unsigned char { start, cancel, update, insert, change_handlers, push_handlers, pop_handlers } what;
  timer_kind timer = timer_kind::event;
  bool absolute = false;
  unsigned handlers = 0;               // change_handlers, push_handlers: which
  std::int64_t wait = 0;               // start: ns, or the point in time
  node* event = nullptr;               // start, update: what is delivered (null: the plain one); insert: what
  handled_test handled = nullptr;      // of `event`; null: it is handled everywhere
  std::string name{};                  // of a named timeout
  machine_action* following = nullptr;
};

/// Actions in order. Owns them.
class action_list {
 public:
  action_list() noexcept = default;
  action_list(action_list&& other) noexcept
      : first(std::exchange(other.first, nullptr)), last(std::exchange(other.last, nullptr)), postponed(other.postponed), hibernates(other.hibernates) {}
  action_list& operator=(action_list&&) = delete;
  ~action_list() {
    if (first != nullptr) drop();
  }
  void add(machine_action&& action);
  void append(action_list&& other) noexcept;
  void drop() noexcept;

  machine_action* first = nullptr;
  machine_action* last = nullptr;
  bool postponed = false;
  bool hibernates = false;
};

/// What state_timeout_with, cancel_timeout and the like make. Each is used in one result.
struct machine_step {
  machine_action action;
  machine_step(machine_action&& a) noexcept : action(std::move(a)) { a.event = nullptr; }
  machine_step(machine_step&& other) noexcept : action(std::move(other.action)) { other.action.event = nullptr; }
  machine_step& operator=(machine_step&&) = delete;
  ~machine_step() {
    if (action.event != nullptr) drop();
  }
  void drop() noexcept;
};

/// The same, for what only a handler may do and no `enter`: next_event and the changes of handlers.
struct handler_step : machine_step {
  using machine_step::machine_step;
};

inline void add_step(action_list& list, machine_step&& step) { list.add(std::move(step.action)), step.action.event = nullptr; }
inline void add_step(action_list& list, const state_timeout& t) {
  list.add({.what = machine_action::start, .timer = timer_kind::state, .absolute = t.is_absolute(), .wait = t.wait()});
}
inline void add_step(action_list& list, const event_timeout& t) {
  list.add({.what = machine_action::start, .timer = timer_kind::event, .absolute = t.is_absolute(), .wait = t.wait()});
}
inline void add_step(action_list& list, const named_timeout& t) {
  list.add({.what = machine_action::start, .timer = timer_kind::named, .absolute = t.is_absolute(), .wait = t.wait(), .name = t.name()});
}
inline void add_step(action_list& list, postpone_word) noexcept { list.postponed = true; }
inline void add_step(action_list& list, hibernate_action) noexcept { list.hibernates = true; }

template <class A>
inline constexpr bool is_timer_step = std::is_same_v<A, state_timeout> || std::is_same_v<A, event_timeout> || std::is_same_v<A, named_timeout>;
template <class A>
inline constexpr bool is_step = is_timer_step<A> || std::is_same_v<A, machine_step> || std::is_same_v<A, handler_step> ||
                                std::is_same_v<A, postpone_word> || std::is_same_v<A, hibernate_action>;
template <class A>
concept step = is_step<std::remove_cvref_t<A>>;

enum class go : unsigned char { stay, enter, again, end };
template <class V, class... T>
inline constexpr bool is_one_of = (std::is_same_v<V, T> || ...);

template <class T, class... S>
concept target_in_next = is_one_of<T, S...>;

template <class V>
inline constexpr bool is_way = std::is_same_v<V, keep_word> || std::is_same_v<V, repeat_word> || std::is_same_v<V, postpone_word> || std::is_same_v<V, stop_form>;

template <class T, class... S>
consteval bool check_target() {
  static_assert(!!target_in_next<T, S...>, "coppice: the handler may not go there: this is none of the states in the list of its next<...> (nor keep, repeat, postpone or stop).");
  return target_in_next<T, S...>;
}
template <class... A>
consteval bool check_steps() {
  static_assert((step<A> && ...), "coppice: behind the next state stand actions: timeouts, next_event(...), postpone, hibernate. (A reply is an action of replies<R, ...> alone.)");
  return (step<A> && ...);
}

}  // namespace detail

/// What an event handler returns that goes to one of the states `S…`, or stays.   Spec: SE-3.
template <class... S>
class [[nodiscard]] next {
 public:
  template <class V, class... A>
    requires(!std::is_same_v<std::remove_cvref_t<V>, next>)
  next(V&& to, A&&... then) {
    using target = std::remove_cvref_t<V>;
    if constexpr (detail::check_steps<std::remove_cvref_t<A>...>()) {
      go_to(std::forward<V>(to));
      (detail::add_step(actions_, std::forward<A>(then)), ...);
    }
    static_assert(!std::is_pointer_v<target>);
  }
  next(next&&) noexcept = default;

  /// For the library.
  detail::go way() const noexcept { return way_; }
  template <class T>
  T* target() noexcept { return std::get_if<T>(&to_); }
  detail::action_list& actions() noexcept { return actions_; }
  exit_reason& reason() noexcept { return reason_; }

 private:
  void go_to(detail::keep_word) noexcept {}
  void go_to(detail::repeat_word) noexcept { way_ = detail::go::again; }
  void go_to(detail::postpone_word) noexcept { actions_.postponed = true; }
  void go_to(detail::stop_form&& form) noexcept { way_ = detail::go::end, reason_ = std::move(form.reason); }
  template <class V>
    requires(!detail::is_way<std::remove_cvref_t<V>>)
  void go_to(V&& to) {
    using target = std::remove_cvref_t<V>;
    if constexpr (detail::check_target<target, S...>()) {
      way_ = detail::go::enter;
      to_.template emplace<target>(std::forward<V>(to));
    }
  }

  std::variant<std::monostate, S...> to_;
  detail::action_list actions_;
  exit_reason reason_;
  detail::go way_ = detail::go::stay;
};

namespace detail {

template <class A>
inline constexpr bool is_reply_step = false;
template <class T>
inline constexpr bool is_reply_step<reply_form<T, no_action>> = true;
template <class A>
inline constexpr bool is_postpone_step = std::is_same_v<A, postpone_word>;

/// A reply, or the promise of a later one.
template <class... A>
concept answers_once = ((is_reply_step<A> || is_postpone_step<A> ? 1 : 0) + ... + 0) == 1;

template <class R, class A>
inline constexpr bool reply_step_fits = true;
template <class R, class T>
inline constexpr bool reply_step_fits<R, reply_form<T, no_action>> = std::is_convertible_v<T, stored<R>>;
template <class A, class R>
concept replies_with = reply_step_fits<R, A>;

template <class V, class... A>
consteval bool check_answer() {
  static_assert(std::is_same_v<V, stop_form> || answers_once<V, A...>, "coppice: a call has one answer: put one reply(v) among the actions, or postpone.");
  return std::is_same_v<V, stop_form> || answers_once<V, A...>;
}
template <class R, class A>
consteval bool check_reply() {
  static_assert(!!replies_with<A, R>, "coppice: reply(v) does not fit what the request says its reply is.");
  return replies_with<A, R>;
}

}  // namespace detail

/// What the handler of a call returns that takes no `from`: its reply `R`, and where the machine goes: one of `S…`, or it
/// stays. A plain value is the reply of a machine that stays.   Spec: SE-3, SE-40.
template <class R, class... S>
class [[nodiscard]] replies {
 public:
  template <class V>
    requires detail::becomes<R, V> && (!std::is_void_v<R>) && (!std::is_same_v<std::remove_cvref_t<V>, replies>) &&
             (!detail::is_way<std::remove_cvref_t<V>>) && (!detail::is_one_of<std::remove_cvref_t<V>, S...>)
  replies(V&& value) : next_(keep), value_(std::forward<V>(value)) {}
  template <class V>
  replies(detail::reply_form<V, detail::no_action>&& form) : next_(keep) { take(std::move(form)); }
  /// The reply goes out, then the machine ends.
  template <class V>
  replies(detail::stop_reply_form<V>&& form) : next_(stop(std::move(form.reason))), value_(std::move(form.value)) {}
  template <class V, class... A>
    requires(detail::is_way<std::remove_cvref_t<V>> || detail::is_one_of<std::remove_cvref_t<V>, S...> || sizeof...(A) > 0)
  replies(V&& to, A&&... then) : next_(std::forward<V>(to)) {
    if constexpr (detail::check_answer<std::remove_cvref_t<V>, std::remove_cvref_t<A>...>()) (take(std::forward<A>(then)), ...);
  }
  replies(replies&&) noexcept = default;

  /// For the library.
  next<S...>& where() noexcept { return next_; }
  std::optional<detail::stored<R>>& value() noexcept { return value_; }

 private:
  template <class V>
  void take(detail::reply_form<V, detail::no_action>&& form) {
    if constexpr (detail::check_reply<R, detail::reply_form<V, detail::no_action>>()) value_.emplace(std::move(form.value));
  }
  template <detail::step A>
  void take(A&& action) { detail::add_step(next_.actions(), std::forward<A>(action)); }

  next<S...> next_;
  std::optional<detail::stored<R>> value_;
};

/// What an `enter` returns that mixes forms: actions, in any number, or stop(why). It cannot leave the state, postpone or
/// insert events.   Spec: SE-20.
class [[nodiscard]] entered {
 public:
  template <class... A>
    requires((detail::is_timer_step<std::remove_cvref_t<A>> || std::is_same_v<std::remove_cvref_t<A>, detail::machine_step> ||
              std::is_same_v<std::remove_cvref_t<A>, detail::hibernate_action>) && ...)
  entered(A&&... then) { (detail::add_step(actions_, std::forward<A>(then)), ...); }
  entered(detail::keep_word) noexcept {}
  entered(detail::stop_form&& form) noexcept : reason_(std::move(form.reason)), ends_(true) {}
  entered(entered&&) noexcept = default;

  /// For the library.
  detail::action_list& actions() noexcept { return actions_; }
  exit_reason& reason() noexcept { return reason_; }
  bool ends() const noexcept { return ends_; }

 private:
  detail::action_list actions_;
  exit_reason reason_;
  bool ends_ = false;
};

/// What an init returns that mixes forms: a state of `S…` with actions, `keep` (the first state) with actions, `ignore`,
/// `fail(why)`, `stop(why)`.   Spec: SE-1, GS-20..GS-24.
template <class... S>
class [[nodiscard]] first {
 public:
  template <class V, class... A>
    requires(!std::is_same_v<std::remove_cvref_t<V>, first>)
  first(V&& to, A&&... then) : next_(std::forward<V>(to), std::forward<A>(then)...) {}
  first(detail::ignore_form) : next_(keep), said_(init_outcome<>::verdict::ignored) {}
  first(detail::fail_form&& form) : next_(keep), said_(init_outcome<>::verdict::failed) { next_.reason() = std::move(form.reason); }
  first(detail::stop_form&& form) : next_(keep), said_(init_outcome<>::verdict::stopped) { next_.reason() = std::move(form.reason); }
  first(first&&) noexcept = default;

  /// For the library.
  next<S...>& where() noexcept { return next_; }
  init_outcome<>::verdict said() const noexcept { return said_; }

 private:
  next<S...> next_;
  init_outcome<>::verdict said_ = init_outcome<>::verdict::ready;
};

}  // namespace coppice
