// SPDX-License-Identifier: Apache-2.0
//
// outcome: what the callbacks of a server return. A plain value is a reply, `void` is no reply; everything else is a form:
// reply(v, then), noreply(then), stop(why), stop(why, v), and for init ok(then), ignore, fail(why). `then` says what follows:
// a duration (handle_info(timeout) after that much silence), hibernate, continue_with(x), timeout_with(5s, m).
//
// A handler with one form returns that form (`auto`); one that mixes them says `outcome<Reply>`, and names what it may
// continue with: `outcome<Reply, load>`. So a handle_continue that is missing does not compile.
//
// Values, used by one thread.
#pragma once

#include <coppice/base/time.hpp>
#include <coppice/process/detail/core.hpp>

#include <concepts>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

namespace coppice {

/// A point of the monotonic clock, for timeouts that must not start again.   Spec: GS-54, GS-93.
class deadline {
 public:
  constexpr explicit deadline(std::int64_t at) noexcept : at_(at) {}
  static deadline in(duration wait) noexcept { return deadline(deadline_after(wait)); }
  constexpr std::int64_t at() const noexcept { return at_; }
  duration left() const noexcept { return time_until(at_); }
  friend constexpr auto operator<=>(deadline, deadline) noexcept = default;

 private:
  std::int64_t at_;
};

namespace detail {

struct no_action {};
struct wait_action { std::int64_t wait; };
struct hibernate_action {};
template <class X>
struct continue_action { X value; };
struct repeat_word {};

}  // namespace detail

/// Again: a timer that starts anew whenever it has fired (server_timer.hpp); a machine that enters its state anew (next.hpp).
inline constexpr detail::repeat_word repeat{};

/// A message that the server sends itself when nothing arrives in time: what timeout_with and hibernate_with make. Named in
/// the list of an `outcome` that may use it.   Spec: GS-93, GS-94.
template <class M>
struct message_timeout {
  std::int64_t wait;   // ns, or the point in time
  bool absolute;
  bool hibernated;
  M message;
};

/// Sleep with as little memory as possible until the next message.   Spec: GS-96.
inline constexpr detail::hibernate_action hibernate{};

/// `handle_continue(x)` runs next, before any message.   Spec: GS-98.
template <class X>
detail::continue_action<std::decay_t<X>> continue_with(X&& x) { return {std::forward<X>(x)}; }

/// `handle_info(m)` runs unless an ordinary message comes first. System messages do not disturb it.   Spec: GS-93.
template <class M>
message_timeout<std::decay_t<M>> timeout_with(duration wait, M&& m) { return {wait.count(), false, false, std::forward<M>(m)}; }
template <class M>
message_timeout<std::decay_t<M>> timeout_with(deadline at, M&& m) { return {at.at(), true, false, std::forward<M>(m)}; }
/// The same, hibernated meanwhile.   Spec: GS-94.
template <class M>
message_timeout<std::decay_t<M>> hibernate_with(duration wait, M&& m) { return {wait.count(), false, true, std::forward<M>(m)}; }
template <class M>
message_timeout<std::decay_t<M>> hibernate_with(deadline at, M&& m) { return {at.at(), true, true, std::forward<M>(m)}; }

namespace detail {

template <class A>
inline constexpr bool is_action = std::is_convertible_v<A, duration>;
template <>
inline constexpr bool is_action<hibernate_action> = true;
template <class X>
inline constexpr bool is_action<continue_action<X>> = true;
template <class M>
inline constexpr bool is_action<message_timeout<M>> = true;

template <class A>
auto as_action(A&& then) {
  if constexpr (std::is_convertible_v<A, duration>) return wait_action{duration(then).count()};
  else return std::decay_t<A>(std::forward<A>(then));
}
template <class A>
using action_of = decltype(as_action(std::declval<A>()));

/// A reply, and what follows.
template <class T, class A>
struct reply_form {
  T value;
  [[no_unique_address]] A then;
};
template <class A>
struct noreply_form { [[no_unique_address]] A then; };
struct stop_form { exit_reason reason; };
template <class T>
struct stop_reply_form {
  exit_reason reason;
  T value;
};
template <class A>
struct ok_form { [[no_unique_address]] A then; };
struct ignore_form {};
struct fail_form { exit_reason reason; };

template <class F>
inline constexpr bool is_form = false;
template <class T, class A>
inline constexpr bool is_form<reply_form<T, A>> = true;
template <class A>
inline constexpr bool is_form<noreply_form<A>> = true;
template <>
inline constexpr bool is_form<stop_form> = true;
template <class T>
inline constexpr bool is_form<stop_reply_form<T>> = true;

}  // namespace detail

/// What may follow a callback: a duration, hibernate, continue_with, timeout_with, hibernate_with.
template <class A>
concept action = detail::is_action<std::decay_t<A>>;

// --- the forms -------------------------------------------------------------------------------------------------------

/// The caller gets `value`.   Spec: GS-61.
template <class T>
detail::reply_form<std::decay_t<T>, detail::no_action> reply(T&& value) { return {std::forward<T>(value), {}}; }
/// The caller gets `value`; then `then` applies.   Spec: GS-61.
template <class T, action A>
detail::reply_form<std::decay_t<T>, detail::action_of<A>> reply(T&& value, A&& then) {
  return {std::forward<T>(value), detail::as_action(std::forward<A>(then))};
}
/// An acknowledgement: the reply of a request with `using reply = void`.
inline detail::reply_form<detail::nothing, detail::no_action> reply() { return {{}, {}}; }

/// No reply now.   Spec: GS-62.
constexpr detail::noreply_form<detail::no_action> noreply() { return {{}}; }
template <action A>
detail::noreply_form<detail::action_of<A>> noreply(A&& then) { return {detail::as_action(std::forward<A>(then))}; }

/// The server ends with `why`. Who waits for a reply sees `why`. From init: the start fails with it.   Spec: GS-24, GS-65.
inline detail::stop_form stop(exit_reason why = exit_reason::normal) { return {std::move(why)}; }
/// The server ends with `why`; after terminate has run, the caller gets `value`.   Spec: GS-64.
template <class T>
detail::stop_reply_form<std::decay_t<T>> stop(exit_reason why, T&& value) { return {std::move(why), std::forward<T>(value)}; }

/// init: the server is ready.   Spec: GS-20.
constexpr detail::ok_form<detail::no_action> ok() { return {{}}; }
template <action A>
detail::ok_form<detail::action_of<A>> ok(A&& then) { return {detail::as_action(std::forward<A>(then))}; }
/// init: no server is wanted; no failure.   Spec: GS-22.
inline constexpr detail::ignore_form ignore{};
/// init: the start fails with `why` and nobody else hears of it.   Spec: GS-23.
inline detail::fail_form fail(exit_reason why) { return {std::move(why)}; }

// --- mixed forms -----------------------------------------------------------------------------------------------------

namespace detail {

/// A continuation or message on its way into a node: the node is made at once, the trampoline is known to who returns it.
class then_part {
 public:
  then_part() noexcept = default;
  then_part(then_part&& other) noexcept
      : what(other.what), which(other.which), wait(other.wait), node_(std::exchange(other.node_, nullptr)) {}
  then_part& operator=(then_part&&) = delete;
  ~then_part() {
    if (node_ != nullptr) drop(node_);
  }

