// SPDX-License-Identifier: Apache-2.0
//
// executor: thread pools with one queue each, and which executor is the default where.
//
// A pool's queue is guarded by a spinlock; idle threads sleep on a futex word that counts the tasks ever given. The program's
// own pools are never destroyed: their threads sleep while the program ends.
//
// What its giver will most likely take back lies in `soon`: nobody is woken for it and nobody who looks for work sees it, but
// who is about to sleep takes it, and so does the one thread that *naps*: it comes back each millisecond while such jobs are given.
// Invariant: while anything lies there a thread naps, or is on its way from that to `take`, which leaves nothing there: the thread
// may be long at what it takes.
#include <coppice/state/executor.hpp>

#include <coppice/base/detail/sync.hpp>
#include <coppice/process/process.hpp>

#include "runtime/planted.hpp"
#include "runtime/thread_block.hpp"
#include "state/activity.hpp"

#include <algorithm>
#include <deque>
#include <iterator>
#include <list>
#include <new>
#include <utility>

namespace coppice::internal {
int spins_of_pools = 200;
int naps_of_pools = 1000;
}

namespace coppice::detail {

struct thread_pool {
  thread_pool(unsigned most_threads, std::int64_t patience) noexcept : most(most_threads), idle_time(patience) {}

  const unsigned most;
  const std::int64_t idle_time;                  // how long a thread without work stays
  alignas(64) sync::spinlock lock;               // guards all but the words
  std::deque<job> queue;
  std::deque<job> soon;                          // as above; given only while a thread naps
  bool naps = false;                             // one of the idle does
  int naps_left = 0;                             // until it sleeps for good
  unsigned threads = 0;
  unsigned starting = 0;                         // of those, not among the members yet
  unsigned idle = 0;                             // asleep
  unsigned looking = 0;                          // awake, without work: they look at `waiting` for a while
  bool closed = false;
  alignas(64) sync::atomic<std::uint32_t> waiting{0, "tasks waiting"};   // read after each action: not on the lock's line
  sync::atomic<std::uint32_t> accepting{1};
  sync::futex_word signal{0, "pool signal"};     // changes with each task, and at the end
  sync::futex_word gone{0, "threads gone"};      // changes when a thread ends

  bool execute(job t);
  bool execute_soon(job t);
  bool requeue(job t);
  bool withdraw(job t);
  void close() noexcept;
  /// Until all threads have ended.
  void drain() noexcept;

 private:
  struct member {                                // one thread
    thread_pool* of = nullptr;
    sync::thread thread{};
    bool is_known = false;                       // `thread` is set
    bool has_ended = false;                      // it touches the pool no more
    job next{};                                  // its own: taken out of the queue already
    bool looks = false;                          // it is counted in `looking`
  };
  std::list<member> members;                     // guarded by lock

