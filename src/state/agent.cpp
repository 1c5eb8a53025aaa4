// SPDX-License-Identifier: Apache-2.0
//
// agent: how the actions of an agent run, fail and are held back, and waiting for them.
//
// Who sends to an idle agent makes its *runner*: he hands the agent to the executor of his action, and from then on exactly one has it,
// until that one gives it up or the agent has failed.
//
//   send     push; it was idle: execute(run_agent) on the action's executor
//   runner   run the oldest; nothing left: give the agent up, it may be lost then; else go on here, or hand over where the next action
//            names another executor, or where somebody else waits for this one (each action is one task of its executor, AG-7)
//   failed   the runner parks the agent with what is queued; restart hands it over anew
//
// Invariants
//   1. One runner: who found the agent idle, or was handed it, or restarted a parked one. The queue's order is in action_queue.hpp.
//   2. The value is written by the runner, and by restart while no runner runs: the agent has failed.
//   3. What an action holds back goes out after its watches, or is dropped with it.
// Design note: docs/internals/agents.md.
#include <coppice/state/agent.hpp>

#include <coppice/process/detail/core.hpp>
#include <coppice/state/agent_ref.hpp>

#include "runtime/planted.hpp"
#include "runtime/slab.hpp"
#include "state/action_queue.hpp"
#include "state/activity.hpp"
#include "state/bindings.hpp"
#include "state/transaction.hpp"
#include "state/wait_list.hpp"

#include <algorithm>
#include <exception>
#include <string>

namespace coppice::internal {

/// The running action.
struct action_frame {
  detail::agent_core* agent;
  detail::held_sends held{};
  bool is_handling = false;                      // its error handler runs: sends go out at once
};

}  // namespace coppice::internal

namespace coppice::detail {

namespace {

using internal::action_frame;
using internal::activity;
using internal::count;
using internal::counted;
using internal::current_activity;
using internal::has_queued;
using internal::inside;
using internal::is_idle;
using internal::keep;
using internal::oldest;
using internal::prepare_lot;
using internal::push;
using internal::take_oldest;
namespace planted = internal::planted;

constexpr std::uint32_t often_awaited = 2;      // sends to an agent that were awaited at once, before the next is expected to be
constexpr std::uint64_t braked = 64;            // one of so many sends looks how far it is ahead
constexpr std::uint64_t most_ahead = 16'384;    // actions: 1 MiB
constexpr int pauses_of_brake = 100;            // 2.3 µs: 36 ns for a send
constexpr int most_lent = 256;                  // actions that who awaits runs, before the executor has them again

/// What a waiter of await waits for; its markers outlive it when its time is up.
struct awaited {
  sync::atomic<std::uint32_t> holders{1};
  sync::atomic<std::uint32_t> missing{0, "markers missing"};
  sync::atomic<std::uint32_t> dropped{0};
  internal::wait_list waiters;

