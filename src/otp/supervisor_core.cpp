// SPDX-License-Identifier: Apache-2.0
//
// supervisor_core: how a supervisor with a list of children works: start them in order; when one ends, decide; if it comes
// back, count, stop whom the strategy says, start again; if that fails, try later; if it happens too often, end. Reads from
// top to bottom. Design note: docs/internals/supervisor.md.
//
// Everything runs in the supervisor's own turn, so nothing here is concurrent but the children themselves: a child may die
// at any moment, also while it is being stopped or has just been started. Its EXIT comes as a message, recognised by pid;
// one of a pid that is no child any more is nobody's (SV-26). Names are free before an EXIT is sent (PR-15), so a restart
// can have them at once.
#include "otp/supervisor_core.hpp"

#include <coppice/process/process.hpp>
#include <coppice/process/receive.hpp>
#include <coppice/process/timer.hpp>

#include "otp/child_stop.hpp"
#include "otp/parallel_start.hpp"
#include "runtime/planted.hpp"

#include <utility>

namespace coppice::internal {

namespace sync = detail::sync;

// --- the beginning ---------------------------------------------------------------------------------------------------

init_outcome<> supervisor_core::init(detail::supervisor_source source) {
  source_ = std::move(source);
  auto made = source_.make(source_.from);
  if (!made) return fail(std::move(made.error()));
  if (!*made) return ignore;
  supervisor_spec spec = std::move(**made);
  if (spec.strategy == simple_one_for_one) return stop(exit_reason("bad_supervisor_spec: simple_one_for_one comes from a value, not from a function"));
  if (const std::string problem = problem_of(spec); !problem.empty()) return stop(exit_reason("bad_supervisor_spec: " + problem));
  for (child_spec& c : spec.children) children_.append(std::move(c));
  spec.children.clear();
  flags_ = std::move(spec);
  exit_reason why;
  if (flags_.start_in_parallel ? start_all_at_once(why) : start_all(why)) return ok();
  stop_all();                                                  // SV-16: in reverse order, and no second attempt
  return stop(std::move(why));
}

/// SV-15.
bool supervisor_core::start_all(exit_reason& why) {
  for (supervised *c = children_.oldest(), *next = nullptr; c != nullptr; c = next) {
    next = c->newer;
    if (!started_at_first(*c, start_linked(c->spec), why)) return false;
  }
  return true;
}

bool supervisor_core::start_all_at_once(exit_reason& why) {
  std::vector<child_spec*> specs;
  for (supervised* c = children_.oldest(); c != nullptr; c = c->newer) specs.push_back(&c->spec);
  std::vector<started_child> outcomes = start_in_parallel(specs);
  bool all = true;
  std::size_t at = 0;
  for (supervised *c = children_.oldest(), *next = nullptr; c != nullptr; c = next, ++at) {
    next = c->newer;
    exit_reason first = why;
    if (!started_at_first(*c, std::move(outcomes[at]), why) && !std::exchange(all, false)) why = first;
  }
  return all;
}

bool supervisor_core::started_at_first(supervised& c, started_child outcome, exit_reason& why) {
  if (outcome.is(started_child::started)) {
    children_.runs(c, outcome.who());
    report_progress(c.spec, c.who, false);
    return true;
  }
  if (outcome.is(started_child::ignored)) {                    // SV-17
    forget_if_temporary(c);
    return true;
  }
  report_start_error(c.spec, outcome);
  why = exit_reason::shutdown_because("failed_to_start_child \"" + c.spec.id + "\": " + to_text(outcome.reason()));
  return false;
}

// --- the end of a child ----------------------------------------------------------------------------------------------

outcome<void> supervisor_core::handle_info(exit_signal signal) {
  supervised* c = children_.find(signal.who);
  if (c == nullptr) return noreply();
  return child_ended(*c, signal.reason);
}

outcome<void> supervisor_core::child_ended(supervised& c, const exit_reason& why) {
  const pid was = c.who;
  children_.ended(c, child_state::stopped);
  if (comes_back(c.spec.restart, why)) return restart_soon(c, was, why);
  if (!why.is_quiet()) report_child_ended(c.spec, was, why, {}, {}, "no: it is temporary");
  return does_not_come_back(c);
}

/// SV-45: at once, or after a wait that grows with each failure in a row.
outcome<void> supervisor_core::restart_soon(supervised& c, pid was, const exit_reason& why) {
  if (c.spec.back_off.min == duration{0}) return restart_now(c, was, why);
  if (sync::now() - c.restarted_at >= c.spec.back_off.max.count()) c.failures = 0;
  report_child_ended(c.spec, was, why, {}, {}, "later: it backs off");
  try_later(c);
  return noreply();
}

outcome<void> supervisor_core::restart_now(supervised& c, pid was, const exit_reason& why) {
  restart_count count{};
  const bool alone = c.spec.limit.has_value();
  if (!may_restart(c, count)) {
    report_gave_up(c.spec, was, why, count, alone);
    if (alone) return does_not_come_back(c);
    return stop(exit_reason::shutdown);                        // SV-32: terminate stops the others
  }
  supervised* failed = start_again(c);
  if (c.state == child_state::running) count_restart(c.spec);
  if (was) report_child_ended(c.spec, was, why, count, c.who, "not yet: it did not start");
  if (failed != nullptr) try_later(*failed);
  return noreply();
}

/// SV-30: counts the attempt, for the supervisor or for the child alone.
bool supervisor_core::may_restart(supervised& c, restart_count& count) {
  const restart_limit limit = c.spec.limit.value_or(restart_limit{flags_.intensity, flags_.period});
  restart_intensity& counted = c.spec.limit ? c.own : intensity_;
  const std::int64_t now = sync::now();
  const bool allowed = counted.add(now, limit);
  count = {counted.recent(now, limit.period), limit.restarts, limit.period};
  return allowed;
}

// --- starting again --------------------------------------------------------------------------------------------------

/// What the strategy demands. Returns: who did not start, or null.
supervised* supervisor_core::start_again(supervised& c) {
  switch (flags_.strategy) {
    case one_for_all: return start_group(*children_.oldest(), c);
    case rest_for_one: return start_group(c, c);
    default: break;
  }
  started_child outcome = started_child::ignore();
  return start_one(c, false, outcome) ? nullptr : &c;
}

/// SV-23, SV-24: everybody from `first` on is stopped, newest first, and started, oldest first. `failed` ended by itself.
supervised* supervisor_core::start_group(supervised& first, supervised& failed) {
  supervised* from = &first;
  for (supervised *c = children_.newest(), *next = nullptr;; c = next) {
    next = c->older;
    const bool last = c == from;
    stop_one(*c);
    if (c != &failed && c->spec.restart == temporary) {
      if (last) from = c->newer;
      children_.erase(*c);
    }
    if (last) break;
  }
  for (supervised *c = from, *next = nullptr; c != nullptr; c = next) {
    next = c->newer;
    started_child outcome = started_child::ignore();
    if (!start_one(*c, false, outcome)) return c;              // SV-43: those behind it wait for its next attempt
  }
  return nullptr;
}

/// Returns: false if it did not start, with what went wrong.
bool supervisor_core::start_one(supervised& c, bool by_hand, started_child& outcome) {
  outcome = start_linked(c.spec);
  if (outcome.is(started_child::started)) {
    children_.runs(c, outcome.who());
    if (c.spec.back_off.min != duration{0}) c.restarted_at = sync::now();
    report_progress(c.spec, c.who, by_hand);
    return true;
  }
  if (outcome.is(started_child::ignored)) {                    // SV-44
    children_.ended(c, child_state::stopped);
    return true;
  }
  report_start_error(c.spec, outcome);
  return false;
}

/// SV-40: another attempt, behind what waits in the mailbox already; or after a while, if the child backs off.
void supervisor_core::try_later(supervised& c) {
  children_.ended(c, child_state::restarting);
  retry again{c.spec.id, c.attempt};
  if (c.spec.back_off.min == duration{0}) send(self(), std::move(again));
  else send_after(back_off_time(c.spec.back_off, c.failures++), self(), std::move(again));
}

outcome<void> supervisor_core::handle_info(retry again) {
  supervised* c = children_.find(std::string_view(again.id));
  if (c == nullptr) return noreply();
  const bool current = c->state == child_state::restarting && c->attempt == again.attempt;
  if (!current && !planted::is(planted::retry_without_attempt)) return noreply();   // stopped, or started otherwise, meanwhile
  yield();                                                     // whoever is in the way, an orphan with the name perhaps, may end first
  return restart_now(*c, {}, exit_reason("the last attempt to start it failed"));
}

// --- children that stay away -----------------------------------------------------------------------------------------

/// SV-65..SV-67.
outcome<void> supervisor_core::does_not_come_back(supervised& c) {
  const bool significant = c.spec.significant;
  forget_if_temporary(c);
  if (!significant || flags_.auto_shutdown == never) return noreply();
  if (flags_.auto_shutdown == all_significant && any_significant_left()) return noreply();
  return stop(exit_reason::shutdown);
}

bool supervisor_core::any_significant_left() const {
  for (const supervised* c = children_.oldest(); c != nullptr; c = c->newer)
    if (c->spec.significant && c->state != child_state::stopped) return true;
  return false;
}

void supervisor_core::forget_if_temporary(supervised& c) {
  if (c.spec.restart == temporary) children_.erase(c);
}

/// A child that does not run, or is to be stopped. Cancels its attempts.
void supervisor_core::stop_one(supervised& c) {
  if (c.state == child_state::running) {
    const pid who = c.who;
    const exit_reason why = stop_child(who, c.spec.shutdown);
    if (!is_expected_end(why, c.spec.restart, c.spec.shutdown)) report_shutdown_error(c.spec, who, why);
  }
  children_.ended(c, child_state::stopped);
}

// --- the supervisor's own end ----------------------------------------------------------------------------------------

/// SV-54: newest first, one at a time.
void supervisor_core::stop_all() {
  for (supervised* c = children_.newest(); c != nullptr; c = c->older) stop_one(*c);
}

void supervisor_core::terminate(const exit_reason&) { stop_all(); }

// --- operations ------------------------------------------------------------------------------------------------------

start_result supervisor_core::handle_call(start_child_request request) {
  if (std::string problem = problem_of(request.spec); !problem.empty()) return refuse_spec(std::move(problem));
  if (request.spec.significant && flags_.auto_shutdown == never)
    return refuse_spec("child \"" + request.spec.id + "\": significant is true, but auto_shutdown is never");
  if (const supervised* c = children_.find(std::string_view(request.spec.id))) {
    if (c->state == child_state::running) return error(supervisor_error(supervisor_error::already_started, "start_child: \"" + c->spec.id + "\" runs already, as " + to_text(c->who), {}, c->who));
    return refuse(supervisor_error::already_present, c->spec.id);
  }
  supervised& c = children_.append(std::move(request.spec));
  started_child outcome = started_child::ignore();
  if (start_one(c, true, outcome)) {
    if (outcome.is(started_child::ignored)) forget_if_temporary(c);
    return outcome;
  }
  auto refused = start_failed(c.spec, outcome);
  children_.erase(c);
  return refused;
}

start_result supervisor_core::handle_call(start_from_request) {
  return refuse_spec("start_child_from: this supervisor has no template; it is " + text_of(flags_.strategy));
}

done_result supervisor_core::handle_call(terminate_child_request request) {
  supervised* c = children_.find(std::string_view(request.id));
  if (c == nullptr) return request.who ? refuse(supervisor_error::not_found, request.who) : refuse(supervisor_error::not_found, request.id);
  stop_one(*c);
  forget_if_temporary(*c);
  return {};
}

start_result supervisor_core::handle_call(restart_child_request request) {
  supervised* c = children_.find(std::string_view(request.id));
  if (c == nullptr) return refuse(supervisor_error::not_found, request.id);
  if (c->state == child_state::running) return refuse(supervisor_error::running, request.id);
  if (c->state == child_state::restarting) return refuse(supervisor_error::restarting, request.id);
  started_child outcome = started_child::ignore();
  if (!start_one(*c, true, outcome)) return start_failed(c->spec, outcome);
  return outcome;
}

done_result supervisor_core::handle_call(delete_child_request request) {
  supervised* c = children_.find(std::string_view(request.id));
  if (c == nullptr) return refuse(supervisor_error::not_found, request.id);
  if (c->state == child_state::running) return refuse(supervisor_error::running, request.id);
  if (c->state == child_state::restarting) return refuse(supervisor_error::restarting, request.id);
  children_.erase(*c);
  return {};
}

namespace {

child_information information_of(const supervised& c) {
  return {c.spec.id, c.who, c.state, c.spec.type, c.spec.restart, std::string(c.spec.start.name())};
}

}  // namespace

std::vector<child_information> supervisor_core::handle_call(which_children_request) const {
  std::vector<child_information> all;
  for (const supervised* c = children_.oldest(); c != nullptr; c = c->newer) all.push_back(information_of(*c));
  return all;
}

result<child_information, supervisor_error> supervisor_core::handle_call(which_child_request request) const {
  const supervised* c = children_.find(std::string_view(request.id));
  if (c == nullptr) return refuse(supervisor_error::not_found, request.id);
  return information_of(*c);
}

result<child_spec, supervisor_error> supervisor_core::handle_call(get_childspec_request request) const {
  const supervised* c = request.who ? children_.find(request.who) : children_.find(std::string_view(request.id));
  if (c == nullptr) return request.who ? refuse(supervisor_error::not_found, request.who) : refuse(supervisor_error::not_found, request.id);
  return c->spec;
}

supervisor_information supervisor_core::handle_call(about_request) {
  return {to_text(flags_.name), flags_.strategy, flags_.intensity, flags_.period, intensity_.recent(sync::now(), flags_.period), false};
}

/// SV-95.
done_result supervisor_core::handle_call(change_request request) {
  if (!request.to) {
    auto made = source_.make(source_.from);
    if (!made) return error(supervisor_error(supervisor_error::bad_supervisor_spec, "code_change: " + to_text(made.error()), made.error()));
    if (!*made) return {};
    request.to = std::move(**made);
  }
  supervisor_spec& to = *request.to;
  std::string problem = problem_of(to);
  if (problem.empty() && to.strategy == simple_one_for_one) problem = "strategy cannot become simple_one_for_one";
  if (!problem.empty()) return error(supervisor_error(supervisor_error::bad_supervisor_spec, "change: " + problem));
  for (child_spec& spec : to.children) {
    supervised* c = children_.find(std::string_view(spec.id));
    if (c != nullptr) children_.replace_spec(*c, std::move(spec));
    else children_.append(std::move(spec));
  }
  to.children.clear();
  to.name = flags_.name;
  flags_ = std::move(to);
  return {};
}

std::string to_text(const supervisor_core& s) {
  const child_counts n = s.children_.counts();
  return text_of(s.flags_.strategy) + ", " + std::to_string(s.flags_.intensity) + " restarts in " + duration_text(s.flags_.period.count()) + ", " +
         std::to_string(n.active) + " of " + std::to_string(n.specs) + " children run";
}

}  // namespace coppice::internal
