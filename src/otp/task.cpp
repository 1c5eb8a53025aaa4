// SPDX-License-Identifier: Apache-2.0
//
// task: the owner's operations on places. The place itself is in process/result_place.cpp. Read from the bottom.
#include <coppice/otp/task.hpp>

#include <coppice/base/to_text.hpp>

#include "otp/task_core.hpp"
#include "process/signal.hpp"

#include <string>

namespace coppice {

task_failed::task_failed(exit_reason reason, pid who, std::exception_ptr exception, std::string_view what)
    : exit_error(std::move(reason), what), who_(who), exception_(std::move(exception)) {}

void task_failed::rethrow() const {
  if (exception_) std::rethrow_exception(exception_);
  throw *this;
}

task_timeout::task_timeout(pid who, std::string_view what) : exit_error(exit_reason::timeout, what), who_(who) {}

}  // namespace coppice

namespace coppice::internal {

slot& owner_only(pid owner, const char* what) {
  slot& me = detail::here();
  if (owner == detail::pid_of(me)) [[likely]] return me;
  throw exit_error(exit_reason::with_text(exit_reason::custom, "not_the_owner"),
                   std::string(what) + ": only its owner " + to_text(owner) + " may; the caller is " + to_text(detail::pid_of(me)));
}

std::size_t collect(done_list& list, bool& failed) noexcept {
  std::size_t count = 0;
  for (result_place* p = list.take_all(); p != nullptr; ++count) {
    result_place* const next = p->next;
    p->collected = true;
    if (!p->has_value) failed = true;
    if (p->home != nullptr) p->home->note(*p->home, *p);
    p = next;
  }
  return count;
}

namespace {

struct listed_wait {
  done_list& list;
  std::uint64_t number;
  bool (*enough)(void*);
  void* context;
};

bool is_enough(void* raw) {
  auto& w = *static_cast<listed_wait*>(raw);
  do {
    collect(w.list);
    if (w.enough(w.context)) return true;
  } while (!w.list.announce(w.number));
  return false;
}

}  // namespace

bool await_list(slot& me, done_list& list, std::int64_t timeout, bool (*enough)(void*), void* context) {
  collect(list);
  if (enough(context)) return true;
  listed_wait w{list, begin_wait(me), enough, context};
  return wait_until(me, w.number, wait_state::signals, timeout, &is_enough, &w);
}

bool await_list_regardless(slot& me, done_list& list, std::int64_t timeout, bool (*enough)(void*), void* context) noexcept {
  collect(list);
  if (enough(context)) return true;
  // Whoever is not the owner has no wait that a push would end: it looks again and again.
  listed_wait w{list, &me == &detail::here() ? begin_wait(me) : 0, enough, context};
  return wait_regardless(me, w.number, timeout, &is_enough, &w);
}

void drop_unstarted(result_place* p) noexcept {
  if (p->task)
    release_place(p);
  else
    discard_place(p);
}

void spawn_for(result_place* p, const detail::task_start& what) {
  detail::spawn_core({.cls = what.cls, .make = what.make, .label = what.options->label, .name = what.options->name, .in = what.options->in, .result = p});
}

}  // namespace coppice::internal

