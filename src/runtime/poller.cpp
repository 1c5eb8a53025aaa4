// SPDX-License-Identifier: Apache-2.0
//
// poller: epoll and the token. See poller.hpp for the rules, docs/internals/io.md for the reasons.
#include "runtime/poller.hpp"

#include "runtime/thread_block.hpp"

#include <coppice/base/assert.hpp>

#include <cerrno>
#include <cstddef>
#include <system_error>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

namespace coppice::internal {

namespace {

constexpr std::uint64_t token_free = 0;
constexpr std::uint64_t token_polling = 1;
constexpr std::uint64_t token_kicked = 2;
constexpr std::uint64_t token_asleep = 3;  // + the worker's index

constexpr int batch = 64;  // events fetched at a time
constexpr std::size_t chunk_descriptors = 64;

constexpr std::uint32_t ended_events = EPOLLRDHUP | EPOLLHUP | EPOLLERR;
constexpr std::uint32_t readable_events = EPOLLIN | ended_events;
constexpr std::uint32_t writable_events = EPOLLOUT | EPOLLHUP | EPOLLERR;

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

/// epoll_wait with a limit in nanoseconds; on kernels before 5.11 in milliseconds, rounded up.
int wait_for_events(int epoll, epoll_event* into, std::int64_t until) noexcept {
  if (until == sync::never) return ::epoll_wait(epoll, into, batch, -1);
  const std::int64_t now = sync::now();
  const std::int64_t left = until > now ? until - now : 0;
  const timespec limit{.tv_sec = left / 1'000'000'000, .tv_nsec = left % 1'000'000'000};
  const int n = ::epoll_pwait2(epoll, into, batch, &limit, nullptr);
  if (n >= 0 || errno != ENOSYS) return n;
  const std::int64_t ms = (left + 999'999) / 1'000'000;
  return ::epoll_wait(epoll, into, batch, ms > 60'000 ? 60'000 : static_cast<int>(ms));
}

}  // namespace

struct poller::chunk {
  chunk* next = nullptr;
  poll_descriptor descriptors[chunk_descriptors];
};

struct poller::events {
  int count = 0;
  epoll_event of[batch];
};

poll_descriptor::poll_descriptor() noexcept
    : timer_node(&poller::expire), fd(-1), noticed(1), deadline(sync::never), armed_for(sync::never) {}

poller::poller(scheduler& sched, const poll_hooks& hooks) : sched_(sched), hooks_(hooks) {
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) fail("epoll_create1");
  bell_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  epoll_event bell{.events = EPOLLIN | EPOLLET, .data = {.ptr = nullptr}};
  if (bell_ < 0 || ::epoll_ctl(epoll_, EPOLL_CTL_ADD, bell_, &bell) != 0) {
    const int why = errno;
    if (bell_ >= 0) ::close(bell_);
    ::close(epoll_);
    errno = why;
    fail("eventfd");
  }
  source_ = {.sleep = [](void* p, worker& w, std::int64_t until) { return static_cast<poller*>(p)->sleep(w, until); },
             .kick = [](void* p, worker& w) { return static_cast<poller*>(p)->kick(w); },
             .sleeper = [](void* p) { return static_cast<poller*>(p)->sleeper(); },
             .look = [](void* p) { static_cast<poller*>(p)->look(); },
             .watch = [](void* p) { static_cast<poller*>(p)->look_if_nobody_has(); },
             .context = this};
  sched_.set_idle_source(&source_);
}

poller::~poller() {
  sched_.set_idle_source(nullptr);
  ::close(bell_);
  ::close(epoll_);
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
  pd->noticed.store(owner.who == nullptr, sync::release);  // pairs with make_readable: it sees this owner
  // Counted before the kernel knows of it: whoever fetches its events reads the count, and so sees the descriptor as it is here.
  const bool first = open_.fetch_add(1, sync::seq_cst) == 0;
  epoll_event interest{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.ptr = pd}};
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &interest) != 0) {
    const int why = errno;
    open_.fetch_sub(1, sync::release);
    pd->fd = -1;
    pd->noticed.store(1, sync::relaxed);
    give(*pd);
    errno = why;
    return nullptr;
  }
  // The first one: all workers may be asleep on their futexes, where no socket wakes them (invariant 4).
  if (first) sched_.wake_one();
  return pd;
}

void poller::close(poll_descriptor& pd) noexcept {
  ::close(forget(pd));  // ends the registration, too
  give_when_quiet(pd);
}

int poller::release(poll_descriptor& pd) noexcept {
  const int fd = forget(pd);
  ::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);  // it belongs to the open file, which lives on
  give_when_quiet(pd);
  return fd;
}

int poller::forget(poll_descriptor& pd) noexcept {
  const int fd = pd.fd;
  COPPICE_ASSERT(fd >= 0, "a socket is closed once");
  pd.fd = -1;
  pd.noticed.store(1, sync::seq_cst);
  pd.owner.store(nullptr, sync::relaxed);
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
  if (pd.noticed.exchange(1, sync::acq_rel) != 0) return;  // pairs with open and clear_notice
  void* owner = pd.owner.load(sync::relaxed);
  if (owner != nullptr) hooks_.notify(owner, pd.owner_serial.load(sync::relaxed));
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
  for (int i = 0; i < got.count; ++i) {
    auto* pd = static_cast<poll_descriptor*>(got.of[i].data.ptr);
    if (pd == nullptr) continue;  // the bell
    const std::uint32_t what = got.of[i].events;
    if ((what & ended_events) != 0) pd->hung_up.store(1, sync::release);
    if ((what & readable_events) != 0) make_readable(*pd);
    if ((what & writable_events) != 0) make_ready(pd->write);
  }
}

void poller::wait(events& got, std::int64_t until) noexcept {
  const int n = wait_for_events(epoll_, got.of, until);
  got.count = n > 0 ? n : 0;             // EINTR: nothing happened
  if (n > 0) open_.load(sync::acquire);  // pairs with open: the kernel's word for it is not the language's
}

bool poller::sleep(worker& w, std::int64_t until) noexcept {
  if (open_.load(sync::seq_cst) == 0) return false;  // pairs with open: it wakes whom it finds parked
  std::uint64_t token = token_free;
  if (!token_.cas(token, token_polling, sync::acquire)) return false;
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
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(bell_, &one, sizeof one);
  return true;
}

const worker* poller::sleeper() const noexcept {
  const std::uint64_t token = token_.load(sync::relaxed);
  return token >= token_asleep ? sched_.worker_at(static_cast<unsigned>(token - token_asleep)) : nullptr;
}

void poller::look() noexcept {
  if (open_.load(sync::relaxed) == 0 || token_.load(sync::relaxed) != token_free) return;
  std::uint64_t token = token_free;
  if (!token_.cas(token, token_polling, sync::acquire)) return;
  events got;
  wait(got, 0);
  looks_.store(looks_.load(sync::relaxed) + 1, sync::relaxed);
  token_.store(token_free, sync::release);
  handle(got);
}

void poller::look_if_nobody_has() noexcept {
  const std::uint64_t looks = looks_.load(sync::relaxed);
  if (looks == looks_seen_) look();
  looks_seen_ = looks_.load(sync::relaxed);
}

}  // namespace coppice::internal