  void set(no_action) noexcept {}
  void set(wait_action a) noexcept { what = after::wait, wait = a.wait; }
  void set(hibernate_action) noexcept { what = after::hibernate; }
  template <class X>
  void set(continue_action<X>&& a, unsigned char place) { what = after::go_on, which = place, make(std::move(a.value)); }
  template <class M>
  void set(message_timeout<M>&& a, unsigned char place) {
    what = a.hibernated ? after::hibernate : after::wait_message;
    which = place;
    wait = wait_of(a.wait, a.absolute);
    make(std::move(a.message));
  }
  node* take() noexcept { return std::exchange(node_, nullptr); }

  after what = after::nothing;
  unsigned char which = 0;
  std::int64_t wait = 0;

  /// ns from now.
  static std::int64_t wait_of(std::int64_t wait, bool absolute) noexcept;

 private:
  template <class M>
  void make(M&& m) {
    using T = std::decay_t<M>;
    node* const n = new_node(descriptor_of<T>());
    node_ = construct_at<T>(n, payload_of(*n), std::forward<M>(m));
  }
  static void drop(node* n) noexcept;
  node* node_ = nullptr;
};

template <class X>
struct continues_with { using type = continue_action<X>; };
template <class M>
struct continues_with<message_timeout<M>> { using type = message_timeout<M>; };

/// The place of action A in the list X…, or sizeof…(X).
template <class A, class... X>
consteval unsigned char place_of() {
  unsigned char place = 0;
  (void)((std::is_same_v<A, typename continues_with<X>::type> || (++place, false)) || ...);
  return place;
}
/// A needs no place in a list, or has one.
template <class A, class... X>
concept listed = std::is_same_v<A, no_action> || std::is_same_v<A, wait_action> || std::is_same_v<A, hibernate_action> ||
                 place_of<A, X...>() < sizeof...(X);

template <class... X, class A>
void set_then(then_part& part, A&& then) {
  if constexpr (requires { part.set(std::forward<A>(then)); }) part.set(std::forward<A>(then));
  else part.set(std::forward<A>(then), place_of<std::decay_t<A>, X...>());
}

template <class T, class V>
concept becomes = std::is_convertible_v<V, stored<T>> && !is_form<std::remove_cvref_t<V>>;

}  // namespace detail

/// What a handler returns that mixes forms: a plain value or reply(…), stop(…), and for T = void noreply(…). X… lists what it
/// may continue with: `X` for continue_with(X), `message_timeout<M>` for timeout_with(…, M).   Spec: GS-61..GS-65.
template <class T, class... X>
class [[nodiscard]] outcome {
 public:
  template <class V>
    requires(!std::is_void_v<T> && detail::becomes<T, V> && !std::is_same_v<std::remove_cvref_t<V>, outcome>)
  outcome(V&& value) : value_(std::forward<V>(value)) {}
  template <class V, class A>
    requires(detail::becomes<T, V> && detail::listed<A, X...>)
  outcome(detail::reply_form<V, A>&& form) : value_(std::move(form.value)) { detail::set_then<X...>(then_, std::move(form.then)); }
  template <class A>
    requires(std::is_void_v<T> && detail::listed<A, X...>)
  outcome(detail::noreply_form<A>&& form) { detail::set_then<X...>(then_, std::move(form.then)); }
  outcome(detail::stop_form&& form) : reason_(std::move(form.reason)) { then_.what = detail::after::stop; }
  template <class V>
    requires detail::becomes<T, V>
  outcome(detail::stop_reply_form<V>&& form) : reason_(std::move(form.reason)), value_(std::move(form.value)) {
    then_.what = detail::after::stop;
  }