namespace coppice::detail {

using namespace coppice::internal;

// --- starting --------------------------------------------------------------------------------------------------------

result_place* start_task(const task_start& what, task_link link) {
  result_place* p = new_place(*what.type, link == task_link::owner);
  try {
    spawn_for(p, what);
  } catch (...) {
    drop_unstarted(p);
    throw;
  }
  return p;
}

pid start_alone(const task_start& what, task_link link) {
  return spawn_core({.cls = what.cls, .make = what.make, .link = link == task_link::owner, .label = what.options->label,
                     .name = what.options->name, .in = what.options->in})
      .who;
}

spawned start_telling(const task_start& what, void (*told)(void* state, reference ref)) {
  return spawn_core({.cls = what.cls, .make = what.make, .monitor = true, .label = what.options->label, .name = what.options->name, .in = what.options->in,
                     .told = told});
}

result_place* make_done(const result_type& type) {
  result_place* p = new_place(type, false);
  p->word.store(result_place::done, sync::relaxed);
  return p;
}

// --- one -------------------------------------------------------------------------------------------------------------

namespace {

struct one_wait {
  result_place& place;
  std::uint64_t number;
};

bool is_done_now(void* raw) {
  const auto& w = *static_cast<one_wait*>(raw);
  return is_done_or_waited(w.place, w.number);
}

bool is_collected(void* raw) { return static_cast<const result_place*>(raw)->collected; }

bool await_end(slot& me, result_place& p, std::int64_t timeout) {
  if (p.home != nullptr) return p.collected || await_list(me, *p.home, timeout, &is_collected, &p);
  if (is_done(p)) return true;
  one_wait w{p, begin_wait(me)};
  return wait_until(me, w.number, wait_state::signals, timeout, &is_done_now, &w);
}

/// The failure of a linked task ends an owner that does not trap exits, before it sees the failure (EX-5).
void let_link_act(slot& me, const result_place& p) {
  if (!p.has_value && p.linked) take_arrivals(me);
}

}  // namespace

bool await_place(result_place* p, duration timeout) {
  if (p == nullptr) return false;
  slot& me = owner_only(p->owner, "a task's result");
  if (!await_end(me, *p, nanoseconds(timeout))) return false;
  let_link_act(me, *p);
  return true;
}

void await_value(result_place*& p, duration timeout) {
  if (p == nullptr) throw task_timeout({}, "await: nothing will come: the result was taken or given up before");
  if (!await_place(p, timeout)) throw_not_in_time(std::span(&p, 1), timeout);
  if (p->has_value) return;
  task_failed why = failure_of(*p);
  drop_place(p);
  throw why;
}

bool shutdown_place(result_place* p, const shutdown_time& time) {
  const bool brutally = time.is_brutal_kill();
  slot& me = owner_only(p->owner, "shutdown of a task");
  if (p->linked) forget_task(me, p->task);
  if (await_end(me, *p, 0)) return true;
  const exit_reason::code signal = brutally ? exit_reason::kill : exit_reason::shutdown;
  exit(p->task, signal);
  bool killed = brutally;
  if (!await_end(me, *p, brutally ? sync::never : nanoseconds(time.wait()))) {
    exit(p->task, exit_reason::kill);
    killed = true;
    await_end(me, *p, sync::never);
  }
  if (p->has_value) return true;
  p->taken = true;                                             // a group need not tell what we have asked for
  return killed == brutally ? !p->reason.is(brutally ? exit_reason::killed : exit_reason::shutdown) : true;
}

bool ignore_place(result_place* p) {
  if (p == nullptr) return false;
  slot& me = owner_only(p->owner, "ignore of a task");
  if (p->linked) forget_task(me, p->task);
  if (await_end(me, *p, 0)) return true;
  p->taken = true;
  return false;
}

void drop_place(result_place*& p) noexcept {
  if (p != nullptr) release_place(std::exchange(p, nullptr));
}

task_failed failure_of(result_place& p) {
  p.taken = true;
  const std::string who = p.task ? "task " + to_text(p.task) : "task";
  return {p.reason, p.task, p.exception,
          p.reason.is(exit_reason::normal) ? who + " ended without a result" : who + " failed: " + to_text(p.reason)};
}

task_failed failure_of_empty() { return {exit_reason::noproc, {}, nullptr, "shutdown: the result was taken or given up before"}; }

// --- many ------------------------------------------------------------------------------------------------------------

void throw_not_in_time(std::span<result_place* const> places, duration timeout) {
  pid who;
  std::size_t missing = 0;
  for (result_place* p : places)
    if (p != nullptr && (p->home != nullptr ? !p->collected : !is_done(*p))) {
      if (missing++ == 0) who = p->task;
    }
  std::string text = "await: " + to_text(who);
  if (missing > 1) text += " and " + std::to_string(missing - 1) + " more";
  throw task_timeout(who, text + (missing > 1 ? " have" : " has") + " no result after " + duration_text(timeout.count()));
}

namespace {

/// For the time of one wait all places are on one list, so that each end costs the same however many are waited for.
class common_list {
 public:
  explicit common_list(std::span<result_place* const> places) : places_(places) {
    for (result_place* p : places_) {
      if (p == nullptr) continue;
      ++wanted_;
      if (p->home != nullptr) collect(*p->home);
      if (p->home != nullptr ? p->collected : is_done(*p)) note(*p);
      else if (!put_on_list(*p, &list_)) note_ending(*p);
    }
  }
  /// Back where they were. Who ends just now puts itself on our list: that is one instruction away.
  ~common_list() {
    for (result_place* p : places_)
      if (p != nullptr && !is_through(*p) && !put_on_list(*p, p->home))
        while (!p->collected) {
          collect(list_);
          if (!p->collected) sync::relax();
        }
  }
  common_list(const common_list&) = delete;