  /// Who is to come for what was queued.
  struct helpers {
    bool wake = false;
    bool start = false;
  };
  helpers queued() noexcept;
  void call(helpers h);
  void start_thread();
  void join_ended() noexcept;
  void work(member& self) noexcept;
  bool take(member& self, job& t) noexcept;
  void look(member& self, bool looks) noexcept;
  bool sleep(member& self, std::uint32_t seen) noexcept;
  bool has_work() const noexcept {
    return !queue.empty() || (!soon.empty() && !internal::planted::is(internal::planted::soon_unseen));
  }
  bool leave() noexcept;
};

/// Under the lock, after jobs were put into the queue.
thread_pool::helpers thread_pool::queued() noexcept {
  waiting.store(static_cast<std::uint32_t>(queue.size()), sync::relaxed);
  helpers h;
  h.start = idle + looking < queue.size() && threads < most;
  h.wake = idle != 0 && looking < queue.size();  // who looks, or is about to sleep, finds it
  if (h.start) ++threads, ++starting;
  signal.fetch_add(1, sync::seq_cst);
  return h;
}

/// Behind the lock. Whoever waits for the job may destroy the pool as soon as it has run: nothing of the pool is touched, unless
/// `starting` says so.
void thread_pool::call(helpers h) {
  if (h.wake) sync::futex_wake(&signal, 1);      // the address only
  if (h.start) start_thread();
}

bool thread_pool::execute(job t) {
  helpers h;
  {
    sync::lock_guard held(lock);
    if (closed) return false;
    queue.push_back(t);
    h = queued();
  }
  call(h);
  return true;
}

bool thread_pool::execute_soon(job t) {
  {
    sync::lock_guard held(lock);
    naps_left = internal::naps_of_pools;
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
    waiting.store(static_cast<std::uint32_t>(queue.size()), sync::relaxed);
    return true;
  }
  return false;
}

bool thread_pool::requeue(job t) {
  auto* const self = static_cast<member*>(internal::here().member);
  if (self == nullptr || self->of != this || self->next.run != nullptr) return execute(t);
  sync::lock_guard held(lock);
  if (closed) return false;
  queue.push_back(t);
  self->next = queue.front();                    // its turn has come, with the lock held just once
  queue.pop_front();
  return true;
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

bool thread_pool::take(member& self, job& t) noexcept {
  if (self.next.run != nullptr) {
    t = std::exchange(self.next, job{});
    return true;
  }
  helpers h;
  {
    sync::lock_guard held(lock);
    look(self, !has_work());
    if (!has_work()) return false;
    const bool adds = !soon.empty() && !internal::planted::is(internal::planted::soon_left);
    if (adds || queue.empty()) {
      if (queue.empty()) queue.swap(soon);       // takes no memory
      else queue.insert(queue.end(), soon.begin(), soon.end());
      soon.clear();
    }
    t = queue.front();
    queue.pop_front();
    if (adds) h = queued();
    else waiting.store(static_cast<std::uint32_t>(queue.size()), sync::relaxed);
  }
  call(h);
  return true;
}

/// Under the lock.
void thread_pool::look(member& self, bool looks) noexcept {
  if (self.looks == looks) return;
  self.looks = looks;
  looks ? ++looking : --looking;
}

/// Returns: false when the thread has to end; it is not counted any more then.
bool thread_pool::sleep(member& self, std::uint32_t seen) noexcept {
  constexpr std::int64_t nap = 1'000'000;
  for (;;) {
    bool is_nap = false;
    {
      sync::lock_guard held(lock);
      look(self, false);
      if (has_work()) return true;
      if (closed) return leave();
      ++idle;
      is_nap = !naps && naps_left > 0;
      naps |= is_nap;
    }
    const std::int64_t limit = is_nap ? nap : idle_time;
    const bool woken = sync::futex_wait(signal, seen, limit == sync::never ? sync::never : sync::now() + limit);
    sync::lock_guard held(lock);
    --idle;
    if (is_nap) {
      naps = false;
      --naps_left;
    }
    if (woken || has_work() || closed) return true;
    if (!is_nap) return leave();
  }
}

/// Under the lock.
bool thread_pool::leave() noexcept {
  --threads;
  return false;
}

void thread_pool::work(member& self) noexcept {
  internal::here().member = &self;
  for (;;) {
    const std::uint32_t seen = signal.load(sync::seq_cst);
    if (job t; take(self, t)) {
      t.run(t.context);
      continue;
    }
    bool come = false;
    for (int i = 0; i < internal::spins_of_pools && !come; ++i) {  // some microseconds: the next task often follows at once
      sync::relax();
      come = waiting.load(sync::relaxed) != 0;
    }
    if (!come && !sleep(self, seen)) break;
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

namespace coppice {

namespace sync = detail::sync;
using internal::activity;
using internal::inside;

namespace {

constexpr std::int64_t idle_seconds = 60;
constexpr unsigned many_threads = 4096;

struct defaults {
  fixed_executor fixed{sync::cores() + 2};
  growing_executor growing;
  sync::atomic<executor*> send{&fixed};
  sync::atomic<executor*> send_off{&growing};
};
/// Never destroyed: threads may still run in it when the program ends.
defaults& program_defaults() {
  static auto* d = new defaults;
  return *d;
}

}  // namespace

fixed_executor::fixed_executor(unsigned threads) : pool_(new detail::thread_pool(threads != 0 ? threads : 1, sync::never)) {}
fixed_executor::~fixed_executor() {
  pool_->drain();
  delete pool_;
}
bool fixed_executor::execute(job t) { return pool_->execute(t); }
bool fixed_executor::requeue(job t) { return pool_->requeue(t); }
bool fixed_executor::execute_soon(job t) { return pool_->execute_soon(t); }
bool fixed_executor::withdraw(job t) { return pool_->withdraw(t); }
bool fixed_executor::is_accepting() const noexcept { return pool_->accepting.load(sync::acquire) != 0; }
bool fixed_executor::has_waiting() const noexcept { return pool_->waiting.load(sync::relaxed) != 0; }
void fixed_executor::shutdown() noexcept { pool_->close(); }

growing_executor::growing_executor() : pool_(new detail::thread_pool(many_threads, idle_seconds * 1'000'000'000)) {}
growing_executor::~growing_executor() {
  pool_->drain();
  delete pool_;
}
bool growing_executor::execute(job t) { return pool_->execute(t); }
bool growing_executor::requeue(job t) { return pool_->requeue(t); }
bool growing_executor::execute_soon(job t) { return pool_->execute_soon(t); }
bool growing_executor::withdraw(job t) { return pool_->withdraw(t); }
bool growing_executor::is_accepting() const noexcept { return pool_->accepting.load(sync::acquire) != 0; }
bool growing_executor::has_waiting() const noexcept { return pool_->waiting.load(sync::relaxed) != 0; }
void growing_executor::shutdown() noexcept { pool_->close(); }

bool scheduler_executor::execute(job t) {
  try {
    spawn([t] { t.run(t.context); }, {.label = "action"});
    return true;
  } catch (const exit_error&) {                  // the runtime stops
    return false;
  }
}

executor& send_executor() noexcept {
  const activity* a = internal::current_activity();
  return a != nullptr && a->send != nullptr ? *a->send : *program_defaults().send.load(sync::acquire);
}
executor& send_off_executor() noexcept {
  const activity* a = internal::current_activity();
  return a != nullptr && a->send_off != nullptr ? *a->send_off : *program_defaults().send_off.load(sync::acquire);
}
void set_send_executor(executor& e) noexcept { program_defaults().send.store(&e, sync::release); }
void set_send_off_executor(executor& e) noexcept { program_defaults().send_off.store(&e, sync::release); }

static_assert(sizeof(inside) <= sizeof(executor_scope));
executor_scope::executor_scope(executor& for_send) noexcept {
  ::new (static_cast<void*>(place_)) inside([&](activity& a) { a.send = &for_send; });
}
executor_scope::executor_scope(executor& for_send, executor& for_send_off) noexcept {
  ::new (static_cast<void*>(place_)) inside([&](activity& a) {
    a.send = &for_send;
    a.send_off = &for_send_off;
  });
}
executor_scope::~executor_scope() { std::launder(reinterpret_cast<inside*>(place_))->~inside(); }

void shutdown_agents() noexcept {
  send_executor().shutdown();
  send_off_executor().shutdown();
}

}  // namespace coppice
