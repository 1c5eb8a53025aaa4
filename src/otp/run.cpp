// SPDX-License-Identifier: Apache-2.0
//
// run: from main's arguments to main's return. The calling thread sleeps on the word of ending_signals: a signal handler, the
// application controller and the watcher of a body wake it.
#include <coppice/otp/application.hpp>

#include <coppice/base/log_sink.hpp>
#include <coppice/otp/request.hpp>
#include <coppice/process/receive.hpp>
#include <coppice/runtime/service_manager.hpp>

#include "otp/application_controller.hpp"
#include "otp/supervisor_core.hpp"
#include "runtime/ending_signals.hpp"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <stdexcept>

#include <signal.h>

namespace coppice {

using internal::application_controller;
using internal::ending_signals;

namespace {

enum status : int { ended_in_order = 0, failed = 1, misused = 2 };

constexpr duration least_watchdog = 10ms;
constexpr duration time_to_be_gone = 10s;  // for what was killed, or has nothing left to do: only a fault needs all of it

void check_thread() {
  if (detail::current_slot() != nullptr) throw std::logic_error("run: in a process; it is for a plain thread, as a rule main's");
}

void say(std::string_view who, std::string_view what) {
  std::fprintf(stderr, "%.*s: %.*s\n", static_cast<int>(who.size()), who.data(), static_cast<int>(what.size()), what.data());
}

// --- configuration ---------------------------------------------------------------------------------------------------

void add_sections(const application& a, std::vector<std::string>& names) {
  for (const application& n : a.needs) {
    names.push_back(n.name);
    add_sections(n, names);
  }
}

void add_options_of_needs(const application& a, std::vector<config_option>& all) {
  for (const application& n : a.needs) {
    for (config_option o : n.options) {
      o.key = n.name + '.' + o.key;
      o.positional = false;
      if (std::none_of(all.begin(), all.end(), [&](const config_option& have) { return have.key == o.key; })) all.push_back(std::move(o));
    }
    add_options_of_needs(n, all);
  }
}

config_sources sources_of(const application& what, int argc, const char* const* argv, const run_options& options) {
  config_sources s{.name = what.name, .options = what.options, .files = what.files, .argc = argc, .argv = argv};
  add_sections(what, s.sections);
  const bool says_its_options = !s.options.empty();
  add_options_of_needs(what, s.options);
  if (says_its_options) {
    s.options.push_back({.key = "log.form", .fallback = "text", .help = "of reports: text, single_line or json"});
    s.options.push_back({.key = "log.level", .fallback = "notice", .help = "from which on reports are written: debug, info, notice, warning, error"});
    s.options.push_back({.key = "stop.timeout", .fallback = options.stop_timeout, .help = "for an orderly stop"});
  }
  return s;
}

template <class E, std::size_t N>
E one_of(const config& c, std::string_view key, const std::pair<std::string_view, E> (&known)[N], E otherwise) {
  const auto text = c.try_get<std::string>(key);
  if (!text) {
    if (text.error().why() == config_error::missing) return otherwise;
    throw text.error();
  }
  std::string names;
  for (const auto& [name, value] : known) {
    if (*text == name) return value;
    names += (names.empty() ? "" : ", ") + std::string(name);
  }
  throw config_error(config_error::wrong_type, std::string(key), c.source(key), c.source(key) + ": " + std::string(key) + " is \"" + *text + "\"; expected one of " + names);
}

log_defaults log_of(const config& c) {
  static constexpr std::pair<std::string_view, report_form> forms[] = {{"text", report_form::text}, {"single_line", report_form::single_line}, {"json", report_form::json}};
  static constexpr std::pair<std::string_view, log_level> levels[] = {{"debug", log_level::debug}, {"info", log_level::info}, {"notice", log_level::notice}, {"warning", log_level::warning}, {"error", log_level::error}};
  const log_defaults now = current_log_defaults();
  return {.form = one_of(c, "log.form", forms, now.form), .least = one_of(c, "log.level", levels, now.least)};
}

// --- systemd's watchdog ----------------------------------------------------------------------------------------------

/// The name of an application whose supervisor has not answered in time; empty if all have. All are asked at once, so that several slow
/// ones take no longer than the slowest.
std::string who_is_silent(duration patience) {
  const deadline until = deadline::in(patience);
  const auto all = try_call(application_controller::server, application_controller::list{}, patience);
  if (!all) return "the application controller";
  request_set<child_counts, std::string> asked;
  for (const application_information& a : *all)
    if (a.top) asked.add(send_request(server_ref<internal::supervisor_protocol>(a.top), internal::count_children_request{}), a.name);
  for (;;) {
    const auto said = asked.wait_response(until.left());
    if (!said) return {};
    if (said->response) continue;
    std::string silent = said->label;                       // it has ended; empty: the time is up for all that are left
    if (silent.empty()) asked.for_each([&](reference, const std::string& name) { silent = name; });
    return silent;
  }
}

/// Tells the service manager that we live as long as all top supervisors answer: whoever is silent makes it silent, too. A third of its
/// interval between two rounds and a third for the answers leave one to spare.
void watch(duration interval) {
  const duration pause = std::max(interval / 3, least_watchdog);
  for (;;) {
    const std::string silent = who_is_silent(pause);
    if (silent.empty())
      notify_service_manager("WATCHDOG=1");
    else
      write_report({.level = log_level::warning, .kind = "watchdog", .headline = silent + " does not answer: the service manager is not told that we live", .time = wall_clock(), .name = silent});
    sleep_for(pause);
  }
}

// --- the end ---------------------------------------------------------------------------------------------------------

/// Returns: the names of those that did not stop in time; they are killed.
std::vector<std::string> stop_all_applications(duration limit) {
  const auto said = try_call(application_controller::server, application_controller::stop_all{}, limit);
  if (said) return {};
  const auto killed = try_call(application_controller::server, application_controller::kill_all{}, {.timeout = time_to_be_gone});
  return killed ? *killed : std::vector<std::string>{"the application controller"};
}

int end_applications(const application& what, duration limit, const std::string& why) {
  notify_service_manager("STOPPING=1");
  const std::vector<std::string> late = stop_all_applications(limit);
  for (const std::string& name : late) say(what.name, name + " did not stop within " + duration_text(limit.count()) + " and was killed");
  if (!why.empty()) say(what.name, why);
  return late.empty() && why.empty() ? ended_in_order : failed;
}

/// Until something is to end. Returns: why, if it is a failure.
std::string wait_for_the_end(ending_signals& signals) {
  for (;;) {                                                // asked first: what happened meanwhile has woken nobody
    const auto said = try_call(application_controller::server, application_controller::how_it_stands{});
    if (!said) return said.error().what();
    if (!said->fatal.empty() || !said->runs) return said->fatal;
    if (signals.wait() != 0) return {};
  }
}

struct prepared {
  config told;
  duration stop_timeout;
};

std::optional<prepared> prepare(const application& what, const config_sources& sources, const run_options& options) {
  try {
    prepared p{load_config(sources), options.stop_timeout};
    p.stop_timeout = p.told.get<duration>("stop.timeout", options.stop_timeout);
    set_log_defaults(log_of(p.told));
    return p;
  } catch (const config_error& e) {
    say(what.name, e.what());
    if (e.why() == config_error::bad_usage) std::fputs(usage_of(sources).c_str(), stderr);
    return std::nullopt;
  }
}

/// A start under way in a process of its own, so that this thread hears of signals meanwhile. On the heap: a start that hangs for
/// ever outlives us.
struct start_under_way {
  detail::sync::atomic<std::uint32_t> over;
  std::optional<application_error> problem{};   // written before `over`
};

/// Returns: true when it is over, false when a signal came first.
bool wait_for_the_start(ending_signals& signals, const start_under_way& s, std::int64_t deadline) {
  while (s.over.load(detail::sync::acquire) == 0) {
    if (signals.wait(deadline) != 0) return false;
    if (detail::sync::now() >= deadline) return s.over.load(detail::sync::acquire) != 0;
  }
  return true;
}

/// Returns: nothing when all run; else what `run` is to return.
std::optional<int> start_all(const application& what, const prepared& p, ending_signals& signals) {
  auto* s = new start_under_way;
  spawn([s, app = what, told = p.told] {
    if (auto said = try_start_application(app, told); !said) s->problem.emplace(std::move(said.error()));
    s->over.store(1, detail::sync::release);
    ending_signals::interrupt();
  }, {.label = "run"});
  std::optional<int> result;
  if (!wait_for_the_start(signals, *s, detail::sync::never)) {
    result = end_applications(what, p.stop_timeout, {});    // it gets its time to become ready, and is killed then
    if (!wait_for_the_start(signals, *s, deadline_after(time_to_be_gone))) return result;
  } else if (s->problem) {
    say(what.name, s->problem->what());
    (void)stop_all_applications(p.stop_timeout);
    result = s->problem->reason().type().ends_with("config_error") ? misused : failed;
  }
  delete s;
  return result;
}

/// The default effect of SIGPIPE is the program's end. A program of servers does not end because nobody reads what it prints: while this
/// lives, such a write fails with EPIPE. Who has said something else about the signal keeps it.
class broken_pipes_ignored {
 public:
  broken_pipes_ignored() noexcept {
    sigaction(SIGPIPE, nullptr, &before_);
    if (!is_default()) return;
    struct sigaction ignored{};
    ignored.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &ignored, nullptr);
  }
  ~broken_pipes_ignored() {
    if (is_default()) sigaction(SIGPIPE, &before_, nullptr);
  }
  broken_pipes_ignored(const broken_pipes_ignored&) = delete;