  bool wait(slot& me, std::int64_t timeout, std::size_t limit, many_mode mode) {
    limit_ = std::min(limit, wanted_);
    mode_ = mode;
    if (is_enough_now()) return true;
    common_wait w{*this, begin_wait(me)};
    return wait_until(me, w.number, wait_state::signals, timeout, &is_enough, &w);
  }

 private:
  struct common_wait {
    common_list& of;
    std::uint64_t number;
  };
  static bool is_through(const result_place& p) noexcept { return p.collected || (p.home == nullptr && is_done(p) && p.index == through); }
  static constexpr std::uint32_t through = ~std::uint32_t{0};   // index of a place without a group that was done before

  void note(result_place& p) noexcept {
    if (p.home == nullptr) p.index = through;
    ++done_;
    if (!p.has_value) failed_ = true;
  }
  /// Its task has made its exchange and is putting it on its group's list, or was on none.
  void note_ending(result_place& p) noexcept {
    while (p.home != nullptr && !p.collected) {
      collect(*p.home);
      if (!p.collected) sync::relax();
    }
    note(p);
  }
  bool is_enough_now() const noexcept { return done_ >= limit_ || (failed_ && mode_ == many_mode::values); }
  static bool is_enough(void* raw) {
    auto& w = *static_cast<common_wait*>(raw);
    common_list& l = w.of;
    do {
      l.done_ += collect(l.list_, l.failed_);
      if (l.is_enough_now()) return true;
    } while (!l.list_.announce(w.number));
    return false;
  }

  done_list list_;
  std::span<result_place* const> places_;
  std::size_t wanted_ = 0;
  std::size_t done_ = 0;
  std::size_t limit_ = 0;
  many_mode mode_ = many_mode::results;
  bool failed_ = false;
};

}  // namespace

many_end await_places(std::span<result_place* const> places, duration timeout, std::size_t limit, many_mode mode) {
  for (const result_place* p : places) {
    if (p != nullptr) owner_only(p->owner, "the results of many tasks");
    else if (mode == many_mode::values) throw task_timeout({}, "await_many: the result of a task was taken or given up before");
  }
  slot& me = here();
  many_end end{false, places.size()};
  end.in_time = common_list(places).wait(me, nanoseconds(timeout), limit, mode);
  if (mode == many_mode::results) return end;
  for (std::size_t i = places.size(); i-- != 0;) {
    const result_place& p = *places[i];
    if ((p.home != nullptr ? p.collected : is_done(p)) && !p.has_value) end.failed = i;
  }
  if (end.failed != places.size()) let_link_act(me, *places[end.failed]);
  return end;
}

}  // namespace coppice::detail
