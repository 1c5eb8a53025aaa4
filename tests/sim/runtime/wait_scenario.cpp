// SPDX-License-Identifier: Apache-2.0
//
// The wait word: leaving a stack, committing that, and being woken, by one or several at once. The process begins on the
// scenario's own thread, which so makes the commit; a worker goes on with it.
#include "process/signal.hpp"
#include "sim/runtime/world.hpp"

namespace {

using namespace coppice;
using namespace coppice::testing;
using internal::wait_state;

/// Something to wait for with wait_until: made ready by a store that the wake follows.
struct event {
  sync::atomic<int> happened{0, "event"};
  sync::atomic<int> asked{0};

  static bool ready(void* self) {
    auto& e = *static_cast<event*>(self);
    e.asked.store(e.asked.load(sync::relaxed) + 1, sync::relaxed);
    return e.happened.load(sync::seq_cst) != 0;
  }
};

/// A wait that its process tells others of.
struct announced_wait {
  sync::atomic<std::uint64_t> number{0, "announced wait"};
  event what;
  signpost begun;

  bool pass(wait_state how, std::int64_t timeout = sync::never) {
    slot& me = *detail::current_slot();
    const std::uint64_t mine = internal::begin_wait(me);
    number.store(mine, sync::release);
    begun.set();
    return internal::wait_until(me, mine, how, timeout, &event::ready, &what);
  }
  void end(slot& waiter) {
    begun.wait();                              // and no sooner: what is raced for lies between here and the commit
    what.happened.store(1, sync::seq_cst);
    internal::wake(waiter, number.load(sync::acquire));
  }
};

/// Part of a process's state: says when that is gone.
class to_the_end {
 public:
  explicit to_the_end(signpost& over) : over_(&over) {}
  to_the_end(to_the_end&& other) noexcept : over_(std::exchange(other.over_, nullptr)) {}
  ~to_the_end() {
    if (over_ != nullptr) over_->set();
  }

 private:
  signpost* over_;
};

// One wait, one waker.
void commit_against_wake() {
  world w;
  start_line line(2);
  announced_wait wait;
  signpost over;
  slot& s = make_process(w.system(), [&, mark = to_the_end(over)] {
    sim::check(wait.pass(wait_state::signals), "a wait without a limit ends with what it waited for");
  });
  runs waker([&] {
    w.enter();
    line.pass();
    wait.end(s);
  }, "waker");
  line.pass();
  internal::run_owned(s);
  over.wait();
  waker.join();
}

// Two wakers of different kinds: of those who end the wait, one puts the process on a queue.
void wake_against_signal() {
  world w;
  start_line line(3);
  announced_wait wait;
  signpost over;
  slot& s = make_process(w.system(), [&, mark = to_the_end(over)] {
    sim::check(wait.pass(wait_state::signals), "a wait without a limit ends with what it waited for");
    sim::check(wait.what.asked.load(sync::relaxed) <= 4, "somebody woke the process who need not");
  });
  const pid who = detail::pid_of(s);
  runs waker([&] {
    w.enter();
    line.pass();
    wait.end(s);
  }, "waker");
  runs sender([&] {
    w.enter();
    line.pass();
    wait.begun.wait();
    internal::send_exit(who, pid{}, exit_reason::normal);   // ignored, but taken in
  }, "sender");
  line.pass();
  internal::run_owned(s);
  over.wait();
  waker.join();
  sender.join();
}

// A signal must reach a process that waits for something else, whenever it comes.
void signal_against_commit() {
  world w;
  start_line line(2);
  signpost over;
  announced_wait wait;
  slot& s = make_process(w.system(), [&, mark = to_the_end(over)] {
    wait.pass(wait_state::signals);
    sim::check(false, "a killed process goes on");
  });
  const pid who = detail::pid_of(s);
  runs killer([&] {
    w.enter();
    line.pass();
    if (sim::random(4) != 0) wait.begun.wait();
    send(who, 1);                                           // of no interest to it
    internal::send_exit(who, pid{}, exit_reason::kill);
  }, "killer");
  line.pass();
  internal::run_owned(s);
  over.wait();
  killer.join();
}

// Messages of two senders against a receive: none is lost, the process sleeps through none.
void receive_against_push() {
  world w;
  start_line line(3);
  signpost over;
  slot& s = make_process(w.system(), [&, mark = to_the_end(over)] {
    int sum = 0;
    while (sum != 4) sum += receive<int>();
  });
  const pid who = detail::pid_of(s);
  const auto post = [&](int n) {
    w.enter();
    line.pass();
    for (int i = 0; i != 2; ++i) send(who, n);
  };
  runs one([&] { post(1); });
  runs two([&] { post(1); });
  line.pass();
  internal::run_owned(s);
  over.wait();
}

// A limit against a wake: the wait says truly what ended it, and what comes too late does not end the next one.
void timeout_against_wake() {
  world w;
  start_line line(2);
  announced_wait first, second;
  signpost over;
  slot& s = make_process(w.system(), [&, mark = to_the_end(over)] {
    const std::int64_t begin = sync::now();
    const std::int64_t limit = 500;
    if (!first.pass(wait_state::signals, limit)) {
      sim::check(sync::now() - begin >= limit, "a wait was over too early");
    }
    sim::check(second.pass(wait_state::signals), "a wait without a limit ends with what it waited for");
    sim::check(second.what.asked.load(sync::relaxed) <= 2, "a waker of one wait ended the next one");
  });
  runs waker([&] {
    w.enter();
    line.pass();
    if (sim::random(2) == 0) second.begun.wait();          // then the first one has run into its limit
    first.end(s);
    second.end(s);
  }, "waker");
  line.pass();
  internal::run_owned(s);
  over.wait();
  waker.join();
}

// A plain thread waits as a process does; its stack stays where it is.
void thread_waits() {
  world w;
  start_line line(3);
  const pid me = self();
  const auto post = [&] {
    w.enter();
    line.pass();
    for (int i = 0; i != 2; ++i) send(me, 1);
  };
  runs one(post, "one");
  runs two(post, "two");
  line.pass();
  int sum = 0;
  while (sum != 4) sum += receive<int>();
}

// A thread that ends as soon as it was woken: whoever woke it touches nothing of it any more but an address.
void thread_leaves() {
  world w;
  constexpr int waiters = 4;
  start_line line(waiters + 1);
  pid who[waiters];
  const auto wait = [&](int i) {
    w.enter();
    who[i] = self();
    line.pass();
    receive<int>();
  };
  runs a([&] { wait(0); });
  runs b([&] { wait(1); });
  runs c([&] { wait(2); });
  runs d([&] { wait(3); });
  line.pass();
  for (const pid p : who) send(p, 1);
}

const sim::scenario scenarios[] = {{"wait_commit_against_wake", &commit_against_wake, whole_program()},
                                   {"wait_wake_against_signal", &wake_against_signal, whole_program()},
                                   {"wait_signal_against_commit", &signal_against_commit, whole_program()},
                                   {"wait_receive_against_push", &receive_against_push, whole_program()},
                                   {"wait_timeout_against_wake", &timeout_against_wake, whole_program()},
                                   {"wait_thread_waits", &thread_waits, whole_program()},
                                   {"wait_thread_leaves", &thread_leaves, whole_program()}};

}  // namespace
