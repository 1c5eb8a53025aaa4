// SPDX-License-Identifier: Apache-2.0
//
// application: a named bundle: what it needs, what it may be told, the tree of processes that it is. A value.
//
//     int main(int argc, char** argv) {
//       return run({.name = "channels",
//                   .options = {{.key = "channels", .fallback = 8, .help = "how many there are"}},
//                   .start = [](const config& c) {
//                     return supervisor_spec{.name = "channels", .children = {child<ch3>({.name = "ch3"}, c.get<int>("channels"))}};
//                   }},
//                  argc, argv);
//     }
//
// What an application needs is started before it and stopped after it, each once, however many need it. `run` is a whole
// program: configuration, start, SIGTERM, orderly stop. The functions below it are for programs that do it in their own way.
//
// The functions of an application are plain ones, or lambdas that capture nothing: what they need comes from the
// configuration. They run in a process of their own, so they may call servers and wait.
#pragma once

#include <coppice/otp/call.hpp>
#include <coppice/otp/config.hpp>
#include <coppice/otp/supervisor.hpp>
#include <coppice/process/process.hpp>

#include <concepts>
#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace coppice {

/// A function of an application: a plain one, or a lambda that captures nothing; or none.
template <class R>
class application_function {
 public:
  constexpr application_function(std::nullptr_t = nullptr) noexcept {}
  template <class F>
    requires std::convertible_to<F, R (*)(const config&)>
  constexpr application_function(F f) noexcept : function_(f) {}
  template <class F>
    requires(!std::convertible_to<F, R (*)(const config&)> && std::is_class_v<F>)
  constexpr application_function(F) noexcept {
    static_assert(std::is_empty_v<F>, "coppice: a function of an application captures nothing: what it needs comes from the configuration.");
    static_assert(!std::is_empty_v<F> || std::is_invocable_v<F, const config&>, "coppice: a function of an application takes (const config&).");
    static_assert(!std::is_empty_v<F> || !std::is_invocable_v<F, const config&>, "coppice: this function of an application returns something else: start returns a supervisor_spec, the others nothing.");
  }
  constexpr explicit operator bool() const noexcept { return function_ != nullptr; }
  R operator()(const config& c) const { return function_(c); }
  friend constexpr bool operator==(const application_function&, const application_function&) noexcept = default;

 private:
  R (*function_)(const config&) = nullptr;
};

/// What belongs together, is started together and stopped together.   Spec: EX-120, OL-84.
struct application {
  std::string name{};
  std::vector<config_option> options{};  ///< what it may be told; of what it needs: under the table of that name
  std::vector<std::string> files{};      ///< configuration files that `run` reads where they exist
  std::vector<application> needs{};      ///< started before it, each once
  application_function<supervisor_spec> start{};  ///< makes the tree; none: it has no processes of its own
  application_function<void> started{};           ///< when the tree stands
  application_function<void> prep_stop{};         ///< before the tree is stopped
  application_function<void> stop{};              ///< when the tree is gone
  /// What its end means to the others. permanent: any end stops all. transient: an abnormal end does. temporary: none does.
  restart_type kind = permanent;

  friend bool operator==(const application&, const application&) = default;
};

/// `channels (permanent), needs store, metrics`.
std::string to_text(const application& what);

/// Why an application was not started or stopped. `what()` says which one and why.
class application_error : public std::exception {
 public:
  enum kind : unsigned char {
    bad_application,  ///< no name, needs in a ring, two of one name that differ
    failed,           ///< it did not start: reason(). What was started for it is stopped again
    not_found,
    stopping,         ///< everything is about to stop
    starting,         ///< asked by an application that is starting itself: say it in `needs`
    unreachable       ///< no answer in time: reason()
  };
  application_error(kind what, std::string application, std::string text, exit_reason reason = {})
      : reason_(std::move(reason)), application_(std::move(application)), text_(std::move(text)), kind_(what) {}
  kind code() const noexcept { return kind_; }
  bool is(kind k) const noexcept { return kind_ == k; }
  const std::string& application() const noexcept { return application_; }
  const exit_reason& reason() const noexcept { return reason_; }
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  exit_reason reason_;
  std::string application_;
  std::string text_;
  kind kind_;
};