 private:
  bool is_default() const noexcept { return (before_.sa_flags & SA_SIGINFO) == 0 && before_.sa_handler == SIG_DFL; }
  struct sigaction before_{};
};

int run_prepared(const application& what, const prepared& p) {
  const broken_pipes_ignored meanwhile;
  ending_signals signals;
  internal::ensure_application_controller();
  std::optional<int> result = start_all(what, p, signals);
  if (!result) {
    notify_service_manager("READY=1");
    pid dog;
    if (const duration interval = service_watchdog(); interval != infinity) dog = spawn([interval] { watch(interval); }, {.label = "watchdog"});
    const std::string why = wait_for_the_end(signals);
    result = end_applications(what, p.stop_timeout, why);
    if (dog) exit(dog, exit_reason::kill);
  }
  (void)try_stop(application_controller::server, exit_reason::normal, time_to_be_gone);
  return *result;
}

}  // namespace

int run(const application& what, int argc, const char* const* argv, const run_options& options) {
  check_thread();
  const config_sources sources = sources_of(what, argc, argv, options);
  if (asks_for_help(sources)) {
    std::fputs(usage_of(sources).c_str(), stdout);
    return ended_in_order;
  }
  const auto p = prepare(what, sources, options);
  if (!p) return misused;
  std::optional<runtime_scope> scope;
  if (options.in != nullptr) scope.emplace(*options.in);
  return run_prepared(what, *p);
}

