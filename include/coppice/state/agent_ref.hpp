// SPDX-License-Identifier: Apache-2.0
//
// agent_ref: an agent that is a process: it has a pid, perhaps a name, links, a supervisor; a function that fails ends it.
//
//     const auto hits = start_agent_link([] { return 0; }, {.name = "hits"});
//     cast(hits, inc);
//     int n = get(hits);
//     int before = get_and_update(hits, [](int x) { return std::pair(x, 0); });
//
//     supervisor_spec{.children = {agent_child({.name = "hits"}, [] { return 0; })}}     // comes back with 0
//     cast(agent_ref<int>("hits"), inc);
//
// The functions run in the agent's process, one at a time, in order, each as an action of the agent<T> that this process holds: its
// validator, watches and taps act, what it sends to agents is held until it is over (agent.hpp). Its error mode is `stop`.
//
// Thread: any. Design note: docs/internals/agents.md.
#pragma once

#include <coppice/process/child_spec.hpp>
#include <coppice/process/name.hpp>
#include <coppice/process/process.hpp>
#include <coppice/process/receive.hpp>
#include <coppice/runtime/detail/held_send.hpp>
#include <coppice/state/agent.hpp>
#include <coppice/state/detail/eventual.hpp>
#include <coppice/state/state_error.hpp>

#include <concepts>
#include <functional>  // std::invoke: functions may be pointers to members
#include <optional>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace coppice {

/// An agent's process did not do what it was asked.   Spec: EX-60, EX-61, EX-63.
class agent_error : public state_error {
 public:
  enum kind : unsigned char {
    noproc,        ///< there is no such process
    timeout,       ///< no answer in time; what was asked may still be done
    ended,         ///< it ended meanwhile: reason() says why
    calling_self,  ///< the agent asks itself
    not_started    ///< its first value could not be made: reason() says why
  };
  agent_error(kind k, exit_reason why);
  kind code() const noexcept { return kind_; }
  bool is(kind k) const noexcept { return kind_ == k; }
  const exit_reason& reason() const noexcept { return reason_; }

 private:
  exit_reason reason_;
  kind kind_;
};

/// How an agent's process starts. Every field has a default.   Spec: EX-60.
struct agent_start {
  std::string_view name{};                         ///< local name
  std::string_view label{};                        ///< shown in reports
  duration timeout = infinity;                     ///< for the first value
  runtime* in = nullptr;                           ///< null: the caller's
};

/// How long an agent is waited for if nothing is said.
inline constexpr duration agent_timeout = 5s;

/// The address of an agent's process: a pid, or a local name, which is looked up at each use and must outlive this.
/// Thread: any.   Spec: EX-61, EX-64.
template <class T>
class agent_ref {
 public:
  using value_type = T;
  constexpr agent_ref() noexcept = default;
  constexpr explicit agent_ref(pid who) noexcept : who_(who) {}
  constexpr explicit agent_ref(name_view name) noexcept : name_(name) {}
  constexpr explicit agent_ref(const char* name) noexcept : name_(name) {}

  /// Who it is now; no process if nobody has the name.
  pid id() const { return name_ ? whereis(name_).value_or(pid{}) : who_; }
  friend bool operator==(const agent_ref& a, const agent_ref& b) { return a.id() == b.id(); }

 private:
  pid who_{};
  name_view name_{};
};

namespace detail {

/// One function for an agent's process, with the place for its answer.
struct agent_task {
  /// Runs it on `agent`, an agent<T>. Throws what the function throws.
  void (*run)(agent_task& self, void* agent) = nullptr;
  void (*destroy)(agent_task* self) noexcept = nullptr;
  std::uint64_t of = 0;                            // type of the agent it is for
  bool is_harmless = false;                        // its exception ends nothing
  std::exception_ptr thrown{};                     // for those
  binding* bound = nullptr;
  void* result = nullptr;                          // for the waiter: where to find what run has left
};
class agent_task_handle {
 public:
  agent_task_handle() noexcept = default;
  explicit agent_task_handle(agent_task* t) noexcept : t_(t) {}
  agent_task_handle(agent_task_handle&& other) noexcept : t_(std::exchange(other.t_, nullptr)) {}
  agent_task_handle& operator=(agent_task_handle&& other) noexcept {
    std::swap(t_, other.t_);
    return *this;
  }
  ~agent_task_handle();
  agent_task* operator->() const noexcept { return t_; }
  agent_task& operator*() const noexcept { return *t_; }
  explicit operator bool() const noexcept { return t_ != nullptr; }