  /// For the library.
  detail::then_part& then() noexcept { return then_; }
  exit_reason& reason() noexcept { return reason_; }
  std::optional<detail::stored<T>>& value() noexcept { return value_; }

 private:
  detail::then_part then_;
  exit_reason reason_;
  std::optional<detail::stored<T>> value_;
};

/// What an init returns that mixes forms: ok(…), ignore, fail(…), stop(…).   Spec: GS-20..GS-24.
template <class... X>
class [[nodiscard]] init_outcome {
 public:
  enum class verdict : unsigned char { ready, ignored, failed, stopped };
  template <class A>
    requires detail::listed<A, X...>
  init_outcome(detail::ok_form<A>&& form) { detail::set_then<X...>(then_, std::move(form.then)); }
  init_outcome(detail::ignore_form) : verdict_(verdict::ignored) {}
  init_outcome(detail::fail_form&& form) : reason_(std::move(form.reason)), verdict_(verdict::failed) {}
  init_outcome(detail::stop_form&& form) : reason_(std::move(form.reason)), verdict_(verdict::stopped) {}

  /// For the library.
  detail::then_part& then() noexcept { return then_; }
  exit_reason& reason() noexcept { return reason_; }
  verdict what() const noexcept { return verdict_; }

 private:
  detail::then_part then_;
  exit_reason reason_;
  verdict verdict_ = verdict::ready;
};

namespace detail {
template <class F>
inline constexpr bool is_outcome = false;
template <class T, class... X>
inline constexpr bool is_outcome<outcome<T, X...>> = true;
template <class F>
inline constexpr bool is_init_outcome = false;
template <class... X>
inline constexpr bool is_init_outcome<init_outcome<X...>> = true;
}  // namespace detail

}  // namespace coppice
