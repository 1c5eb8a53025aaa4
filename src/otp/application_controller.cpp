// SPDX-License-Identifier: Apache-2.0
#include "otp/application_controller.hpp"

#include <coppice/base/log_sink.hpp>

#include "runtime/ending_signals.hpp"

#include <algorithm>

namespace coppice::internal {

namespace {

void tell(log_level level, const application& app, pid who, std::string what, const exit_reason* why = nullptr) {
  if (!would_log(level)) return;
  report r{.level = level, .kind = "application", .headline = app.name + "  " + what, .time = wall_clock(), .who = who ? to_text(who) : std::string(), .name = app.name, .doing = what};
  if (why != nullptr) {
    r.fields.push_back({"why", to_text(*why)});
    if (!why->trace().empty()) r.fields.push_back({"thrown in", std::string(why->trace())});
  }
  r.fields.push_back({"kind", text_of(app.kind)});
  write_report(r);
}

/// Calls one of an application's own functions; what it throws is reported and changes nothing.
void call_guarded(const application& app, application_function<void> f, const config& told, const char* what) {
  if (!f) return;
  try {
    f(told);
  } catch (const detail::unwind&) {
    throw;
  } catch (...) {
    const exit_reason why = exit_reason::from_current_exception();
    tell(log_level::error, app, self(), std::string(what) + " failed", &why);
  }
}

void refuse(from<application_controller::verdict>&& asker, application_error why) {
  std::move(asker).reply(application_controller::verdict{{}, std::move(why)});
}

}  // namespace

// --- the master ------------------------------------------------------------------------------------------------------

outcome<void> application_master::handle_continue(begin) {
  exit_reason why;
  try {
    if (app.start) top = start_supervisor_link(app.start(told)).id();
    if (app.started) app.started(told);
    cast(server_ref<application_controller>(controller), application_controller::up{self(), top});
    return noreply();
  } catch (const detail::unwind&) {
    throw;
  } catch (const start_error& e) {
    why = exit_reason::with_text(exit_reason::custom, e.what());
  } catch (...) {
    why = exit_reason::from_current_exception();
  }
  // The supervisor, if it stands already, ends with us: we are its parent.
  cast(server_ref<application_controller>(controller), application_controller::failed{self(), why});
  return stop(exit_reason::shutdown);
}

outcome<void> application_master::handle_cast(finish) {
  if (std::exchange(finishing, true)) return noreply();
  call_guarded(app, app.prep_stop, told, "prep_stop");
  if (top) {
    exit(top, exit_reason::shutdown);
    return noreply();
  }
  call_guarded(app, app.stop, told, "stop");
  return stop(exit_reason::shutdown);
}

outcome<void> application_master::handle_info(exit_signal s) {
  if (s.who != top) return finishing ? noreply() : handle_cast(finish{});   // the runtime stops
  top = {};
  call_guarded(app, app.stop, told, "stop");
  if (!finishing) cast(server_ref<application_controller>(controller), application_controller::fell{self(), s.reason});
  return stop(exit_reason::shutdown);
}

// --- the controller: what it is asked --------------------------------------------------------------------------------

application_controller::entry* application_controller::find(std::string_view name) noexcept {
  const auto e = std::find_if(entries.begin(), entries.end(), [&](const entry& one) { return one.app.name == name; });
  return e != entries.end() ? &*e : nullptr;
}

application_controller::entry* application_controller::find(pid master) noexcept {
  const auto e = std::find_if(entries.begin(), entries.end(), [&](const entry& one) { return one.master == master; });
  return e != entries.end() ? &*e : nullptr;
}

void application_controller::handle_call(start_all s, from<verdict> asker) {
  if (closing) {
    refuse(std::move(asker), application_error(application_error::stopping, s.main, "application_error: " + s.main + " is not started: everything is about to stop"));
    return;
  }
  if (const entry* e = find(asker.caller()); e != nullptr && !e->is_up) {
    refuse(std::move(asker), application_error(application_error::starting, s.main, "application_error: " + e->app.name + " starts " + s.main + " while it is starting itself: say it in `needs`"));
    return;
  }
  fatal.clear();
  plan p;
  for (application& a : s.in_order) {
    config c = a.name == s.main ? s.told : s.told.section(a.name);
    p.steps.push_back({true, std::move(a), std::move(c)});
  }
  p.asker = std::move(asker);
  queue(std::move(p));
}

/// `who` cannot be without `name`.
bool application_controller::needs(const application& who, std::string_view name) const {
  return std::any_of(who.needs.begin(), who.needs.end(), [&](const application& n) { return n.name == name || needs(n, name); });
}

void application_controller::handle_call(stop_one s, from<verdict> asker) {
  if (find(s.name) == nullptr) {
    refuse(std::move(asker), application_error(application_error::not_found, s.name, "application_error: " + s.name + " does not run"));
    return;
  }
  plan p;
  for (auto e = entries.rbegin(); e != entries.rend(); ++e)
    if (e->app.name == s.name || needs(e->app, s.name)) p.steps.push_back({false, {.name = e->app.name}});
  p.asker = std::move(asker);
  queue(std::move(p));
}

void application_controller::handle_call(stop_all, from<verdict> asker) { stop_everything(std::move(asker)); }

void application_controller::stop_everything(std::optional<from<verdict>> asker) {
  closing = true;
  // What waits for its turn will never start. What is under way goes on to its end: its applications are then stopped, too.
  for (plan& p : plans)
    for (const step& s : p.steps)
      if (s.is_start && find(s.app.name) == nullptr && !p.so_far.problem)
        p.so_far.problem.emplace(application_error::stopping, s.app.name, "application_error: " + s.app.name + " is not started: everything is about to stop");
  for (plan& p : plans) std::erase_if(p.steps, [&](const step& s) { return s.is_start && find(s.app.name) == nullptr; });
  plan p;
  for (auto e = entries.rbegin(); e != entries.rend(); ++e) p.steps.push_back({false, {.name = e->app.name}});
  p.asker = std::move(asker);
  queue(std::move(p));
}

std::vector<application_information> application_controller::handle_call(list) const {
  std::vector<application_information> all;
  for (const entry& e : entries) {
    if (!e.is_up) continue;
    application_information i{.name = e.app.name, .kind = e.app.kind, .top = e.top};
    for (const application& n : e.app.needs) i.needs.push_back(n.name);
    all.push_back(std::move(i));
  }
  return all;
}

std::vector<std::string> application_controller::handle_call(kill_all) {
  closing = true;
  std::vector<std::string> names;
  for (auto e = entries.rbegin(); e != entries.rend(); ++e) {
    names.push_back(e->app.name);
    if (e->top) exit(e->top, exit_reason::kill);
    exit(e->master, exit_reason::kill);
  }
  return names;
}

// --- the controller: one step after another --------------------------------------------------------------------------

void application_controller::queue(plan p) {
  plans.push_back(std::move(p));
  if (plans.size() == 1) go_on();
}

/// Until something takes time.
void application_controller::go_on() {
  while (!plans.empty()) {
    plan& p = plans.front();
    if (!p.steps.empty()) {
      if (!take_step(p, p.steps.front())) return;
      p.steps.pop_front();
      continue;
    }
    plan done = std::move(p);
    plans.pop_front();
    if (done.asker) std::move(*done.asker).reply(std::move(done.so_far));
  }
  if (!closing || !entries.empty()) return;
  closing = false;                                          // all has stopped: somebody may begin anew
  ending_signals::interrupt();
}

/// True: there was nothing to do.
bool application_controller::take_step(plan& p, step& s) {
  entry* e = find(s.app.name);
  if (!s.is_start) {
    if (e == nullptr) return true;
    if (!std::exchange(e->is_told, true)) cast(server_ref<application_master>(e->master), application_master::finish{});
    return false;
  }
  if (e != nullptr) {
    if (e->app == s.app) return true;
    p.so_far.problem.emplace(application_error::bad_application, s.app.name, "application_error: another application named " + s.app.name + " runs");
    roll_back(p);
    return true;
  }
  const auto master = start_link<application_master>({.label = s.app.name}, s.app, s.told, self());
  entries.push_back({.app = s.app, .told = s.told, .master = master.id()});
  return false;
}

/// The rest of `p` is to stop what it has started. The first step stays: the caller takes it off.
void application_controller::roll_back(plan& p) {
  std::deque<step> back;
  back.push_back({false, {}});
  for (auto name = p.so_far.done.rbegin(); name != p.so_far.done.rend(); ++name) back.push_back({false, {.name = *name}});
  p.steps = std::move(back);
  p.so_far.done.clear();
}

void application_controller::handle_cast(up u) {
  entry* e = find(u.master);
  if (e == nullptr) return;
  e->is_up = true;
  e->top = u.top;
  tell(log_level::info, e->app, u.top, "started");
  if (plans.empty() || plans.front().steps.empty() || !plans.front().steps.front().is_start) return;
  plans.front().so_far.done.push_back(e->app.name);
  plans.front().steps.pop_front();
  go_on();
}

void application_controller::handle_cast(failed f) {
  entry* e = find(f.master);
  if (e == nullptr) return;
  tell(log_level::error, e->app, f.master, "did not start", &f.why);
  if (plans.empty()) return;
  plan& p = plans.front();
  p.so_far.problem.emplace(application_error::failed, e->app.name, "application_error: " + e->app.name + " did not start: " + to_text(f.why), f.why);
}

void application_controller::handle_cast(fell f) {
  entry* e = find(f.master);
  if (e == nullptr) return;
  const bool abnormal = !f.why.is(exit_reason::normal);     // a supervisor that gives up says shutdown
  tell(abnormal ? log_level::error : log_level::notice, e->app, f.master, "ended", &f.why);
  if (e->app.kind == permanent || (e->app.kind == transient && abnormal))
    close_down(e->app.name + " (" + text_of(e->app.kind) + ") ended: " + to_text(f.why));
}

void application_controller::close_down(std::string why) {
  if (!fatal.empty()) return;
  fatal = std::move(why);
  ending_signals::interrupt();
  if (!closing) stop_everything(std::nullopt);
}

void application_controller::handle_info(exit_signal s) {
  entry* e = find(s.who);
  if (e == nullptr) return;
  const application app = e->app;
  const bool was_told = e->is_told, was_up = e->is_up;
  entries.erase(entries.begin() + (e - entries.data()));
  if (was_told) tell(log_level::info, app, s.who, "stopped");
  if (!s.reason.is_quiet() && !closing) {                   // killed, or it broke: nobody has told why
    tell(log_level::error, app, s.who, was_up ? "ended" : "did not start", &s.reason);
    if (was_up && (app.kind == permanent || app.kind == transient)) close_down(app.name + " (" + text_of(app.kind) + ") ended: " + to_text(s.reason));
  }
  if (plans.empty() || plans.front().steps.empty()) return;
  plan& p = plans.front();
  if (p.steps.front().app.name != app.name) return;         // it is not what we wait for
  if (p.steps.front().is_start) {
    if (!p.so_far.problem)
      p.so_far.problem.emplace(application_error::failed, app.name, "application_error: " + app.name + " did not start: " + to_text(s.reason), s.reason);
    roll_back(p);
  } else if (!p.so_far.problem) {
    p.so_far.done.push_back(app.name);
  }
  p.steps.pop_front();
  go_on();
}

// --- from outside ----------------------------------------------------------------------------------------------------

void ensure_application_controller() {
  if (application_controller::server.name() && detail::resolve(application_controller::server)) return;
  const auto made = try_start<application_controller>({.name = application_controller::server});
  if (!made && !made.error().holder()) throw made.error();
}

namespace {

enum class mark : unsigned char { none, open, done };

class sorter {
 public:
  std::optional<application_error> visit(const application& a) {
    if (a.name.empty()) return application_error(application_error::bad_application, "", "application_error: an application without a name");
    for (known& k : known_) {
      if (k.what->name != a.name) continue;
      if (k.state == mark::open) return application_error(application_error::bad_application, a.name, "application_error: " + a.name + " needs itself");
      if (*k.what == a) return std::nullopt;
      return application_error(application_error::bad_application, a.name, "application_error: two applications named " + a.name + " that differ");
    }
    const std::size_t mine = known_.size();
    known_.push_back({&a, mark::open});
    for (const application& n : a.needs)
      if (auto problem = visit(n)) return problem;
    known_[mine].state = mark::done;
    order.push_back(a);
    return std::nullopt;
  }
  std::vector<application> order;

 private:
  struct known {
    const application* what;
    mark state;
  };
  std::vector<known> known_;
};

}  // namespace

result<std::vector<application>, application_error> in_order_of_needs(const application& what) {
  sorter s;
  if (auto problem = s.visit(what)) return error(std::move(*problem));
  return std::move(s.order);
}

}  // namespace coppice::internal