 private:
  agent_task* t_ = nullptr;
};

/// Has the process do it and waits.   Returns: the task, with its result.   Throws agent_error, and what a harmless one threw.
agent_task_handle ask_agent(pid who, agent_task_handle task, duration timeout, const char* verb);
/// Without waiting: now, or when the transaction or the action is over.
void tell_agent(pid who, agent_task_handle task);
/// Now, in any case.
void send_agent_task(pid who, agent_task_handle task);
/// Whether the caller is inside of a transaction or an action, which takes `s`.
bool hold_if_inside(held_send* s) noexcept;
void stop_agent(pid who, const exit_reason& why, duration timeout);

/// In the process: runs `work(context)` as an action of `a`. Throws what it throws; what it sent is dropped then.
void run_as_action(agent_core& a, binding* bound, void (*work)(void*), void* context);

/// Who waits for the first value.
struct agent_starter {
  alias_ref answer;
  pid parent;                                      // to be linked to; none: no link
};
agent_starter expect_start(bool link);
void await_start(const spawned& started, const agent_starter& starter, duration timeout);
[[noreturn]] void refuse_start(const agent_starter& starter, const exit_error& why);
/// The life of the process when its first value is there. Does not return.
[[noreturn]] void serve_agent(agent_core& a, void* agent, std::uint64_t type, const agent_starter& starter);

template <class T, class F, class R>
struct typed_agent_task final : agent_task {
  explicit typed_agent_task(F&& given) : f(std::move(given)) {}
  F f;
  std::optional<stored<R>> out{};
};

/// `run(task, agent)` does the work with `task.f` and leaves what is to be answered in `task.out`.
template <class T, class R, class Run, class F>
agent_task_handle make_agent_task(F&& f) {
  using function = std::decay_t<F>;
  using typed = typed_agent_task<T, function, R>;
  auto* t = new typed(function(static_cast<F&&>(f)));
  t->of = type_hash<agent<T>>();
  t->run = [](agent_task& self, void* on) {
    auto& mine = static_cast<typed&>(self);
    auto& a = *static_cast<agent<T>*>(on);
    auto work = [&] { Run{}(mine, a); };
    run_as_action(a.core(), mine.bound, [](void* c) { (*static_cast<decltype(work)*>(c))(); }, &work);
  };
  t->destroy = [](agent_task* self) noexcept { delete static_cast<typed*>(self); };
  t->result = &t->out;
  return agent_task_handle(t);
}
template <class R>
R take_answer(const agent_task_handle& done) {
  if constexpr (!std::is_void_v<R>) return std::move(**static_cast<std::optional<R>*>(done->result));
}

struct run_get {
  template <class Task, class T>
  void operator()(Task& t, agent<T>& a) const {
    a.read([&](const T& now) {
      if constexpr (std::is_void_v<std::invoke_result_t<decltype(t.f)&, const T&>>) {
        std::invoke(t.f, now);
        t.out.emplace();
      } else {
        t.out.emplace(std::invoke(t.f, now));
      }
    });
  }
};
struct run_update {
  template <class Task, class T>
  void operator()(Task& t, agent<T>& a) const {
    change_value<T>(a.core(), [&](const T& old) -> T { return std::invoke(t.f, old); });
    t.out.emplace();
  }
};
struct run_get_and_update {
  template <class Task, class T>
  void operator()(Task& t, agent<T>& a) const {
    change_value<T>(a.core(), [&](const T& old) -> T {
      auto both = std::invoke(t.f, old);
      t.out.emplace(std::move(both.first));
      return std::move(both.second);
    });
  }
};
struct run_with {
  template <class Task, class T>
  void operator()(Task& t, agent<T>& a) const {
    std::invoke(t.f, a);
    t.out.emplace();
  }
};

template <class F, class T>
consteval bool check_agent_function() {
  constexpr bool callable = std::invocable<F&, const T&>;
  static_assert(!!callable, "coppice: the function for an agent is called with its value, as a constant.");
  if constexpr (callable) {
    using R = std::invoke_result_t<F&, const T&>;
    static_assert(!std::is_reference_v<R>, "coppice: an agent answers with a value, not with a reference into its state, which others may be changing.");
    return !std::is_reference_v<R>;
  }
  return false;
}

struct look_only {
  template <class T, class Asked>
  static void run(Asked& asked, agent_core& a) {
    read_value<T>(a, [&](const T& now) {
      if constexpr (std::is_void_v<std::invoke_result_t<decltype(asked.f)&, const T&>>) {
        std::invoke(asked.f, now);
        asked.out.emplace();
      } else {
        asked.out.emplace(std::invoke(asked.f, now));
      }
    });
  }
};
struct make_next {
  template <class T, class Asked>
  static void run(Asked& asked, agent_core& a) {
    asked.out.emplace();
    change_value<T>(a, [&](const T& now) -> T { return std::invoke(asked.f, now); });
  }
};
struct make_both {
  template <class T, class Asked>
  static void run(Asked& asked, agent_core& a) {
    change_value<T>(a, [&](const T& now) -> T {
      auto both = std::invoke(asked.f, now);
      asked.out.emplace(std::move(both.first));
      return std::move(both.second);
    });
  }
};
/// Settles `answer` with what an action left that is over.
template <class R>
void answer_asked(eventual& answer, std::optional<stored<R>>& out, const std::exception_ptr& why, bool has_run) noexcept {
  try {
    if (why != nullptr) settle(answer, why);
    else if (!has_run) throw rejected("agent: the action was dropped before it ran");
    else settle(answer, make_box<stored<R>>([&]() -> stored<R> { return std::move(*out); }));
  } catch (...) {
    settle(answer, std::current_exception());
  }
}
[[noreturn]] void refuse_late();

/// An action that somebody waits for.
template <class T, class R, class How, class F>
struct asked_action : action {
  asked_action(F&& given, const eventual_handle& h) : action(of), f(std::move(given)), answer(h) {}
  F f;
  std::optional<stored<R>> out{};
  eventual_handle answer;

