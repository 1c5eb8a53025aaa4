// SPDX-License-Identifier: Apache-2.0
//
// child_spec: how a supervisor starts, stops and restarts one child. A value: copied, compared, printed, used again and again.
//
// A spec holds no closure. It names *what* is started (a constant for each class or function and argument types) and owns a
// copy of the arguments; each start gets a copy of that copy. So a restart asks for the class that is current at that moment
// (`detail::newest`), and a spec prints as what it does: `session "ann" (transient, shutdown 5 s) from {"ann"}`.
//
// Specs are made by `child<S>(…)` in the rooms that know a kind of process, or from a function here:
//
//     child({.id = "listener"}, &start_listener, port)       // listener's pid, or why there is none
//
// Invariants:
//   1. A spec keeps nothing of its maker alive and depends on nothing of it but the registry of a `via` name.
//   2. Who supervises knows a child by its spec only, never by its class.
#pragma once

#include <coppice/base/any_value.hpp>
#include <coppice/base/result.hpp>
#include <coppice/base/time.hpp>
#include <coppice/process/detail/core.hpp>
#include <coppice/process/exit_reason.hpp>
#include <coppice/process/name.hpp>
#include <coppice/process/pid.hpp>

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace coppice {

/// When a child that has ended is started again.   Spec: SV-3, SV-20..SV-22.
enum class restart_type : std::uint8_t {
  permanent,   ///< always
  transient,   ///< after an abnormal end only
  temporary    ///< never; it is forgotten
};
using enum restart_type;

namespace detail {
struct brutal_kill_word {};
}
/// A child that is killed at once instead of being asked to end.   Spec: SV-2, SV-50.
inline constexpr detail::brutal_kill_word brutal_kill{};

/// How long a child may take for its end once it was told to: a duration, `infinity`, or `brutal_kill`.   Spec: SV-2.
class shutdown_time {
 public:
  template <class D>
    requires std::convertible_to<D, duration>
  constexpr shutdown_time(D wait) noexcept : wait_(wait) {}
  constexpr shutdown_time(detail::brutal_kill_word) noexcept : kill_(true) {}

  constexpr bool is_brutal_kill() const noexcept { return kill_; }
  constexpr duration wait() const noexcept { return wait_; }
  friend constexpr bool operator==(const shutdown_time&, const shutdown_time&) noexcept = default;

 private:
  duration wait_{0};
  bool kill_ = false;
};
/// `5 s`, `infinity`, `brutal_kill`.
std::string to_text(const shutdown_time& time);

/// What a child is: reports and counts tell them apart.   Spec: SV-1, SV-76.
enum class child_type : std::uint8_t { worker, supervisor };

/// Where a child runs.
enum class child_place : std::uint8_t { in_process };

/// How long to wait before a child that ended, or could not be started, is started again: `min` first, then `factor` times as
/// long each time, at most `max`; back to `min` when the child has lived for `max`. `jitter` of the wait is left to chance: 0.1
/// is ±10 %, so that what died together does not come back together. `min` 0: no wait.   Spec: SV-45.
struct back_off {
  duration min{0};
  duration max = 30s;
  double factor = 2;
  double jitter = 0.1;
  friend constexpr bool operator==(const back_off&, const back_off&) noexcept = default;
};

/// At most so many restarts in so much time.   Spec: SV-10, SV-30, SV-45.
struct restart_limit {
  unsigned restarts = 3;
  duration period = 5s;
  friend constexpr bool operator==(const restart_limit&, const restart_limit&) noexcept = default;
};

/// What is said of a child when its spec is made. What is left out is taken from the class (`static constexpr child_options
/// child_defaults{…}`), else it is as said here.   Spec: SV-1, EX-100.
struct child_options {
  std::string_view id{};                          ///< unique in its supervisor; default: the name, else the class's name
  name_view name{};                               ///< under which the child is registered
  std::optional<restart_type> restart{};          ///< permanent
  std::optional<shutdown_time> shutdown{};        ///< 5 s; of a supervisor: infinity
  std::optional<bool> significant{};              ///< false. Its end may end its supervisor (SV-65)
  std::optional<child_type> type{};               ///< worker
  std::optional<duration> start_timeout{};        ///< infinity
  std::optional<coppice::back_off> back_off{};    ///< none
  std::optional<restart_limit> limit{};           ///< none: its restarts count for the supervisor. Else for itself alone,
                                                  ///< and one too many gives up this child alone (SV-45)
  std::string_view label{};                       ///< shown in reports
  child_place where = child_place::in_process;
};

struct child_spec;

/// What became of a start: a process, perhaps with something to tell; nothing was wanted; or why there is none.
/// Spec: SV-6.
class started_child {
 public:
  enum kind : unsigned char { started, ignored, already_started, failed };

  started_child(pid who, any_value info = {}) : info_(std::move(info)), who_(who), kind_(who ? started : failed) {
    if (!who) reason_ = exit_reason::bad_return_value;
  }
  static started_child ignore() { return started_child(ignored, {}, {}); }
  /// The name is taken: by whom.
  static started_child taken_by(pid holder) { return started_child(already_started, holder, exit_reason("already_started")); }
  static started_child failure(exit_reason why) { return started_child(failed, {}, std::move(why)); }

  kind code() const noexcept { return kind_; }
  bool is(kind k) const noexcept { return kind_ == k; }
  /// Who was started, or who has the name.
  pid who() const noexcept { return who_; }
  const exit_reason& reason() const noexcept { return reason_; }
  /// What the start function told besides the pid.
  const any_value& info() const noexcept { return info_; }
  any_value take_info() noexcept { return std::move(info_); }

 private:
  started_child(kind k, pid who, exit_reason why) : reason_(std::move(why)), who_(who), kind_(k) {}
  exit_reason reason_{};
  any_value info_{};
  pid who_{};
  kind kind_;
};

namespace detail {

/// What can be started: one constant per class, or function, and types of arguments. `start` runs in the supervisor.
struct child_class {
  std::string_view name;                               // `session`
  std::uint64_t key;                                   // of the class or function
  std::string_view behaviour;                          // `gen_server`, `function`, …
  const value_operations* arguments;                   // what the spec owns: tuple<A…>
  const value_operations* before = nullptr;            // what the supervisor puts before them; null: nothing
  const value_operations* after = nullptr;             // what each start appends; null: nothing
  const value_operations* joined = nullptr;            // all of them in one tuple; null: `arguments` are all
  void (*join)(void* place, const void* before, const void* arguments, const void* after) = nullptr;
  /// Starts and links. `given`: the tuple of all arguments, which may be moved from. Must not throw but to unwind.
  started_child (*start)(const child_class& what, const child_spec& spec, void* given) = nullptr;
  const class_descriptor* cls = nullptr;               // for `start`: the class and its init, if it is one
  trampoline init = nullptr;
};

/// The class that is started where `what` was named: `what` itself, or what an upgrade put in its place.
const child_class& newest(const child_class& what) noexcept;
/// From now on `next` is started wherever `what` was named: both take the same arguments. Undone by replace(what, what).
/// Fails: std::invalid_argument when the arguments differ.   Thread: any.
void replace_child_class(const child_class& what, const child_class& next);

}  // namespace detail

/// What is started, and from what.
class child_start {
 public:
  child_start() noexcept = default;
  child_start(const detail::child_class& what, any_value arguments) noexcept : what_(&what), arguments_(std::move(arguments)) {}

  explicit operator bool() const noexcept { return what_ != nullptr; }
  const detail::child_class* what() const noexcept { return what_; }
  std::string_view name() const noexcept { return what_ != nullptr ? what_->name : std::string_view(); }
  const any_value& arguments() const noexcept { return arguments_; }
  void forget_arguments() noexcept { arguments_ = {}; }   // SV-93
  any_value arguments_for_good() noexcept { return std::move(arguments_); }

  friend bool operator==(const child_start& a, const child_start& b) {
    if (a.what_ == nullptr || b.what_ == nullptr) return a.what_ == b.what_;
    return a.what_->key == b.what_->key && a.arguments_ == b.arguments_;
  }

 private:
  const detail::child_class* what_ = nullptr;
  any_value arguments_{};
};

/// How one child is started, stopped and restarted. Every field may be changed before the spec is used.
/// Thread: as a string.   Spec: SV-1..SV-7.
struct child_spec {
  std::string id{};
  child_start start{};
  restart_type restart = permanent;
  shutdown_time shutdown = 5s;
  child_type type = child_type::worker;
  bool significant = false;
  owned_name name{};
  duration start_timeout = infinity;
  coppice::back_off back_off{};
  std::optional<restart_limit> limit{};
  std::string label{};
  child_place where = child_place::in_process;

  friend bool operator==(const child_spec&, const child_spec&) = default;
};

/// `session "ann" (transient, shutdown 5 s) from {"ann"}`.
std::string to_text(const child_spec& spec);

/// What is wrong with `spec` as it stands, with the field and its value; empty if nothing is.   Spec: SV-4.
std::string problem_of(const child_spec& spec);

namespace detail {

/// Starts what `spec` says, linked to the running process, from a copy of its arguments. Where the class takes more,
/// `before` and `after` hold it.
/// Returns: never an exception's failure but as a value; throws unwind when the running process has to end.
started_child start_child(const child_spec& spec, const any_value& before = {}, const any_value& after = {});
/// The same from the spec's own arguments, which are moved from: for a start that is never repeated.
started_child start_child_once(child_spec& spec);
/// Inside `catch (...)`: the failure that was caught; unwinding goes on.
started_child caught_start();

/// A spec of `what`, from what is said, then the class's own defaults, then `by_kind`.
child_spec make_child_spec(const child_class& what, const child_options& said, const child_options& of_class, any_value arguments,
                           const child_options& by_kind = {});

template <class S>
concept has_child_defaults = requires { { S::child_defaults } -> std::convertible_to<const child_options&>; };
template <class S>
constexpr child_options child_defaults_of() noexcept {
  if constexpr (has_child_defaults<S>) return S::child_defaults;
  else return {};
}

// --- children that are started by a function -------------------------------------------------------------------------

template <class R>
struct started_from {
  static started_child make(R&& r) requires std::convertible_to<R, started_child> { return std::move(r); }
  static started_child make(R&& r) requires(!std::convertible_to<R, started_child> && std::convertible_to<R, pid>) { return started_child(pid(r)); }
};
template <class T, class E>
struct started_from<result<T, E>> {
  static started_child make(result<T, E>&& r) {
    if (r) return started_from<T>::make(std::move(*r));
    if constexpr (std::convertible_to<E, exit_reason>) {
      return started_child::failure(std::move(r.error()));
    } else {
      if constexpr (requires { r.error().ignored(); })
        if (r.error().ignored()) return started_child::ignore();
      if constexpr (requires { r.error().holder(); })
        if (r.error().holder()) return started_child::taken_by(r.error().holder());
      return started_child::failure(r.error().reason());
    }
  }
};

template <class R>
concept tells_a_start = requires(R r) { started_from<std::remove_cvref_t<R>>::make(std::move(r)); };

/// A function that a spec can keep: a pointer to one, or a lambda that captures nothing.
template <class F>
concept plain_function = (std::is_pointer_v<F> && std::is_function_v<std::remove_pointer_t<F>>) || (std::is_class_v<F> && std::is_empty_v<F> && std::copy_constructible<F>);
template <class F>
concept holds_something = std::is_class_v<F> && !std::is_empty_v<F>;
template <class F, class... A>
concept can_be_called = std::invocable<const F&, A...>;
template <class F, class... A>
concept returns_a_start = tells_a_start<std::invoke_result_t<const F&, A...>>;
template <class... A>
concept can_be_copied = (std::copy_constructible<A> && ...);

template <class F, class... A>
consteval bool check_child_function() {
  static_assert(!holds_something<F>, "coppice: a child is started by a function and its arguments, not by a closure that holds something: hand over what it holds as arguments.");
  if constexpr (!holds_something<F>) {
    static_assert(!!can_be_copied<A...>, "coppice: a child's arguments must be copyable, because each restart uses a copy.");
    static_assert(!!can_be_called<F, A...>, "coppice: the start function of this child cannot be called with these arguments.");
    if constexpr (can_be_copied<A...> && can_be_called<F, A...>) {
      static_assert(!!returns_a_start<F, A...>, "coppice: the start function of a child returns a pid, a server_ref, started_child, or a result of these.");
      return returns_a_start<F, A...>;
    }
  }
  return false;
}

template <class F, class... A>
started_child start_by_function(const child_class&, const child_spec&, void* given) {
  auto& all = *static_cast<std::tuple<F, A...>*>(given);
  try {
    return std::apply(
        [](const F& f, A&... a) {
          using R = std::remove_cvref_t<std::invoke_result_t<const F&, A...>>;
          return started_from<R>::make(f(std::move(a)...));
        },
        all);
  } catch (...) {
    return caught_start();
  }
}

template <class F, class... A>
inline constexpr child_class function_class{
    .name = "function",
    .key = type_hash<std::tuple<F, A...>>(),
    .behaviour = "function",
    .arguments = &value_constant<std::tuple<F, A...>>,
    .start = &start_by_function<F, A...>,
};

}  // namespace detail

/// A child that `start(arguments…)` starts. It is called in the supervisor, at each start with a copy of the arguments; the
/// process that it returns is linked to the supervisor if it is not already. `start` is a function or a lambda that captures
/// nothing; it returns a pid, a server_ref, a started_child (with `info`, or started_child::ignore()), or a result of one of
/// these; what it throws is the reason of the failure.   Spec: SV-6, SV-7.
template <class F, class... A>
  requires std::invocable<const std::decay_t<F>&, std::decay_t<A>...> || detail::plain_function<std::decay_t<F>>
child_spec child(const child_options& options, F&& start, A&&... arguments) {
  using f = std::decay_t<F>;
  if constexpr (detail::check_child_function<f, std::decay_t<A>...>())
    return detail::make_child_spec(detail::function_class<f, std::decay_t<A>...>, options, {},
                                   any_value(std::tuple<f, std::decay_t<A>...>(std::forward<F>(start), std::forward<A>(arguments)...)));
  else
    __builtin_unreachable();
}

}  // namespace coppice
