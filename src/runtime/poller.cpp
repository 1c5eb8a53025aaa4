// SPDX-License-Identifier: Apache-2.0
//
// poller: events and the token. See poller.hpp for the rules, docs/internals/io.md for the reasons.
#include "runtime/poller.hpp"

#include "runtime/thread_block.hpp"

#include <coppice/base/assert.hpp>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <new>

namespace coppice::internal {

namespace {

constexpr std::uint64_t token_free = 0;
constexpr std::uint64_t token_polling = 1;
constexpr std::uint64_t token_kicked = 2;
constexpr std::uint64_t token_asleep = 3;  // + the worker's index

constexpr int most_events = 64;  // fetched at a time
constexpr std::size_t chunk_descriptors = 64;
constexpr int worth_a_batch = 3;  // events: a ring costs as much as a system call and a half

constexpr std::uint32_t ended_events = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
constexpr std::uint32_t readable_events = EPOLLIN | ended_events;
constexpr std::uint32_t writable_events = EPOLLOUT | EPOLLHUP | EPOLLERR;

}  // namespace

struct poller::chunk {
  chunk* next = nullptr;
  poll_descriptor descriptors[chunk_descriptors];
};

struct poller::events {
  int count = 0;
  epoll_event of[most_events];
};

poll_descriptor::poll_descriptor() noexcept
    : timer_node(&poller::expire), fd(-1), deadline(sync::never), armed_for(sync::never) {}

poller::poller(scheduler& sched, const poll_hooks& hooks, bool batches) : sched_(sched), hooks_(hooks) {
  no_batches_.store(batches ? 0 : 1, sync::relaxed);
  source_ = {.sleep = [](void* p, worker& w, std::int64_t until) { return static_cast<poller*>(p)->sleep(w, until); },
             .kick = [](void* p, worker& w) { return static_cast<poller*>(p)->kick(w); },
             .sleeper = [](void* p) { return static_cast<poller*>(p)->sleeper(); },
             .look = [](void* p) { static_cast<void>(static_cast<poller*>(p)->look()); },
             .watch = [](void* p) { static_cast<poller*>(p)->look_if_nobody_has(); },
             .flush = [](void* p, worker& w, bool only_if_due) { return static_cast<poller*>(p)->flush(w, only_if_due); },
             .context = this};
  sched_.set_idle_source(&source_);
}

poller::~poller() {
  sched_.set_idle_source(nullptr);
  for (auto& batch : batches_) delete batch.load(sync::relaxed);
  for (chunk* c = chunks_; c != nullptr;) {
    chunk* next = c->next;
    for (poll_descriptor& pd : c->descriptors)
      if (pd.armed_for != sync::never) timer_wheel::cancel(pd);
    delete c;
    c = next;
  }
}

// --- sockets ---------------------------------------------------------------------------------------------------------

poll_descriptor* poller::take() {
  {
    sync::lock_guard held(pool_lock_);
    if (poll_descriptor* pd = free_) {
      free_ = pd->next_free.get();
      return pd;
    }
  }
  auto* fresh = new chunk;
  for (poll_descriptor& pd : fresh->descriptors) pd.of = this;
  sync::lock_guard held(pool_lock_);
  fresh->next = chunks_;
  chunks_ = fresh;
  for (std::size_t i = 1; i < chunk_descriptors; ++i) {
    fresh->descriptors[i].next_free = free_.get();
    free_ = &fresh->descriptors[i];
  }
  return &fresh->descriptors[0];
}

void poller::give(poll_descriptor& pd) noexcept {
  sync::lock_guard held(pool_lock_);
  pd.next_free = free_.get();
  free_ = &pd;
}

poll_descriptor* poller::open(int fd, const poll_owner& owner) {
  poll_descriptor* pd = take();
  pd->fd = fd;
  pd->hung_up.store(0, sync::relaxed);
  pd->read.state.store(poll_side::unknown, sync::relaxed);
  pd->write.state.store(poll_side::unknown, sync::relaxed);
  pd->deadline = sync::never;
  pd->owner.store(owner.who, sync::relaxed);
  pd->owner_serial.store(owner.serial, sync::relaxed);
  pd->told.open(owner.who != nullptr);
  // Counted before the kernel knows of it: whoever fetches its events reads the count, and so sees the descriptor as it is here.
  const bool first = open_.fetch_add(1, sync::seq_cst) == 0;
  if (!kernel_.add(fd, pd)) {
    const int why = errno;
    open_.fetch_sub(1, sync::release);
    pd->fd = -1;
    pd->told.end();
    give(*pd);
    errno = why;
    return nullptr;
  }
  // The first one: all workers may be asleep on their futexes, where no socket wakes them (invariant 4).
  if (first) sched_.wake_one();
  return pd;
}

void poller::close(poll_descriptor& pd) noexcept {
  kernel_.close(forget(pd));
  give_when_quiet(pd);
}

int poller::release(poll_descriptor& pd) noexcept {
  const int fd = forget(pd);
  kernel_.remove(fd);
  give_when_quiet(pd);
  return fd;
}

int poller::forget(poll_descriptor& pd) noexcept {
  const int fd = pd.fd;
  COPPICE_ASSERT(fd >= 0, "a socket is closed once");
  finish_posted(pd);
  pd.told.end();
  pd.fd = -1;
  pd.owner.store(nullptr, sync::relaxed);
  if (early_read* early = pd.early) early->give_back();
  pd.early = nullptr;
  pd.unsent = {};
  return fd;
}

/// Its socket is not watched any more. A timer that fires just now gives it back itself.
void poller::give_when_quiet(poll_descriptor& pd) noexcept {
  open_.fetch_sub(1, sync::release);  // keeps the chain of those who opened: see wait
  {
    sync::lock_guard held(pd.timer_lock);
    if (pd.armed_for != sync::never && !timer_wheel::cancel(pd)) {
      pd.orphan = true;
      return;
    }
    pd.armed_for = sync::never;
  }
  give(pd);
}

// --- deadlines -------------------------------------------------------------------------------------------------------

void poller::set_deadline(poll_descriptor& pd, std::int64_t deadline) noexcept {
  sync::lock_guard held(pd.timer_lock);
  pd.deadline = deadline;
  if (deadline >= pd.armed_for.get()) return;                           // the timer fires earlier and finds out
  if (pd.armed_for != sync::never && !timer_wheel::cancel(pd)) return;  // it fires now, and waits for the lock
  pd.armed_for = deadline;
  sched_.start_timer_at(pd, deadline);
}

void poller::expire(timer_node& raw) noexcept {
  auto& pd = static_cast<poll_descriptor&>(raw);
  poller& self = *pd.of;
  bool orphan = false;
  {
    sync::lock_guard held(pd.timer_lock);
    orphan = pd.orphan;
    pd.orphan = false;
    pd.armed_for = sync::never;
    const std::int64_t deadline = pd.deadline;
    if (!orphan && deadline != sync::never && deadline > sync::now()) {
      pd.armed_for = deadline;
      self.sched_.start_timer_at(pd, deadline);
      return;
    }
    if (!orphan && deadline == sync::never) return;
  }
  if (orphan)
    self.give(pd);
  else
    self.notify(pd);
}

// --- events ----------------------------------------------------------------------------------------------------------

void poller::make_ready(poll_side& side) noexcept {
  if (side.state.load(sync::relaxed) == poll_side::ready) return;
  const std::uint64_t before = side.state.exchange(poll_side::ready, sync::seq_cst);  // pairs with the waiter's cas
  if ((before & poll_side::waiting) != 0) hooks_.wake(side.waiter.load(sync::relaxed), before >> 2);
}

void poller::notify(poll_descriptor& pd) noexcept {
  if (pd.told.raise()) send_notice(pd);
}

/// `told` is set already: invariant 3.
void poller::send_notice(const poll_descriptor& pd) noexcept {
  if (void* owner = pd.owner.load(sync::relaxed)) hooks_.notify(owner, pd.owner_serial.load(sync::relaxed));
}

/// Somebody in the middle of a read is woken; an owner that has gone away gets a notice.
void poller::make_readable(poll_descriptor& pd) noexcept {
  const std::uint64_t before = pd.read.state.exchange(poll_side::ready, sync::seq_cst);
  if ((before & poll_side::waiting) != 0)
    hooks_.wake(pd.read.waiter.load(sync::relaxed), before >> 2);
  else
    notify(pd);
}

void poller::handle(const events& got) noexcept {
  const scheduler::batch_of_wakes quiet(sched_);
  socket_batch* batch = got.count >= worth_a_batch ? batch_of_this_worker() : nullptr;
  for (int i = 0; i < got.count; ++i) {
    auto* pd = static_cast<poll_descriptor*>(got.of[i].data.ptr);
    if (pd == nullptr) continue;  // the bell
    const std::uint32_t what = got.of[i].events;
    const bool has_ended = (what & ended_events) != 0;
    if (has_ended) pd->hung_up.store(1, sync::release);
    const bool may_read_early = batch != nullptr && !has_ended;
    if ((what & readable_events) != 0 && !(may_read_early && will_read_early(*batch, *pd))) make_readable(*pd);
    if ((what & writable_events) != 0) make_ready(pd->write);  // behind it, so before it: who writes hears itself that all is over
  }
  if (batch != nullptr && batch->early_count() != 0) read_early(*batch);
}

// --- many sockets at once --------------------------------------------------------------------------------------------

/// Null: the thread is no worker of ours, or the system grants no ring.
socket_batch* poller::batch_of_this_worker() noexcept {
  const thread_block& block = here();
  if (!sched_.is_worker(block) || no_batches_.load(sync::relaxed) != 0) return nullptr;
  sync::atomic<socket_batch*>& place = batches_[block.at->index];
  if (socket_batch* has = place.load(sync::relaxed)) return has;
  std::unique_ptr<socket_batch> made(new (std::nothrow) socket_batch);
  if (made == nullptr || !made->is_of_use()) {
    no_batches_.store(1, sync::relaxed);
    return nullptr;
  }
  place.store(made.get(), sync::release);  // pairs with the monitor thread's look
  return made.release();
}

bool poller::will_read_early(socket_batch& batch, poll_descriptor& pd) noexcept {
  if (!pd.told.begin_reading()) return false;
  if (batch.add_early(pd)) return true;
  pd.told.leave_reading();
  return false;
}

void poller::read_early(socket_batch& batch) noexcept {
  batch.read_early();
  batch.take_early([this](poll_descriptor& pd) {
    pd.told.end_reading();
    send_notice(pd);
  });
}

bool poller::post(poll_descriptor& pd, std::string_view bytes) noexcept {
  const thread_block& block = here();
  if (!sched_.is_worker(block) || bytes.size() > socket_batch::largest_post) return false;
  worker& w = *block.at;
  socket_batch* batch = batches_[w.index].load(sync::relaxed);
  if (batch == nullptr || (!batch->has_posted() && w.queue.empty())) return false;
  finish_posted(pd);
  if (!pd.unsent.is_empty()) return false;
  if (!batch->post(pd, bytes)) return false;
  if (batch->is_due())
    batch->flush();
  else if (w.flush_in == 0)
    w.flush_in = 1;                       // at its next turn it begins to look
  return true;
}

void poller::flush_posted(poll_descriptor& pd) noexcept {
  while (socket_batch* batch = pd.posted.load(sync::acquire)) batch->flush();  // pairs with settle
}

bool poller::flush(const worker& w, bool only_if_due) noexcept {
  socket_batch* batch = batches_[w.index].load(sync::relaxed);
  if (batch == nullptr || !batch->has_posted()) return false;
  if (only_if_due && !batch->is_due()) return true;
  batch->flush();
  return false;
}

void poller::wait(events& got, std::int64_t until) noexcept {
  const int n = kernel_.wait(got.of, most_events, until);
  got.count = n > 0 ? n : 0;             // EINTR: nothing happened
  if (n > 0) open_.load(sync::acquire);  // pairs with open: the kernel's word for it is not the language's
}

bool poller::sleep(worker& w, std::int64_t until) noexcept {
  if (open_.load(sync::seq_cst) == 0) return false;  // pairs with open: it wakes whom it finds parked
  std::uint64_t token = token_free;
  if (!token_.cas(token, token_polling, sync::seq_cst)) return false;  // pairs with look_if_nobody_has: it sees us parked
  token_.store(token_asleep + w.index, sync::seq_cst);  // announce; pairs with unpark: it sets `signal`, then kicks
  events got;
  if (w.signal.load(sync::seq_cst) == 0) wait(got, until);
  looks_.store(looks_.load(sync::relaxed) + 1, sync::relaxed);
  token_.store(token_free, sync::release);
  sched_.awake(w);
  handle(got);
  return true;
}

bool poller::kick(const worker& w) noexcept {
  std::uint64_t token = token_asleep + w.index;
  if (!token_.cas(token, token_kicked, sync::seq_cst)) return false;
  kernel_.ring();
  return true;
}

const worker* poller::sleeper() const noexcept {
  const std::uint64_t token = token_.load(sync::relaxed);
  return token >= token_asleep ? sched_.worker_at(static_cast<unsigned>(token - token_asleep)) : nullptr;
}

/// False: there was nothing to look at, or somebody else does.
bool poller::look() noexcept {
  if (open_.load(sync::relaxed) == 0 || token_.load(sync::relaxed) != token_free) return false;
  std::uint64_t token = token_free;
  if (!token_.cas(token, token_polling, sync::acquire)) return false;
  events got;
  wait(got, 0);
  looks_.store(looks_.load(sync::relaxed) + 1, sync::relaxed);
  token_.store(token_free, sync::seq_cst);  // pairs with sleep
  handle(got);
  return true;
}

/// The monitor thread. A worker that wanted to sleep here just now has met its look and sleeps on its futex, where no socket wakes it: a worker
/// that looks goes to sleep here afterwards, the monitor thread does not.
void poller::look_if_nobody_has() noexcept {
  const std::uint64_t looks = looks_.load(sync::relaxed);
  if (looks == looks_seen_ && look() && !planted::is(planted::look_unmentioned)) sched_.wake_if_all_sleep();
  looks_seen_ = looks_.load(sync::relaxed);
  for (unsigned i = 0; i < sched_.workers(); ++i)
    if (socket_batch* batch = batches_[i].load(sync::acquire)) batch->flush_if_stale();
}

}  // namespace coppice::internal