  static void run(action& self, agent_core& a) { How::template run<T>(static_cast<asked_action&>(self), a); }
  static void over(action& self, const std::exception_ptr& why, bool has_run) noexcept {
    auto& mine = static_cast<asked_action&>(self);
    answer_asked<R>(*mine.answer, mine.out, why, has_run);
  }
  static const action_class of;
};
template <class T, class R, class How, class F>
inline constexpr action_class asked_action<T, R, How, F>::of{
    .run = &asked_action::run, .destroy = &destroy_action<asked_action>, .over = &asked_action::over, .bytes = sizeof(asked_action)};

template <class T, class R, class How, class F>
R ask_plain(agent<T>& of, F&& f, duration timeout, const char* verb) {
  refuse_wait_here(verb);
  const eventual_handle answer;
  send_action(of.core(), send_executor(), new_action<asked_action<T, R, How, std::decay_t<F>>>(std::decay_t<F>(static_cast<F&&>(f)), answer));
  box* b = wait_value(*answer, timeout);
  if (b == nullptr) refuse_late();
  if constexpr (!std::is_void_v<R>) return std::move(static_cast<value_box<R>&>(*b).value);
}

/// The body of an agent's process.
template <class T, class F>
struct agent_body {
  F f;
  agent_starter starter;
  void operator()() {
    agent<T> a(f());
    serve_agent(a.core(), &a, type_hash<agent<T>>(), starter);
  }
};

template <class F>
auto start_agent_at(F&& f, const agent_start& options, bool link) {
  using function = std::decay_t<F>;
  using T = std::decay_t<std::invoke_result_t<function&>>;
  const agent_starter starter = expect_start(link);
  spawned started{};
  try {
    started = spawn_function(agent_body<T, function>{static_cast<F&&>(f), starter},
                             {.name = options.name, .label = options.label.empty() ? "agent" : options.label, .in = options.in},
                             false, true);
  } catch (const exit_error& e) {
    refuse_start(starter, e);
  }
  await_start(started, starter, options.timeout);
  return agent_ref<T>(started.who);
}

}  // namespace detail

/// Starts a process whose agent has `f()` as its first value, computed there.
/// Returns:  its address, when the value is there.
/// Fails:    agent_error: not_started, with what `f` threw, or that the name is taken; timeout: it is killed then.
/// Blocks:   the calling process or thread.   Spec: EX-60.
template <class F>
  requires std::invocable<std::decay_t<F>&>
auto start_agent(F&& f, const agent_start& options = {}) {
  return detail::start_agent_at(static_cast<F&&>(f), options, false);
}
/// The same, linked to the calling process.   Fails: also exit_error in a plain thread.   Spec: EX-60.
template <class F>
  requires std::invocable<std::decay_t<F>&>
