// SPDX-License-Identifier: Apache-2.0
//
// Workers that sleep where sockets wake them, or elsewhere, beside a monitor thread that looks at the sockets, too: whatever happens to a
// socket, somebody comes and tells its owner.
#include "runtime/poller.hpp"
#include "sim/runtime/task.hpp"
#include "sim/runtime/world.hpp"

#include <optional>

namespace {

using namespace coppice;
using namespace coppice::testing;
using internal::kernel_poll;
using internal::poll_descriptor;
using internal::poller;
using internal::scheduler;

/// The owner of a socket: counts what arrives, and says when that was all.
struct owner final : task {
  explicit owner(int expected) : left(expected) {}
  scheduler* of = nullptr;
  poll_descriptor* socket = nullptr;
  sync::atomic<int> unread{0, "unread"};
  sync::atomic<int> left;
  signpost got_all;

  void run() override {
    poller::clear_notice(*socket);
    const int n = unread.exchange(0, sync::acq_rel);
    if (n != 0 && left.fetch_sub(n, sync::acq_rel) == n) got_all.set();
  }
  void arrive(int fd) noexcept {
    unread.fetch_add(1, sync::acq_rel);
    kernel_poll::current->happen(fd, EPOLLIN);
  }
};

constexpr internal::poll_hooks hooks{
    .wake = [](void*, std::uint64_t) noexcept {},
    .notify = [](void* raw, std::uint64_t) noexcept { static_cast<owner*>(raw)->of->push(static_cast<owner*>(raw)); }};

constexpr std::int64_t period = 1'000'000;   // of the monitor thread

void pause(std::int64_t how_long) noexcept {
  sync::futex_word nobody{0};
  sync::futex_wait(nobody, 0, sync::now() + how_long);
}

/// Keeps a worker until the monitor thread looks, about.
struct long_errand final : task {
  std::int64_t duration = period - 10'000 + 1'000 * sim::random(40);
  signpost done;
  void run() override {
    pause(duration);
    done.set();
  }
};

struct crew {
  explicit crew(const internal::scheduler_options& o) : sched(o, &run_task), sockets(std::in_place, sched, hooks, false) { sched.start(); }
  void stop() { sim::check(sched.stop(sync::never), "a worker did not leave"); }
  scheduler sched;
  std::optional<poller> sockets;
};

/// What arrives at two sockets while workers come and go is all heard of, also what comes when all of them sleep.
void heard_of(unsigned workers) {
  constexpr int rounds = 5;
  owner a(2 * rounds), b(rounds);         // a late notice may come when all has been heard of
  long_errand slow[rounds];
  crew c({.workers = workers, .monitor = true, .search_rounds = 1});
  a.of = b.of = &c.sched;
  a.socket = c.sockets->open(1, {.who = &a, .serial = 1});
  b.socket = c.sockets->open(2, {.who = &b, .serial = 2});
  for (long_errand& one : slow) {
    c.sched.push(&one);
    a.arrive(1);
    b.arrive(2);
    one.done.wait();
    pause(2 * period);
    a.arrive(1);
  }
  a.got_all.wait();
  b.got_all.wait();
  c.stop();
  c.sockets->close(*a.socket);            // the owners are nobody's any more
  c.sockets->close(*b.socket);
}
void one_worker() { heard_of(1); }
void two_workers() { heard_of(2); }

const sim::scenario scenarios[] = {{"poller_one_worker", &one_worker, whole_program()}, {"poller_two_workers", &two_workers, whole_program()}};

}  // namespace