/// One application that runs.
struct application_information {
  std::string name{};
  restart_type kind = permanent;
  pid top{};                             ///< its supervisor; none if it has no processes
  std::vector<std::string> needs{};
};

/// Starts what `what` needs and does not run yet, in the order of the needs, then `what`.
/// Its functions get `c`; those of what it needs get `c.section(their name)`.
/// Returns:  the names of those it has started.
/// Fails:    application_error; those that this request has started are stopped again, the last first.
/// Blocks:   until all trees stand.   Thread: any.   Spec: EX-120, EX-121, OL-84.
[[nodiscard]] result<std::vector<std::string>, application_error> try_start_application(const application& what, const config& c = {}, duration timeout = infinity);
inline std::vector<std::string> start_application(const application& what, const config& c = {}, duration timeout = infinity) {
  return try_start_application(what, c, timeout).value();
}

/// Stops those that need it, the last first, then itself: prep_stop, the tree (shutdown), stop. What it needs stays.
/// Returns:  the names of those that were stopped, in that order.
/// Fails:    application_error: not_found, unreachable (they go on stopping).   Thread: any.   Spec: EX-122.
[[nodiscard]] result<std::vector<std::string>, application_error> try_stop_application(std::string_view name, duration timeout = infinity);
inline std::vector<std::string> stop_application(std::string_view name, duration timeout = infinity) {
  return try_stop_application(name, timeout).value();
}

/// Who runs, in the order of their starts.   Fails: call_error.   Thread: any.   Spec: EX-120.
std::vector<application_information> running_applications(duration timeout = call_timeout);

/// How `run` is to behave.
struct run_options {
  duration stop_timeout = 10s;           ///< for all that has to stop; then it is killed. `--stop.timeout` wins
  runtime* in = nullptr;                 ///< null: the default one
};

/// A whole program: reads the configuration (`log.form`, `log.level` and `stop.timeout` are known without being declared), starts
/// `what`, and waits until it ends or SIGTERM or SIGINT comes; then stops all applications in reverse order. A second signal
/// ends the program at once. Meanwhile SIGPIPE is ignored, unless the program has said something else about it: nobody need read what it
/// prints. Tells systemd, if that started it, when it is ready, when it stops, and that it lives.
/// Returns:  what main should: 0 after an orderly stop; 1 if something did not start, ended in a way that stops all, or did not
///           stop in time; 2 for a wrong configuration, which is told on stderr.
/// Fails:    std::logic_error in a process, and while another `run` runs.
/// Thread:   a plain one; main's.   Spec: EX-120..EX-124.
int run(const application& what, int argc, const char* const* argv, const run_options& options = {});

namespace detail {

struct body_run {
  monitored (*start)(void* context);     // in a process of ours: the body, monitored by it
  void* context;
  int status = 0;                        // what the body returned
};
int run_core(body_run& body, const run_options& options);

template <class F>
struct body_with_status {
  F body;
  int* status;
  void operator()() {
    if constexpr (std::convertible_to<std::invoke_result_t<F&>, int>) *status = body();
    else body();
  }
};

}  // namespace detail

/// The same for a program that is one process: `run([] { receive<exit_signal>(); })`. `body` traps exits: a signal to the program
/// reaches it as exit_signal. Who does not listen is killed when `stop_timeout` is over; its destructors run.
/// Returns:  what `body` returns, if that is a number; 0 for any other quiet end, 1 for an abnormal one.   Spec: EX-124.
template <process_body F>
int run(F&& body, const run_options& options = {}) {
  detail::body_with_status<std::decay_t<F>> whole{std::forward<F>(body), nullptr};
  detail::body_run r{[](void* raw) { return spawn_monitor(std::move(*static_cast<detail::body_with_status<std::decay_t<F>>*>(raw)), {.label = "run", .trap_exit = true}); }, &whole};
  whole.status = &r.status;
  return detail::run_core(r, options);
}

}  // namespace coppice