auto start_agent_link(F&& f, const agent_start& options = {}) {
  return detail::start_agent_at(static_cast<F&&>(f), options, true);
}

/// Asks for `f(value)`.
/// Returns:  what `f` returns; a value: a reference does not compile.
/// Fails:    agent_error: noproc, timeout, calling_self; ended, also when `f` throws: then the agent has ended with that.
///           in_transaction.
/// Blocks:   the calling process or thread; all others who ask the agent while `f` runs.
/// Late:     an answer after the timeout is dropped.   Spec: EX-61, EX-62, EX-63, EX-64.
template <class T, class F>
auto get(const agent_ref<T>& of, F&& f, duration timeout = agent_timeout) {
  if constexpr (detail::check_agent_function<std::decay_t<F>, T>()) {
    using R = std::invoke_result_t<std::decay_t<F>&, const T&>;
    return detail::take_answer<R>(
        detail::ask_agent(of.id(), detail::make_agent_task<T, R, detail::run_get>(static_cast<F&&>(f)), timeout, "get"));
  }
}
/// Asks for a copy of the value.   Fails, blocks: as above.
template <class T>
  requires std::copy_constructible<T>
T get(const agent_ref<T>& of) {
  return get(of, [](const T& now) -> T { return now; });
}
/// Sets the value to `f(value)`; returns when that is done.   Fails, blocks: as get.   Spec: EX-61.
template <class T, class F>
  requires std::is_invocable_r_v<T, std::decay_t<F>&, const T&>
void update(const agent_ref<T>& of, F&& f, duration timeout = agent_timeout) {
  static_cast<void>(detail::ask_agent(of.id(), detail::make_agent_task<T, void, detail::run_update>(static_cast<F&&>(f)), timeout, "update"));
}
/// `f(value)` gives a pair: the answer and the next value.   Returns: the answer.   Fails, blocks: as get.   Spec: EX-61.
template <class T, class F>
  requires requires(std::decay_t<F>& f, const T& now) { { std::invoke(f, now).second } -> std::convertible_to<T>; }
auto get_and_update(const agent_ref<T>& of, F&& f, duration timeout = agent_timeout) {
  using R = std::decay_t<decltype(std::invoke(std::declval<std::decay_t<F>&>(), std::declval<const T&>()).first)>;
  return detail::take_answer<R>(
      detail::ask_agent(of.id(), detail::make_agent_task<T, R, detail::run_get_and_update>(static_cast<F&&>(f)), timeout, "get_and_update"));
}
/// Sets the value to `f(value)`, later. Always succeeds: the dead and the unknown swallow it. In a transaction, and in an action, it is
/// held until that is over, as every send.   Blocks: never.   Spec: EX-61, AG-13, TX-27.
template <class T, class F>
  requires std::is_invocable_r_v<T, std::decay_t<F>&, const T&>
void cast(const agent_ref<T>& to, F&& f) {
  detail::tell_agent(to.id(), detail::make_agent_task<T, void, detail::run_update>(static_cast<F&&>(f)));
}
/// Runs `f(agent)` with the agent<T> itself, in its process: to set its validator, watches, taps, metadata.
/// Fails, blocks: as get.
template <class T, class F>
  requires std::invocable<std::decay_t<F>&, agent<T>&>
void with_agent(const agent_ref<T>& of, F&& f, duration timeout = agent_timeout) {
  static_cast<void>(detail::ask_agent(of.id(), detail::make_agent_task<T, void, detail::run_with>(static_cast<F&&>(f)), timeout, "with_agent"));
}
/// As update, for a value that new code needs in another shape: what `f` throws is thrown here, and the agent goes on as it was.
/// Spec: EX-66.
template <class T, class F>
  requires std::is_invocable_r_v<T, std::decay_t<F>&, const T&>
void change_code(const agent_ref<T>& of, F&& f, duration timeout = agent_timeout) {
  auto task = detail::make_agent_task<T, void, detail::run_update>(static_cast<F&&>(f));
  task->is_harmless = true;
  static_cast<void>(detail::ask_agent(of.id(), std::move(task), timeout, "change_code"));
}
/// The same verbs of an agent that is no process: `f` is an action like any other, sent by `send`, and the caller waits until it is over.
/// Fails:    what `f`, the validator or a watch throws, after the agent's error mode has acted on it; needs_restart when the agent has
///           failed before; rejected when the action will never run; agent_error: timeout; in_transaction; in_action.
/// Blocks:   as above; while an agent that failed meanwhile is not restarted.   Spec: EX-61, EX-62, EX-64.
template <class T, class F>
auto get(agent<T>& of, F&& f, duration timeout = agent_timeout) {
  if constexpr (detail::check_agent_function<std::decay_t<F>, T>())
    return detail::ask_plain<T, std::invoke_result_t<std::decay_t<F>&, const T&>, detail::look_only>(of, static_cast<F&&>(f), timeout, "get");
}
template <class T, class F>
  requires std::is_invocable_r_v<T, std::decay_t<F>&, const T&>
