// SPDX-License-Identifier: Apache-2.0
//
// eventual: settling, waiting, and the way of a future's function through its executor. The record is described in eventual.hpp.
#include "state/eventual.hpp"

#include <coppice/process/detail/core.hpp>
#include <coppice/state/executor.hpp>
#include <coppice/state/scoped_value.hpp>
#include <coppice/state/state_error.hpp>

#include "runtime/planted.hpp"
#include "state/activity.hpp"
#include "state/bindings.hpp"

#include <utility>

namespace coppice::detail {

namespace {

using internal::activity;
using internal::inside;
namespace planted = internal::planted;

/// Whether the caller may write what it is settled with. Only one ever may.
bool claim(eventual& e) noexcept {
  std::uint32_t was = eventual::pending;
  return e.phase.cas(was, eventual::writing, sync::seq_cst);
}

void publish(eventual& e) noexcept {
  if (planted::is(planted::settled_relaxed)) e.phase.store(eventual::there, sync::relaxed);
  else e.phase.store(eventual::there, sync::seq_cst);
  e.waiters.wake_all();
}

bool wait_phase(eventual& e, bool (*is_so)(std::uint32_t phase), duration limit) {
  auto ready = [&] { return is_so(e.phase.load(sync::seq_cst)); };
  if (ready()) return true;
  if (limit <= duration::zero()) return false;
  hold_eventual(e);                              // a promise may be destroyed while somebody waits
  const struct holder {
    eventual& of;
    ~holder() { drop_eventual(&of); }
  } until_here{e};
  return e.waiters.wait(ready, limit == infinity ? sync::never : limit.count());
}

void free_task(future_task& t) noexcept {
  const std::uint32_t bytes = t.bytes;
  t.destroy(t);
  free_box(&t, bytes);
}

/// What the function of a future threw, or why it did not end.
box* compute(future_task& t, std::exception_ptr& why) noexcept {
  const inside layer([&](activity& now) {
    now = {};
    now.bound = t.bound;
  });
  try {
    return t.compute(t);
  } catch (const unwind&) {                      // its executor runs it in a process, and that has to end
    why = std::make_exception_ptr(cancelled("future: the process that computed it has ended"));
  } catch (...) {
    why = std::current_exception();
  }
  return nullptr;
}

void run_task(void* raw) noexcept {
  auto& t = *static_cast<future_task*>(raw);
  eventual* e = t.of;
  binding* bound = t.bound;
  if (is_realized(*e)) {                         // cancelled before it began
    free_task(t);
  } else {
    std::exception_ptr why;
    box* value = compute(t, why);
    free_task(t);                                // what the function held is gone when those who wait hear of it
    if (value != nullptr) settle(*e, value);
    else settle(*e, why);
  }
  drop_bindings(bound);
  drop_eventual(e);
}

}  // namespace

eventual* make_eventual() { return new eventual; }
void hold_eventual(eventual& e) noexcept { e.holders.fetch_add(1, sync::relaxed); }
void drop_eventual(eventual* e) noexcept {
  if (e->holders.fetch_sub(1, sync::acq_rel) == 1) delete e;
}

bool is_realized(const eventual& e) noexcept { return e.phase.load(sync::acquire) >= eventual::there; }
bool is_cancelled(const eventual& e) noexcept { return e.phase.load(sync::acquire) == eventual::called_off; }

bool settle(eventual& e, box* fresh) noexcept {
  if (!claim(e)) {
    discard(fresh);
    return false;
  }
  e.value = fresh;
  publish(e);
  return true;
}

bool settle(eventual& e, const std::exception_ptr& why) noexcept {
  if (!claim(e)) return false;
  e.why = why;
  publish(e);
  return true;
}

bool cancel(eventual& e) noexcept {
  std::uint32_t was = eventual::pending;
  if (!e.phase.cas(was, eventual::called_off, sync::seq_cst)) return false;
  e.waiters.wake_all();
  return true;
}

void break_promise(eventual& e) noexcept {
  if (is_realized(e)) return;
  try {
    settle(e, std::make_exception_ptr(broken_promise("promise: it went away undelivered")));
  } catch (...) {                                // no memory for the text: they must not wait for ever
    cancel(e);
  }
}

bool wait_realized(eventual& e, duration limit) {
  return wait_phase(e, [](std::uint32_t phase) { return phase >= eventual::there; }, limit);
}

bool wait_cancelled(eventual& e, duration limit) {
  return wait_phase(e, [](std::uint32_t phase) { return phase == eventual::called_off; }, limit);
}

box* wait_value(eventual& e, duration limit) {
  if (!wait_realized(e, limit)) return nullptr;
  if (box* b = e.value; b != nullptr) return b;
  if (is_cancelled(e)) throw cancelled("future: it was cancelled");
  std::rethrow_exception(e.why);
}

void refuse_empty_promise() { throw state_error("promise: it was moved from"); }

void start_future(eventual& e, executor& by, future_task* t) {
  t->of = &e;
  hold_eventual(e);
  t->bound = hold_bindings();
  bool taken = false;
  std::exception_ptr why;
  try {
    taken = by.is_accepting() && by.execute({&run_task, t});
  } catch (...) {
    why = std::current_exception();
  }
  if (taken) return;
  drop_bindings(t->bound);
  free_task(*t);
  drop_eventual(&e);
  if (why != nullptr) std::rethrow_exception(why);
  throw rejected("future: the executor takes no work");
}

}  // namespace coppice::detail
