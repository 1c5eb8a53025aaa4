// SPDX-License-Identifier: Apache-2.0
//
// dynamic_core: the same decisions as supervisor_core, for one child at a time and without an order. Every operation costs the
// same however many children there are; the end of all is one signal and one monitor each.
#include "otp/dynamic_core.hpp"

#include <coppice/process/process.hpp>
#include <coppice/process/timer.hpp>

#include "otp/child_stop.hpp"
#include "process/slot.hpp"
#include "runtime/planted.hpp"

namespace coppice::internal {

namespace sync = detail::sync;

init_outcome<> dynamic_core::init(dynamic_source source) {
  if (const std::string problem = problem_of(source.flags); !problem.empty()) return stop(exit_reason("bad_supervisor_spec: " + problem));
  flags_ = std::move(source.flags);
  if (source.made_from) made_from_ = std::make_shared<const child_spec>(std::move(*source.made_from));
  return ok();
}

// --- starting --------------------------------------------------------------------------------------------------------

start_result dynamic_core::handle_call(start_child_request&& request) {
  if (is_template()) return refuse_spec("start_child: a simple_one_for_one supervisor has its template; use start_child_from");
  if (std::string problem = problem_of(request.spec); !problem.empty()) return refuse_spec(std::move(problem));
  if (request.spec.significant) return refuse_spec("child \"" + request.spec.id + "\": significant is true, but a dynamic supervisor never ends by itself");
  return start_new(request.spec, {});
}

start_result dynamic_core::handle_call(start_from_request request) {
  if (!is_template()) return refuse_spec("start_child_from: a dynamic supervisor has no template; use start_child");
  child_spec spec = *made_from_;
  return start_new(spec, std::move(request.more));
}

start_result dynamic_core::start_new(child_spec& spec, any_value more) {
  if (children_.size() >= flags_.max_children)
    return error(supervisor_error(supervisor_error::max_children, "max_children: there are " + std::to_string(children_.size()) + " already"));
  started_child outcome = start_linked(spec, flags_.extra_arguments, more);
  if (outcome.is(started_child::ignored)) return outcome;                         // SV-82, SV-111: nothing is kept
  if (!outcome.is(started_child::started)) return start_failed(spec, outcome);
  report_progress(spec, outcome.who(), true);
  if (spec.restart == temporary) spec.start.forget_arguments(), more = {};         // SV-93
  if (spec.type == child_type::supervisor) ++supervisors_;
  dynamic_child c{.who = outcome.who(), .spec = shared(std::move(spec)), .more = std::move(more)};
  keep(std::move(c));
  return outcome;
}

/// A start function may return who is a child already: there is one entry of a process, the newest (SV-110).
void dynamic_core::keep(dynamic_child c) {
  if (const dynamic_child* const known = find(c.who)) forget(*known);
  children_.add(std::move(c));
}

dynamic_child* dynamic_core::find(pid who) noexcept {
  return children_.find(who.serial(), [&](const dynamic_child& c) { return c.who == who; });
}

/// Children that come one after another are often alike.
std::shared_ptr<const child_spec> dynamic_core::shared(child_spec&& spec) {
  if (is_template() && spec.restart != temporary) return made_from_;
  if (last_spec_ == nullptr || spec.id != last_spec_->id || !(*last_spec_ == spec)) last_spec_ = std::make_shared<const child_spec>(std::move(spec));
  return last_spec_;
}

// --- the end of a child ----------------------------------------------------------------------------------------------

outcome<void> dynamic_core::handle_info(exit_signal signal) {
  dynamic_child* const c = find(signal.who);
  if (c == nullptr || c->state != child_state::running) return noreply();
  if (comes_back(c->spec->restart, signal.reason)) return restart_soon(*c, signal.reason);
  if (!signal.reason.is_quiet()) report_child_ended(*c->spec, signal.who, signal.reason, {}, {}, "no: it is temporary");
  forget(*c);
  return noreply();
}

outcome<void> dynamic_core::restart_soon(dynamic_child& c, const exit_reason& why) {
  if (c.spec->back_off.min == duration{0}) return restart_now(c, true, why);
  restart_record& past = c.record();
  if (sync::now() - past.restarted_at >= c.spec->back_off.max.count()) past.failures = 0;
  report_child_ended(*c.spec, c.who, why, {}, {}, "later: it backs off");
  try_later(c);
  return noreply();
}

/// `at_first`: it has ended just now; else an attempt has failed before.
outcome<void> dynamic_core::restart_now(dynamic_child& c, bool at_first, const exit_reason& why) {
  const pid was = c.who;
  restart_count count{};
  const bool alone = c.spec->limit.has_value();
  if (!may_restart(c, count)) {
    report_gave_up(*c.spec, was, why, count, alone);
    forget(c);
    if (alone) return noreply();
    return stop(exit_reason::shutdown);
  }
  child_spec spec = *c.spec;
  started_child outcome = start_linked(spec, flags_.extra_arguments, c.more);
  if (at_first) report_child_ended(spec, was, why, count, outcome.is(started_child::started) ? outcome.who() : pid{}, "not yet: it did not start");
  if (outcome.is(started_child::ignored)) {                                       // SV-44
    forget(c);
    return noreply();
  }
  if (!outcome.is(started_child::started)) {
    report_start_error(spec, outcome);
    try_later(c);
    return noreply();
  }
  report_progress(spec, outcome.who(), false);
  count_restart(spec);
  if (c.state == child_state::restarting) --restarting_;
  dynamic_child again;
  children_.take(was.serial(), [&](const dynamic_child& x) { return &x == &c; }, &again);
  again.who = outcome.who();
  again.state = child_state::running;
  if (spec.back_off.min != duration{0}) again.record().restarted_at = sync::now();
  keep(std::move(again));
  return noreply();
}

bool dynamic_core::may_restart(dynamic_child& c, restart_count& count) {
  const restart_limit limit = c.spec->limit.value_or(restart_limit{flags_.intensity, flags_.period});
  restart_intensity& counted = c.spec->limit ? c.record().own : intensity_;
  const std::int64_t now = sync::now();
  const bool allowed = counted.add(now, limit);
  count = {counted.recent(now, limit.period), limit.restarts, limit.period};
  return allowed;
}

void dynamic_core::try_later(dynamic_child& c) {
  if (c.state != child_state::restarting) ++restarting_;
  c.state = child_state::restarting;
  restart_record& past = c.record();
  past.attempt = ++last_attempt_;
  const retry_dynamic again{c.who, past.attempt};
  if (c.spec->back_off.min == duration{0}) send(self(), again);
  else send_after(back_off_time(c.spec->back_off, past.failures++), self(), again);
}

outcome<void> dynamic_core::handle_info(retry_dynamic again) {
  dynamic_child* const c = find(again.was);
  if (c == nullptr) return noreply();
  const bool current = c->state == child_state::restarting && c->record().attempt == again.attempt;
  if (!current && !planted::is(planted::retry_without_attempt)) return noreply();
  yield();                                                     // as in supervisor_core: whoever is in the way may end first
  return restart_now(*c, false, exit_reason("the last attempt to start it failed"));
}

void dynamic_core::forget(const dynamic_child& c) noexcept {
  if (c.state == child_state::restarting) --restarting_;
  if (c.spec->type == child_type::supervisor) --supervisors_;
  children_.take(c.who.serial(), [&](const dynamic_child& x) { return &x == &c; });
}

// --- the end of all --------------------------------------------------------------------------------------------------

/// SV-54, SV-118: all at once, each with its own time.
void dynamic_core::terminate(const exit_reason&) {
  std::vector<ending_child> all;
  all.reserve(children_.size());
  for (dynamic_child& c : children_.entries())
    if (c.state == child_state::running) all.push_back({c.who, c.spec->shutdown, &c});
  stop_children(std::move(all), [](void*, void* raw, pid who, const exit_reason& why) {
    const auto& spec = *static_cast<const dynamic_child*>(raw)->spec;
    if (!is_expected_end(why, spec.restart, spec.shutdown)) report_shutdown_error(spec, who, why);
  }, nullptr);
  children_.clear();
}

// --- operations ------------------------------------------------------------------------------------------------------

namespace {

bool is_dead(pid who) noexcept { return !who || (who.is_local() && who.where()->serial.load(sync::acquire) != who.serial()); }

}  // namespace

done_result dynamic_core::handle_call(terminate_child_request request) {
  if (!request.who) return refuse(no_id(), request.id);
  dynamic_child* const c = find(request.who);
  if (c == nullptr) {
    if (is_template() && is_dead(request.who)) return {};                         // SV-81
    return refuse(supervisor_error::not_found, request.who);
  }
  if (c->state == child_state::running) {
    const child_spec& spec = *c->spec;
    const exit_reason why = stop_child(request.who, spec.shutdown);
    if (!is_expected_end(why, spec.restart, spec.shutdown)) report_shutdown_error(spec, request.who, why);
  }
  forget(*c);
  return {};
}

start_result dynamic_core::handle_call(restart_child_request request) { return refuse(no_id(), request.id); }
done_result dynamic_core::handle_call(delete_child_request request) { return refuse(no_id(), request.id); }
result<child_information, supervisor_error> dynamic_core::handle_call(which_child_request request) const { return refuse(no_id(), request.id); }

std::vector<child_information> dynamic_core::handle_call(which_children_request) const {
  std::vector<child_information> all;
  all.reserve(children_.size());
  for (const dynamic_child& c : children_)
    all.push_back({.id = {}, .who = c.state == child_state::running ? c.who : pid{}, .state = c.state, .type = c.spec->type, .restart = c.spec->restart, .start = std::string(c.spec->start.name())});
  return all;
}

child_counts dynamic_core::handle_call(count_children_request) const {
  return {.specs = is_template() ? 1 : children_.size(), .active = children_.size() - restarting_, .supervisors = supervisors_, .workers = children_.size() - supervisors_};
}

result<child_spec, supervisor_error> dynamic_core::handle_call(get_childspec_request request) const {
  if (!request.who && is_template() && request.id == made_from_->id) return *made_from_;
  if (!request.who) return refuse(no_id(), request.id);
  const dynamic_child* const c = children_.find(request.who.serial(), [&](const dynamic_child& x) { return x.who == request.who; });
  if (c == nullptr) return refuse(supervisor_error::not_found, request.who);
  return *c->spec;
}

supervisor_information dynamic_core::handle_call(about_request) {
  return {to_text(flags_.name), is_template() ? simple_one_for_one : one_for_one, flags_.intensity, flags_.period,
          intensity_.recent(sync::now(), flags_.period), !is_template()};
}

/// SV-95: flags, and for new children the template.
done_result dynamic_core::handle_call(change_request request) {
  const auto refused = [](std::string problem) { return error(supervisor_error(supervisor_error::bad_supervisor_spec, "change: " + std::move(problem))); };
  if (!request.to) return refused("nothing makes this supervisor's spec anew");
  if (std::string problem = problem_of(*request.to); !problem.empty()) return refused(std::move(problem));
  if (is_template() != (request.to->strategy == simple_one_for_one)) return refused("strategy cannot become " + text_of(request.to->strategy));
  flags_.intensity = request.to->intensity;
  flags_.period = request.to->period;
  if (is_template()) made_from_ = std::make_shared<const child_spec>(std::move(request.to->children.front()));
  return {};
}

std::string to_text(const dynamic_core& s) {
  return std::string(s.is_template() ? "simple_one_for_one" : "dynamic") + ", " + std::to_string(s.flags_.intensity) + " restarts in " +
         duration_text(s.flags_.period.count()) + ", " + std::to_string(s.children_.size()) + " children";
}

// --- as others see it ------------------------------------------------------------------------------------------------

namespace {

constexpr detail::class_descriptor dynamic_class = [] {
  detail::class_descriptor c = detail::class_constant<dynamic_core>;
  c.name = "dynamic_supervisor";
  return c;
}();

}  // namespace

void prepare_dynamic_start(detail::start_record& record, std::tuple<dynamic_source>& arguments, const start_options& options, detail::start_kind kind) {
  record.cls = &dynamic_class;
  record.init = &detail::run_init<dynamic_core, dynamic_source>;
  record.arguments = &arguments;
  record.options = &options;
  record.kind = kind;
}

}  // namespace coppice::internal

