// SPDX-License-Identifier: Apache-2.0
//
// delay: who runs the function of a delay, and who waits for whom.
//
// A stack that runs the function of a delay has a record, of which the delay knows (`runner`) while it runs. A stack that waits for
// a delay notes it in its record, if it has one. So there is a graph of who waits for whom, changed under one lock; whoever would
// close a ring in it gets recursive_delay instead: a function that reads its own delay, or two that read each other's.
#include <coppice/state/delay.hpp>

#include <coppice/process/detail/core.hpp>
#include <coppice/state/state_error.hpp>

#include "state/activity.hpp"
#include "state/eventual.hpp"

#include <exception>

namespace coppice::internal {

/// A stack on which functions of delays run.
struct delay_stack {
  detail::delay_core* waits_for = nullptr;       // guarded by the lock
};

}  // namespace coppice::internal

namespace coppice::detail {

using internal::activity;
using internal::current_activity;
using internal::delay_stack;
using internal::inside;

struct delay_core : eventual {
  sync::atomic<delay_stack*> runner{nullptr, "delay runner"};  // changed under the lock
};

namespace {

sync::spinlock graph;                            // guards runner and waits_for; held for a few steps

bool closes_ring(const delay_core& d, const delay_stack& mine) noexcept {
  const delay_core* at = &d;
  while (at != nullptr) {
    const delay_stack* s = at->runner.load(sync::relaxed);
    if (s == nullptr) return false;
    if (s == &mine) return true;
    at = s->waits_for;
  }
  return false;
}

/// Makes `mine` the runner, if there is none.   Returns: whether it is.
/// Throws recursive_delay where waiting for the runner would never end; else the caller's record says for what it waits.
bool become_runner(delay_core& d, delay_stack& mine, bool is_recorded) {
  sync::lock_guard held(graph);
  if (d.runner.load(sync::relaxed) == nullptr) {
    d.runner.store(&mine, sync::seq_cst);
    return true;
  }
  if (!is_recorded) return false;
  if (closes_ring(d, mine)) throw recursive_delay("delay: its function asks for the delay itself");
  mine.waits_for = &d;
  return false;
}

/// However the function ends, others may go on.
class running {
 public:
  explicit running(delay_core& d) noexcept : d_(d) {}
  ~running() {
    {
      sync::lock_guard held(graph);
      d_.runner.store(nullptr, sync::seq_cst);
    }
    d_.waiters.wake_all();
  }
  running(const running&) = delete;
  running& operator=(const running&) = delete;

 private:
  delay_core& d_;
};

void run_function(delay_core& d, delay_stack& mine, box* (*compute)(void*), void* context) {
  const running until_here(d);
  if (is_realized(d)) return;                    // another was done between the look and the claim
  const inside layer([&](activity& now) {
    now.delays = &mine;
    now.beside_transaction |= now.transaction != nullptr;
    now.rules = nullptr;
    now.transaction = nullptr;                   // what it gives is for all: nothing that may yet be undone
  });
  try {
    settle(d, compute(context));
  } catch (const unwind&) {                      // the process ends: the next to ask runs it
    throw;
  } catch (...) {
    settle(d, std::current_exception());
  }
}

void wait_for_runner(delay_core& d, delay_stack& mine) {
  const struct noted {
    delay_stack& of;
    ~noted() {
      sync::lock_guard held(graph);
      of.waits_for = nullptr;
    }
  } until_here{mine};
  d.waiters.wait([&] { return is_realized(d) || d.runner.load(sync::seq_cst) == nullptr; });
}

}  // namespace

delay_core* make_delay() { return new delay_core; }
void drop_delay(delay_core* d) noexcept { delete d; }
bool is_realized(const delay_core& d) noexcept { return is_realized(static_cast<const eventual&>(d)); }

box* force_delay(delay_core& d, box* (*compute)(void*), void* context) {
  delay_stack fresh;
  activity* now = current_activity();
  const bool is_recorded = now != nullptr && now->delays != nullptr;
  delay_stack& mine = is_recorded ? *now->delays : fresh;
  while (!is_realized(d)) {
    if (become_runner(d, mine, is_recorded)) run_function(d, mine, compute, context);
    else wait_for_runner(d, mine);
  }
  return wait_value(d, duration::zero());
}

}  // namespace coppice::detail