  void drop() noexcept {
    if (holders.fetch_sub(1, sync::acq_rel) == 1) delete this;
  }
  void arrived(bool ran) noexcept {
    if (!ran) dropped.store(1, sync::seq_cst);
    missing.fetch_sub(1, sync::seq_cst);
    waiters.wake_all();
    drop();
  }
};
void destroy_marker(action& x) noexcept;
constexpr action_class markers{.destroy = &destroy_marker, .bytes = sizeof(action) + sizeof(awaited*)};
struct marker : action {
  explicit marker(awaited* waiter) noexcept : action(markers), of(waiter) {}
  awaited* of;                                   // null: it has heard
};
static_assert(sizeof(marker) == markers.bytes);
void destroy_marker(action& x) noexcept { static_cast<marker&>(x).~marker(); }

bool is_marker(const action& x) noexcept { return x.cls->run == nullptr; }
void marker_arrived(action& x, bool ran) noexcept { std::exchange(static_cast<marker&>(x).of, nullptr)->arrived(ran); }

void free_action(action& a) noexcept {
  const action_class& cls = *a.cls;
  if (a.bound != nullptr) [[unlikely]] drop_bindings(a.bound);
  cls.destroy(a);
  free_box(&a, cls.bytes);
}

/// It will never run.
void drop_action(action& a) noexcept {
  if (a.cls->over != nullptr) a.cls->over(a, nullptr, false);
  if (is_marker(a)) marker_arrived(a, false);
  free_action(a);
}

void run_agent(void* raw) noexcept;

/// Hands the agent to the executor of its oldest action; `here` is the one whose job this is, if any. Runner only. False: that takes
/// no work, and what is queued runs here.
bool try_hand_over(agent_core& a, const executor* here = nullptr) noexcept {
  try {
    executor& next = *oldest(a)->by;
    const job rest{&run_agent, &a};
    return &next == here ? next.requeue(rest) : next.execute(rest);
  } catch (...) {                                // no memory, no thread
    return false;
  }
}
void hand_over(agent_core& a) noexcept {
  if (!try_hand_over(a)) run_agent(&a);
}

bool has_failed(const agent_core& a) noexcept { return a.failed.load(sync::acquire) != 0; }

/// Returns: whether the agent has failed and is parked: the runner has lost it.
bool park(agent_core& a) noexcept {
  sync::lock_guard held(a.lock);
  if (a.failed.load(sync::relaxed) == 0) return false;
  a.parked = true;
  return true;
}

void call_handler(action_frame& frame, const std::exception_ptr& why) noexcept {
  guard g;
  const auto* h = static_cast<const handler_head*>(g.protect(frame.agent->handler));
  if (h == nullptr) return;
  frame.is_handling = true;
  try {
    h->call(*h, frame.agent->self, why);
  } catch (...) {                                // AG-31
  }
}

/// Handler first, then the failed state.
void fail(action_frame& frame, const std::exception_ptr& why) noexcept {
  agent_core& a = *frame.agent;
  count(counted::actions_failed);
  frame.held.drop_all();
  call_handler(frame, why);
  sync::lock_guard held(a.lock);
  if (a.mode != error_mode::fail) return;
  a.error = why;
  a.failed.store(1, sync::seq_cst);
  count(counted::agents_failed);
}

void go_out(held_sends& held) noexcept {
  while (held.first != nullptr) {
    held_send* s = held.take_first();
    s->go(*s);
  }
}

/// The time in an action's function, for who asked for the next one's (thread_pool.cpp).
class stopwatch {
 public:
  stopwatch() noexcept : to_(internal::here().stopwatch) {
    if (to_ != nullptr) [[unlikely]] begin_ = sync::now();
  }
  ~stopwatch() {
    if (to_ == nullptr) [[likely]] return;
    *to_ = sync::now() - begin_;
    internal::here().stopwatch = nullptr;
  }
  stopwatch(const stopwatch&) = delete;
  stopwatch& operator=(const stopwatch&) = delete;

