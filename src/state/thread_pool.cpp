// SPDX-License-Identifier: Apache-2.0
//
// thread_pool: see thread_pool.hpp. Design note: docs/internals/agents.md.
#include "state/thread_pool.hpp"

#include "runtime/planted.hpp"
#include "runtime/thread_block.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace coppice::internal {
limits_of_thread_pools limits_of_pools;
}

namespace coppice::detail {

namespace planted = internal::planted;
using internal::counted;
using internal::here;
using internal::limits_of_pools;

namespace {

constexpr std::int64_t finest_coarse = 500;      // ns: beside such jobs it costs little that threads take lines from one another
constexpr std::uint64_t sampled = 16;            // one of so many jobs is measured
constexpr std::uint64_t worthwhile = 16;         // actions that should come with each look into an agent's inbox
constexpr int samples_to_decide = 8;
constexpr int coarse_to_decide = 4;              // of those: some may have been interrupted, or had to fetch what another thread has left

std::uint64_t so_far(counted what) noexcept { return here().counts.of[static_cast<std::size_t>(what)].get(); }
std::uint64_t lots_taken() noexcept { return so_far(counted::lots_taken); }

}  // namespace

/// Under the lock, after `added` jobs were queued: who has to come for them, where `jobs` wait.
thread_pool::helpers thread_pool::queued(std::size_t jobs, std::size_t added) noexcept {
  show_waiting();
  helpers h;
  if (serves_one()) {
    naps_left = limits_of_pools.naps;
    if (naps) return h;
  }
  const auto at_most = [added](std::size_t n) { return static_cast<unsigned>(std::min(added, n)); };
  if (looking < jobs) h.wake = at_most(idle);    // who looks, or is about to sleep, finds it
  if (idle + looking < jobs) h.start = std::min(at_most(jobs - idle - looking), most - threads);
  threads += h.start;
  starting += h.start;
  signal.fetch_add(1, sync::seq_cst);
  return h;
}

/// Behind the lock. Whoever waits for the job may destroy the pool as soon as it has run: nothing of the pool is touched, unless
/// `starting` says so.
void thread_pool::call(helpers h) {
  if (h.wake != 0) sync::futex_wake(&signal, static_cast<int>(h.wake));  // the address only
  for (; h.start != 0; --h.start) start_thread();
}

bool thread_pool::execute(job t) {
  helpers h;
  {
    sync::lock_guard held(lock);
    if (closed) return false;
    queue.push_back(t);
    h = queued(queue.size(), 1);
  }
  call(h);
  return true;
}

bool thread_pool::execute_soon(job t) {
  {
    sync::lock_guard held(lock);
    naps_left = limits_of_pools.naps;
    if (naps && !closed) {
      soon.push_back(t);
      return true;
    }
  }
  return execute(t);
}

bool thread_pool::withdraw(job t) {
  constexpr std::ptrdiff_t looked_at = 64;       // it was given last, or nearly
  sync::lock_guard held(lock);
  for (std::deque<job>* in : {&soon, &queue}) {
    const auto end = in->rbegin() + std::min(looked_at, std::ssize(*in));
    const auto at = std::find(in->rbegin(), end, t);
    if (at == end) continue;
    in->erase(std::prev(at.base()));
    show_waiting();
    return true;
  }
  return false;
}

bool thread_pool::requeue(job t) {
  auto* const self = static_cast<member*>(here().member);
  if (self == nullptr || self->of != this || self->again.run != nullptr) return execute(t);
  if (!is_accepting()) return false;
  self->again = t;
  return true;
}

bool thread_pool::linger(job t) noexcept {
  auto* const self = static_cast<member*>(here().member);
  if (self == nullptr || self->of != this || self->again.run != nullptr || !fine.get()) return false;
  self->again = t;
  return true;
}

bool thread_pool::has_waiting() const noexcept {
  if (waiting.load(sync::relaxed) != 0) return true;
  const auto* const self = static_cast<const member*>(here().member);
  return self != nullptr && self->of == this ? !self->turns.is_empty() : having_turns.get() > 1;
}

void thread_pool::start_thread() {
  member* fresh = nullptr;
  try {
    join_ended();
    {
      sync::lock_guard held(lock);
      fresh = &members.emplace_back();
      fresh->of = this;
    }
    sync::thread t([](void* m) { static_cast<member*>(m)->of->work(*static_cast<member*>(m)); }, fresh, "coppice-action");
    sync::lock_guard held(lock);
    fresh->thread = std::move(t);
    fresh->is_known = true;
    --starting;
  } catch (...) {                                // the others will do it, if there are any
    sync::lock_guard held(lock);
    if (fresh != nullptr) members.remove_if([&](const member& m) { return &m == fresh; });
    --starting;
    if (--threads == 0) throw;
  }
}

void thread_pool::join_ended() noexcept {
  std::list<member> ended;                       // joined without the lock
  {
    sync::lock_guard held(lock);
    for (auto m = members.begin(); m != members.end();) {
      const auto at = m++;
      if (at->has_ended && at->is_known) ended.splice(ended.end(), members, at);
    }
  }
}

/// Under the lock, for a thread that is awake.
bool thread_pool::has_work(const member& self) const noexcept {
  if (serves_other(self)) return false;
  return !queue.empty() || (!soon.empty() && !planted::is(planted::soon_unseen));
}

/// Under the lock.   Returns: whether there was anything.
bool thread_pool::queue_soon() {
  if (soon.empty() || planted::is(planted::soon_left)) return false;
  if (queue.empty()) queue.swap(soon);           // takes no memory
  else queue.insert(queue.end(), soon.begin(), soon.end());
  soon.clear();
  return true;
}

/// Under the lock: what has its turns with `self` goes back into the queue.   Returns: whether there was anything.
bool thread_pool::put_turns_back(member& self) {
  const bool any = !self.turns.is_empty();
  while (!self.turns.is_empty()) queue.push_back(self.turns.take_first());
  return any;
}

/// Under the lock, for who serves: what is queued has its turns with `self`, behind what has them already.
void thread_pool::take_all(member& self) {
  while (!queue.empty() && self.turns.size() + 1 < internal::turn_ring::capacity) {
    self.turns.append(queue.front());
    queue.pop_front();
  }
  if (self.again.run != nullptr) self.turns.append(std::exchange(self.again, {}));
}

bool thread_pool::take(member& self, job& t) noexcept {
  const bool has_turns = !self.turns.is_empty() || self.again.run != nullptr;
  if (!has_turns || self.asks || !fine.get() || server.get() != &self || waiting.load(sync::relaxed) != 0) {
    if (!take_queued(self, t)) return false;
    if (t.run != nullptr) return true;
  } else if (self.again.run != nullptr) {
    self.turns.append(std::exchange(self.again, {}));
  }
  if (self.left_of_lap == 0) begin_lap(self);
  --self.left_of_lap;
  t = self.turns.take_first();
  return true;
}

/// The way under the lock.   Returns: false: nothing is there for `self`. True without a job: it serves, and has turns.
bool thread_pool::take_queued(member& self, job& t) noexcept {
  helpers h;
  {
    sync::lock_guard held(lock);
    self.asks = false;
    const bool serves = fine.get() && !serves_other(self);
    bool calls = !serves && put_turns_back(self);
    if (serves || has_work(self)) calls |= queue_soon();
    if (self.again.run != nullptr && !serves) queue.push_back(std::exchange(self.again, {}));
    if (serves) take_all(self);
    if (serves || server.get() == &self) serve(serves && !self.turns.is_empty() ? &self : nullptr);
    const bool has = serves ? !self.turns.is_empty() : has_work(self);
    self.stands_aside = !has && serves_other(self);
    look(self, !has);
    if (has && !serves) {
      t = queue.front();
      queue.pop_front();
    }
    if (serves && self.turns.size() > 1 && !naps) h = queued(1, 1);  // who naps sees to them if one of them keeps this thread
    else if (!serves && calls) h = queued(queue.size(), queue.size());
    else show_waiting();
    if (!has) return false;
  }
  call(h);
  return true;
}

/// Under the lock.
void thread_pool::serve(member* who) noexcept {
  server.set(who);
  if (who == nullptr) having_turns.set(0);
}

/// All that have turns here have had one. If they had little to do, they wait a moment: who comes for each action takes its agent's line
/// from the sender each time, and gives it back to the next.
void thread_pool::begin_lap(member& self) noexcept {
  self.turns_taken += std::exchange(self.lap, self.turns.size());
  self.left_of_lap = self.lap;
  having_turns.set(self.lap);
  const std::uint64_t lots = lots_taken() - self.lots_before;
  if (lots < self.lap) return;
  self.lots_before += lots;
  if (std::exchange(self.turns_taken, 0) >= lots * worthwhile) return;
  const int pauses = std::min(static_cast<int>(self.lap) * 16, 3 * limits_of_pools.spins);
  for (int i = 0; i < pauses && waiting.load(sync::relaxed) == 0; ++i) sync::relax();
}

void thread_pool::run(member& self, job t) noexcept {
  const std::uint64_t n = self.begun.add(1);
  self.turns.open();
  n % sampled == 0 ? run_measured(self, t) : t.run(t.context);
  self.turns.close();
}

/// … and says now and then whether jobs are fine.
void thread_pool::run_measured(member& self, job t) noexcept {
  std::int64_t in_action = -1;
  here().stopwatch = &in_action;
  const std::int64_t begin = sync::now();
  t.run(t.context);
  const std::int64_t taken = in_action >= 0 ? in_action : sync::now() - begin;
  here().stopwatch = nullptr;
  if (taken > finest_coarse) ++self.coarse_samples;
  if (++self.samples < samples_to_decide) return;
  const bool is_fine = self.coarse_samples < coarse_to_decide;
  self.samples = self.coarse_samples = 0;
  self.asks = true;
  sync::lock_guard held(lock);
  fine.set(is_fine && !closed && internal::turn_ring::is_possible());
  if (!fine.get()) serve(nullptr);
}

/// Under the lock.
void thread_pool::look(member& self, bool looks) noexcept {
  if (self.looks == looks) return;
  self.looks = looks;
  looks ? ++looking : --looking;
}

/// Some microseconds: the next job often follows at once.   Returns: whether one has come.
bool thread_pool::spin() noexcept {
  for (int i = 0; i < limits_of_pools.spins; ++i) {
    sync::relax();
    if (waiting.load(sync::relaxed) != 0) return true;
  }
  return false;
}

/// Returns: false when the thread has to end; it is not counted any more then.
bool thread_pool::sleep(member& self, std::uint32_t seen) noexcept {
  constexpr std::int64_t nap = 1'000'000;
  for (;;) {
    bool is_nap = false;
    {
      sync::lock_guard held(lock);
      look(self, false);
      if (has_work(self)) return true;
      if (closed && (naps || have_no_turns())) return leave();
      ++idle;
      is_nap = !naps && (naps_left > 0 || closed);
      naps |= is_nap;
    }
    const std::int64_t limit = is_nap ? nap : idle_time;
    const bool woken = sync::futex_wait(signal, seen, limit == sync::never ? sync::never : sync::now() + limit);
    helpers h;
    {
      sync::lock_guard held(lock);
      --idle;
      if (is_nap) h = after_nap(self);
      if (!woken && !closed && !has_work(self)) {
        if (is_nap) continue;
        return leave();
      }
    }
    call(h);
    return true;
  }
}

/// Under the lock: `self` sees to what lies in `soon`, and to what a thread holds that does not get on.
thread_pool::helpers thread_pool::after_nap(const member& self) noexcept {
  naps = false;
  const bool adds = !planted::is(planted::soon_unseen) && queue_soon();
  show_waiting();
  if (!serves_other(self)) --naps_left;
  bool is_kept = false;                          // who serves
  for (member& m : members) {
    const bool gets_on = m.begun.get() != m.begun_before;
    m.begun_before = m.begun.get();
    if (gets_on || planted::is(planted::turns_left)) continue;
    if (!m.turns.is_empty()) m.turns.take_away([this](job t) { queue.push_back(t); });
    is_kept |= &m == server.get();
  }
  if (queue.empty()) return {};
  if (is_kept) {
    fine.set(false);
    serve(nullptr);
  } else if (!adds || serves_other(self)) {
    return {};
  }
  return queued(queue.size() - 1, queue.size() - 1);               // `self` comes for one itself
}

/// Under the lock.
bool thread_pool::have_no_turns() const noexcept {
  return std::ranges::all_of(members, [](const member& m) { return m.turns.is_empty(); });
}

/// Under the lock.
bool thread_pool::leave() noexcept {
  --threads;
  return false;
}

void thread_pool::work(member& self) noexcept {
  here().member = &self;
  for (;;) {
    const std::uint32_t seen = signal.load(sync::seq_cst);
    if (job t; take(self, t)) {
      run(self, t);
      continue;
    }
    if ((self.stands_aside || !spin()) && !sleep(self, seen)) break;
  }
  {
    sync::lock_guard held(lock);
    self.has_ended = true;
    gone.fetch_add(1, sync::seq_cst);
  }
  sync::futex_wake(&gone, 1);                    // the address only
}

void thread_pool::close() noexcept {
  {
    sync::lock_guard held(lock);
    closed = true;
    fine.set(false);
    serve(nullptr);
    for (member& m : members) m.turns.take_away([this](job t) { queue.push_back(t); });
    show_waiting();
  }
  accepting.store(0, sync::release);
  signal.fetch_add(1, sync::seq_cst);
  sync::futex_wake(&signal, 1 << 20);
}

void thread_pool::drain() noexcept {
  close();
  for (;;) {
    const std::uint32_t seen = gone.load(sync::seq_cst);
    join_ended();
    {
      sync::lock_guard held(lock);
      if (members.empty() && starting == 0) break;
    }
    sync::futex_wait(gone, seen, sync::now() + 10'000'000);
  }
}

}  // namespace coppice::detail