void update(agent<T>& of, F&& f, duration timeout = agent_timeout) {
  detail::ask_plain<T, void, detail::make_next>(of, static_cast<F&&>(f), timeout, "update");
}
template <class T, class F>
  requires requires(std::decay_t<F>& f, const T& now) { { std::invoke(f, now).second } -> std::convertible_to<T>; }
auto get_and_update(agent<T>& of, F&& f, duration timeout = agent_timeout) {
  using R = std::decay_t<decltype(std::invoke(std::declval<std::decay_t<F>&>(), std::declval<const T&>()).first)>;
  return detail::ask_plain<T, R, detail::make_both>(of, static_cast<F&&>(f), timeout, "get_and_update");
}
/// Is `send`.
template <class T, class F>
  requires std::is_invocable_r_v<T, std::decay_t<F>&, const T&>
void cast(agent<T>& to, F&& f) {
  to.send(static_cast<F&&>(f));
}

/// Ends the agent's process with `why`, behind what it was sent before, and waits until it is gone and its name is free.
/// Fails:   agent_error: noproc, timeout, calling_self; ended, with the other reason it ended with.   Spec: EX-66.
template <class T>
void stop(const agent_ref<T>& of, const exit_reason& why = exit_reason::normal, duration timeout = infinity) {
  detail::stop_agent(of.id(), why, timeout);
}

namespace detail {

template <class F, class... A>
struct agent_maker {
  using shown = F;
  std::tuple<F, A...> all;
  auto operator()() {
    return std::apply([](F& f, A&... a) { return f(std::move(a)...); }, all);
  }
};

template <class F, class... A>
started_child start_agent_child(const child_class&, const child_spec& spec, void* given) {
  const name_view name = spec.name.view();
  if (name && name.form() != name_view::kind::local) return started_child::failure(exit_reason("bad_name"));
  if (const pid holder = name ? whereis(name).value_or(pid{}) : pid{}) return started_child::taken_by(holder);
  try {
    return started_child(start_agent_link(agent_maker<F, A...>{std::move(*static_cast<std::tuple<F, A...>*>(given))},
                                          {.name = name.text(), .label = spec.label, .timeout = spec.start_timeout})
                             .id());
  } catch (const agent_error& e) {
    return started_child::failure(e.reason());
  } catch (...) {
    return caught_start();
  }
}

template <class F, class... A>
inline constexpr child_class agent_class{
    .name = "agent",
    .key = type_hash<agent_maker<F, A...>>(),
    .behaviour = "agent",
    .arguments = &value_constant<std::tuple<F, A...>>,
    .start = &start_agent_child<F, A...>,
};

template <class F, class... A>
consteval bool check_agent_child() {
  static_assert(!holds_something<F>, "coppice: a child is started by a function and its arguments, not by a closure that holds something: hand over what it holds as arguments.");
  static_assert(!!can_be_copied<A...>, "coppice: a child's arguments must be copyable, because each restart uses a copy.");
  if constexpr (!holds_something<F>) {
    static_assert(!!can_be_called<F, A...>, "coppice: the function of this agent cannot be called with these arguments.");
    return can_be_copied<A...> && can_be_called<F, A...>;
  }
  return false;
}

}  // namespace detail

/// An agent as a child of a supervisor: each start begins with `function(arguments…)`.   Spec: EX-60, SV-1.
template <class F, class... A>
child_spec agent_child(const child_options& options, F&& function, A&&... arguments) {
  using f = std::decay_t<F>;
  if constexpr (detail::check_agent_child<f, std::decay_t<A>...>())
    return detail::make_child_spec(detail::agent_class<f, std::decay_t<A>...>, options, {},
                                   any_value(std::tuple<f, std::decay_t<A>...>(std::forward<F>(function), std::forward<A>(arguments)...)));
  else
    __builtin_unreachable();
}

}  // namespace coppice