 private:
  std::int64_t* const to_;
  std::int64_t begin_ = 0;
};

void run_action(agent_core& a, action& x) noexcept {
  if (is_marker(x)) return marker_arrived(x, true);
  action_frame frame{.agent = &a};
  std::exception_ptr why;
  {
    const inside layer([&](activity& now) {
      now = {};
      now.action = &frame;
      now.bound = x.bound;
    });
    const stopwatch time;
    try {
      x.cls->run(x, a);
    } catch (...) {
      why = std::current_exception();
    }
    if (why != nullptr) fail(frame, why);
  }
  go_out(frame.held);                            // empty if it failed
  if (x.cls->over != nullptr) x.cls->over(x, why, true);
}

void run_oldest(agent_core& a) noexcept {
  action& x = take_oldest(a);
  __builtin_prefetch(a.first.get());
  prepare_lot(a);
  run_action(a, x);
  free_action(x);
  count(counted::actions_over);
}

void run_agent(void* raw) noexcept {
  agent_core& a = *static_cast<agent_core*>(raw);
  if (!has_queued(a) && !keep(a)) return;        // it has lingered for nothing
  for (;;) {
    if (has_failed(a) && park(a)) return;
    executor* by = oldest(a)->by;
    run_oldest(a);
    if (!has_queued(a) && a.awaited.load(sync::relaxed) == 0 && !has_failed(a) && by->linger({&run_agent, &a})) return;
    if (!keep(a)) return;
    if (has_failed(a)) continue;
    if ((oldest(a)->by != by || by->has_waiting()) && try_hand_over(a, by)) return;
  }
}

/// Who waits for the agent has taken its job back from `by`, and runs what was sent to that.
void run_lent(agent_core& a, const executor& by) noexcept {
  for (int i = 0; i != most_lent; ++i) {
    if (oldest(a)->by != &by && !planted::is(planted::lent_past_executor)) break;
    if (has_failed(a) && park(a)) return;
    run_oldest(a);
    if (!keep(a)) return;
  }
  hand_over(a);
}

/// An action of an agent that is a process.
struct task_of_action : agent_task {
  agent_core* to = nullptr;
  action* x = nullptr;
  bool is_told = false;                          // who waits for it
};

void run_task_of_action(agent_task& self, void*) {
  auto& mine = static_cast<task_of_action&>(self);
  action& x = *mine.x;
  mine.is_told = is_marker(x);
  if (is_marker(x)) return marker_arrived(x, true);
  run_as_action(*mine.to, x.bound, [](void* raw) {
    auto& task = *static_cast<task_of_action*>(raw);
    task.x->cls->run(*task.x, *task.to);
  }, &mine);
  mine.is_told = true;
  if (x.cls->over != nullptr) x.cls->over(x, nullptr, true);
}

void destroy_task_of_action(agent_task* self) noexcept {
  auto* mine = static_cast<task_of_action*>(self);
  mine->is_told ? free_action(*mine->x) : drop_action(*mine->x);
  delete mine;
}

void send_to_process(agent_core& a, action& x) {
  task_of_action* t = nullptr;
  try {
    t = new task_of_action;
  } catch (...) {
    drop_action(x);
    throw;
  }
  t->run = &run_task_of_action;
  t->destroy = &destroy_task_of_action;
  t->to = &a;
  t->x = &x;
  send_agent_task(a.process, agent_task_handle(t));
}

/// Now and then: has a sender that is far ahead of those who run its actions slow down, so that what lies between fits the cache: it
/// lies scattered where many agents take turns. It waits for nobody.
void brake(const executor& by) noexcept {
  if (!by.has_waiting()) return;
  const std::uint64_t over = internal::sum_of(counted::actions_over);
  if (internal::sum_of(counted::actions_sent) - over < most_ahead) return;
  for (int i = 0; i != pauses_of_brake; ++i) sync::relax();
}

/// Puts `x` into the queue. Throws rejected; then it is not in the queue.
void enqueue(agent_core& a, action& x) {
  if (a.process) [[unlikely]] return send_to_process(a, x);
  if (internal::here().counts.add(counted::actions_sent) % braked == 0) [[unlikely]] brake(*x.by);
  if (a.awaited.load(sync::relaxed) != 0 && !is_idle(a)) a.awaited.store(0, sync::relaxed);
  if (!push(a, x)) return;                       // it may be gone now
  count(counted::agents_busy);
  bool taken = false;
  try {
    const job run{&run_agent, &a};
    taken = a.awaited.load(sync::relaxed) >= often_awaited ? x.by->execute_soon(run) : x.by->execute(run);
  } catch (...) {
  }
  if (taken) return;
  // Shut down between the question and the task: it is out of the queue again, and what came behind it runs.
  drop_action(take_oldest(a));
  count(counted::actions_over);
  if (keep(a)) hand_over(a);
  throw rejected("agent: the executor takes no work");
}

/// A send that waits for the end of the action, or the transaction, in which it was made.
struct held_action : held_send {
  agent_core* to = nullptr;
  action* x = nullptr;
};

void go(held_send& s) noexcept {
  const auto held = static_cast<held_action&>(s);
  free_box(&s, sizeof(held_action));
  try {
    enqueue(*held.to, *held.x);
  } catch (const rejected&) {                    // nobody is there to be told
  }
}
void drop(held_send& s) noexcept {
  drop_action(*static_cast<held_action&>(s).x);
  free_box(&s, sizeof(held_action));
}

/// Restarts are one at a time.
class restart_turn {
 public:
  explicit restart_turn(agent_core& a) noexcept : a_(a) {
    while (a_.restarting.exchange(1, sync::acquire) != 0) sync::relax();
  }
  ~restart_turn() { a_.restarting.store(0, sync::release); }
  restart_turn(const restart_turn&) = delete;
  restart_turn& operator=(const restart_turn&) = delete;