// --- one process -----------------------------------------------------------------------------------------------------

namespace {

/// The body under way. On the heap: one that cannot be ended outlives us.
struct body_under_way {
  detail::body_run run;                  // until the body is started
  detail::sync::atomic<std::uint32_t> started;
  detail::sync::atomic<std::uint32_t> over;
  pid who{};                             // written before `started`
  exit_reason why{};                     // written before `over`
};

/// In a process: starts the body and waits for its end.
void watch_body(body_under_way& b) {
  const monitored m = b.run.start(b.run.context);
  b.who = m.who;
  b.started.store(1, detail::sync::release);
  receive(when([&](const down& d) { return d.ref == m.ref; }, [&](down d) { b.why = std::move(d.reason); }));
  b.over.store(1, detail::sync::release);
  ending_signals::interrupt();
}

/// Until the body has ended, by itself or because it was told to. Returns: false if it cannot be ended.
bool see_body_out(body_under_way& b, ending_signals& signals, duration stop_timeout, bool& killed) {
  std::int64_t deadline = detail::sync::never;
  for (;;) {
    const int signal = signals.wait(deadline);
    if (b.over.load(detail::sync::acquire) != 0) return true;
    if (signal != 0) {
      notify_service_manager("STOPPING=1");
      while (b.started.load(detail::sync::acquire) == 0) detail::sync::relax();   // it is about to be
      exit(b.who, exit_reason::shutdown);
      deadline = deadline_after(stop_timeout);
    } else if (detail::sync::now() >= deadline) {
      if (killed) return false;
      killed = true;
      exit(b.who, exit_reason::kill);
      deadline = deadline_after(time_to_be_gone);
    }
  }
}

}  // namespace

int detail::run_core(body_run& body, const run_options& options) {
  check_thread();
  std::optional<runtime_scope> scope;
  if (options.in != nullptr) scope.emplace(*options.in);
  const broken_pipes_ignored meanwhile;
  ending_signals signals;
  auto* b = new body_under_way{.run = body, .started = {}, .over = {}};
  spawn([b] { watch_body(*b); }, {.label = "run", .trap_exit = true});
  notify_service_manager("READY=1");
  bool killed = false;
  if (!see_body_out(*b, signals, options.stop_timeout, killed)) {
    say("run", "the process " + to_text(b->who) + " cannot be ended: it never waits");
    return failed;
  }
  if (killed) say("run", "the process did not end within " + duration_text(options.stop_timeout.count()) + " and was killed");
  const bool in_order = b->why.is_quiet() && !killed;
  delete b;
  return in_order ? body.status : failed;
}

}  // namespace coppice