namespace coppice {

std::string problem_of(const dynamic_supervisor_spec& spec) {
  if (spec.period <= duration{0}) return "period is not positive: " + duration_text(spec.period.count());
  if (spec.name && spec.name.view().form() != name_view::kind::via && spec.name.view().text().empty()) return "name is empty";
  return {};
}

std::string to_text(const dynamic_supervisor_spec& spec) {
  std::string text = "dynamic_supervisor";
  if (spec.name) text += " " + to_text(spec.name);
  text += " (" + std::to_string(spec.intensity) + " restarts in " + duration_text(spec.period.count());
  if (spec.max_children != std::numeric_limits<std::size_t>::max()) text += ", at most " + std::to_string(spec.max_children) + " children";
  return text + ")";
}

namespace detail {

namespace {

started_child start_dynamic_child(const child_class&, const child_spec& spec, void* given) {
  const auto& flags = std::get<0>(*static_cast<std::tuple<dynamic_supervisor_spec>*>(given));
  return guarded_server_start([&] {
    return start_dynamic_core(flags, {.name = spec.name.view(), .timeout = spec.start_timeout, .label = spec.label}, start_kind::linked);
  });
}

}  // namespace

constinit const child_class dynamic_supervisor_child{
    .name = "dynamic_supervisor",
    .key = type_hash<dynamic_supervisor_spec>(),
    .behaviour = "supervisor",
    .arguments = &value_constant<std::tuple<dynamic_supervisor_spec>>,
    .start = &start_dynamic_child,
};

pid start_dynamic_core(const dynamic_supervisor_spec& spec, const start_options& options, start_kind kind) {
  start_options said = options;
  if (!said.name) said.name = spec.name.view();
  start_record record;
  std::tuple<internal::dynamic_source> arguments;
  std::get<0>(arguments).flags = spec;
  internal::prepare_dynamic_start(record, arguments, said, kind);
  start_core(record);
  return record.who;
}

}  // namespace detail

child_spec child(const child_options& options, dynamic_supervisor_spec spec) {
  const owned_name name = spec.name;
  return detail::make_child_spec(detail::dynamic_supervisor_child, options, {.name = name.view()},
                                 any_value(std::tuple<dynamic_supervisor_spec>(std::move(spec))), {.type = child_type::supervisor});
}

}  // namespace coppice