 private:
  agent_core& a_;
};

void refuse_if_not_failed(agent_core& a) {
  if (!has_failed(a)) throw state_error("agent: restart of an agent that has not failed");
}

/// Takes out what is queued. The agent is parked: nobody else does.
void clear_queue(agent_core& a) noexcept {
  do {
    drop_action(take_oldest(a));
    count(counted::actions_over);
  } while (keep(a));
}

/// A failed agent's runner is on its way to park it, if anything is queued.
/// Returns: whether the queue is the caller's.
bool await_parked(agent_core& a) {
  for (int round = 0;; ++round) {
    {
      sync::lock_guard held(a.lock);
      if (std::exchange(a.parked, false)) return true;
    }
    if (is_idle(a)) return false;
    if (round < 100) sync::relax();
    else sleep_for(duration{100'000});
  }
}

void send_marker(agent_core& a, executor& by, awaited& of) {
  if (!by.is_accepting()) throw rejected("await: the executor takes no work");
  auto* m = ::new (allocate_box(sizeof(marker))) marker(&of);
  m->by = &by;
  of.holders.fetch_add(1, sync::relaxed);
  of.missing.fetch_add(1, sync::seq_cst);
  enqueue(a, *m);
}

[[noreturn]] void refuse_failed(agent_core& a) {
  throw needs_restart("agent: it has failed and needs a restart", error_of(a));
}

}  // namespace

agent_core::~agent_core() {
  // Its runner may be at its last action; what a failed one has queued is dropped.
  for (int round = 0; !is_idle(*this); ++round) {
    bool is_parked = false;
    {
      sync::lock_guard held(lock);
      is_parked = parked;
    }
    if (is_parked) clear_queue(*this);
    else if (round < 100) sync::relax();
    else sleep_for(duration{100'000});
  }
  if (has_failed(*this)) count(counted::agents_mended);
  if (box* b = value.load(sync::acquire); b != nullptr) drop_holder(b);
  if (box* h = handler.load(sync::acquire); h != nullptr) drop_holder(h);
}

static_assert(unfenced_change == planted::change_without_fence);

void* allocate_action(std::size_t bytes) { return internal::here().blocks.allocate_ahead(bytes); }

void change_boxed(agent_core& a, box* (*make)(void*, const box&), void* context) {
  guard g;                                       // watches see the old value after it was replaced
  box* old = g.protect(a.value);
  box* fresh = make(context, *old);
  observers* who = a.observers->load(sync::acquire);
  if (who != nullptr) [[unlikely]] {
    try {
      validate(*who, value_in(*fresh), "agent");
    } catch (...) {
      discard(fresh);
      throw;
    }
  }
  if (g.is_counted()) g.protect(a.value);
  a.value.store(fresh, sync::release);
  // The guard keeps what it protects; the new value is kept by the agent until the next action.
  retire(old);
  who = observers_of_change(a);
  if (who != nullptr) [[unlikely]] notify(*who, a.self, value_in(*old), value_in(*fresh));
}

void refuse_null() { throw state_error("agent: a null function was sent"); }

/// Whether what is sent here waits until that is over, or is dropped because it has been sent before.
static bool hold_if_inside(activity& now, held_send* s) noexcept {
  if (now.transaction != nullptr) {
    if (!hold_until_commit(*now.transaction, s)) s->drop(*s);
    return true;
  }
  if (now.action == nullptr || now.action->is_handling) return false;
  now.action->held.append(s);
  return true;
}

bool hold_if_inside(held_send* s) noexcept {
  activity* now = current_activity();
  return now != nullptr && hold_if_inside(*now, s);
}

void run_as_action(agent_core& a, binding* bound, void (*work)(void*), void* context) {
  action_frame frame{.agent = &a};
  std::exception_ptr why;
  {
    const inside layer([&](activity& now) {
      now = {};
      now.action = &frame;
      now.bound = bound;
    });
    try {
      work(context);
    } catch (const unwind&) {                    // the process ends in the middle
      frame.held.drop_all();
      throw;
    } catch (...) {
      why = std::current_exception();
    }
    if (why != nullptr) {
      frame.held.drop_all();
      call_handler(frame, why);
    }
  }
  if (why != nullptr) std::rethrow_exception(why);
  go_out(frame.held);
}

void refuse_wait_here(const char* what) {
  const activity* now = current_activity();
  if (now == nullptr) return;
  if (now->transaction != nullptr) throw in_transaction(std::string(what) + ": not inside of a transaction");
  if (now->action != nullptr) throw in_action(std::string(what) + ": not inside of an agent's action");
}

void change_mode(agent_core& a, error_mode mode) {
  if (mode == error_mode::stop || a.process) throw state_error("agent: the mode stop is of agents that are processes, and they have no other");
  sync::lock_guard held(a.lock);
  a.mode = mode;
}

/// Whether `a` is held by what the caller is inside of, or was sent there before.
static bool is_held(activity& now, agent_core& to, action& a) {
  if (now.transaction == nullptr && (now.action == nullptr || now.action->is_handling)) return false;
  held_action* h = nullptr;
  try {
    h = ::new (allocate_box(sizeof(held_action))) held_action;
  } catch (...) {
    drop_action(a);
    throw;
  }
  h->go = &go;
  h->drop = &drop;
  h->to = &to;
  h->x = &a;
  return hold_if_inside(now, h);
}

void send_action(agent_core& to, executor& by, action* a) {
  a->by = &by;
  if (has_failed(to)) [[unlikely]] {
    drop_action(*a);
    refuse_failed(to);
  }
  if (!by.is_accepting()) [[unlikely]] {
    drop_action(*a);
    throw rejected("agent: the executor takes no work");
  }
  if (activity* now = current_activity(); now != nullptr) [[unlikely]] {
    a->bound = hold_bindings();
    if (is_held(*now, to, *a)) return;
  }
  enqueue(to, *a);
}

void dispatch_held(held_send* s) noexcept {
  activity* now = current_activity();
  if (now != nullptr && now->action != nullptr && !now->action->is_handling) return now->action->held.append(s);
  s->go(*s);
}

void replace_handler(agent_core& a, handler_head* next) noexcept {
  if (box* old = a.handler.exchange(next, sync::seq_cst); old != nullptr) retire(old);
}

std::exception_ptr error_of(agent_core& a) noexcept {
  sync::lock_guard held(a.lock);
  return a.error;
}

void restart_agent(agent_core& a, const given_value& fresh, bool clear) {
  const restart_turn turn(a);
  try {
    refuse_if_not_failed(a);
    if (observers* x = a.observers->load(sync::acquire); x != nullptr) validate(*x, fresh.shown, "agent");
  } catch (...) {
    if (fresh.boxed != nullptr) drop_holder(fresh.boxed);
    throw;
  }
  if (clear && await_parked(a)) clear_queue(a);
  if (fresh.boxed != nullptr) retire(a.value.exchange(fresh.boxed, sync::seq_cst));
  else a.word.store(fresh.word, sync::seq_cst);
  bool runs = false;
  {
    sync::lock_guard held(a.lock);
    a.error = nullptr;
    a.failed.store(0, sync::seq_cst);
    count(counted::agents_mended);
    runs = std::exchange(a.parked, false);
  }
  if (runs && !planted::is(planted::restart_without_run)) hand_over(a);
}

/// A plain thread that waits without a limit runs itself what has not begun.
static void lend_thread(agent_core& a) {
  if (const std::uint32_t n = a.awaited.load(sync::relaxed); n < often_awaited) a.awaited.store(n + 1, sync::relaxed);
  for (executor* by : {&send_executor(), &send_off_executor()}) {
    if (!by->withdraw({&run_agent, &a})) continue;
    return run_lent(a, *by);
  }
}

bool await_agents(std::span<agent_core* const> agents, duration limit) {
  refuse_wait_here("await");
  for (agent_core* a : agents)
    if (has_failed(*a)) refuse_failed(*a);
  if (limit == infinity && internal::here().process == nullptr && send_executor().is_accepting())
    for (agent_core* a : agents)
      if (!a->process && !is_idle(*a)) lend_thread(*a);
  // One that has failed here keeps who awaits it, as if it had failed elsewhere meanwhile.
  const auto is_waited_for = [](agent_core* a) { return a->process || !is_idle(*a) || has_failed(*a); };
  if (std::ranges::none_of(agents, is_waited_for)) return true;

  auto* of = new awaited;
  bool done = false;
  try {
    for (agent_core* a : agents)
      if (is_waited_for(a)) send_marker(*a, send_executor(), *of);
    done = of->waiters.wait([of] { return of->missing.load(sync::seq_cst) == 0; }, limit == infinity ? sync::never : limit.count());
  } catch (...) {
    of->drop();
    throw;
  }
  const bool lost = done && of->dropped.load(sync::seq_cst) != 0;
  of->drop();
  if (lost) throw rejected("await: an action was dropped before it ran");
  return done;
}

agent_core* running_agent() noexcept {
  const activity* now = current_activity();
  return now != nullptr && now->action != nullptr ? now->action->agent : nullptr;
}

}  // namespace coppice::detail

namespace coppice {

bool is_in_action() noexcept { return detail::running_agent() != nullptr; }

std::size_t release_pending() noexcept {
  internal::activity* now = internal::current_activity();
  if (now == nullptr || now->action == nullptr || now->transaction != nullptr || now->action->is_handling) return 0;
  const std::size_t count = now->action->held.count;
  detail::go_out(now->action->held);
  return count;
}

}  // namespace coppice
