// SPDX-License-Identifier: Apache-2.0
//
// Reply slots: an answer, a death and a time limit want the same slot, exactly one gets it, and what comes too late does not
// land in the next call, which uses the same slot again.
#include <coppice/otp/gen_server.hpp>

#include "otp/gen_core.hpp"
#include "sim/runtime/world.hpp"

namespace {

using namespace coppice;
using namespace coppice::testing;
using detail::call_record;
using detail::call_status;

/// A call of the scenario's own thread, as others see it.
struct open_call {
  call_record record;
  sync::var<int> answer;
  sync::atomic<int> won{0, "claims won"};
  signpost opened;

  void open(duration timeout) {
    record.place = &answer;
    record.timeout = timeout;
    internal::open_reply(record, detail::here(), internal::begin_wait(detail::here()));
    opened.set();
  }
  void reply(int value) {
    opened.wait();
    const auto serial = record.reply_serial;
    detail::reply_slot* slot = record.reply;
    void* place = detail::claim_reply(slot, serial);
    if (place == nullptr) return;
    won.fetch_add(1, sync::relaxed);
    *static_cast<sync::var<int>*>(place) = value;
    detail::publish_reply(slot, serial);
  }
  void die() {
    opened.wait();
    detail::fail_reply(record.reply, record.reply_serial, exit_reason::killed);
  }
  void check(int value, bool may_time_out) {
    switch (record.status) {
      case call_status::replied:
        sim::check(answer.get() == value, "the reply of another call");
        return;
      case call_status::ended:
        sim::check(record.reason.is(exit_reason::killed), "another call's reason");
        return;
      default: sim::check(may_time_out && record.status == call_status::timed_out, "a call ended in no way it can");
    }
    sim::check(won.load(sync::relaxed) == 0, "a reply was claimed, and given up by the waiter");
  }
};

// Two answers, a death: one of the three, no limit.
void reply_against_death() {
  world w;
  start_line line(3);
  open_call c;
  const auto answer = [&] {
    w.enter();
    line.pass();
    c.reply(7);
  };
  runs one(answer);
  runs two([&] {
    w.enter();
    line.pass();
    if (sim::random(2) == 0) c.reply(7);
    else c.die();
  });
  detail::here();
  line.pass();
  c.open(infinity);
  internal::await_reply(c.record);
  c.check(7, false);
  one.join();
  two.join();
  sim::check(c.won.load(sync::relaxed) <= 1, "two answers to one call");
}

// The waiter is woken for a signal that is none of the call's business, and goes to wait again while the answer comes.
void reply_or_signal() {
  world w;
  start_line line(3);
  open_call c;
  const pid waiter = detail::pid_of(detail::here());
  runs one([&] {
    w.enter();
    line.pass();
    c.reply(7);
  });
  runs two([&] {
    w.enter();
    line.pass();
    c.opened.wait();
    demonitor(monitor(waiter));
  });
  line.pass();
  c.open(infinity);
  internal::await_reply(c.record);
  c.check(7, false);
  one.join();
  two.join();
}

// A limit, and the next call in the same slot.
void reply_against_timeout() {
  world w;
  start_line line(3);
  open_call first, second;
  runs one([&] {
    w.enter();
    line.pass();
    first.reply(1);
  });
  runs two([&] {
    w.enter();
    line.pass();
    second.reply(2);
  });
  detail::here();
  line.pass();
  first.open(duration(100 * sim::random(8)));
  internal::await_reply(first.record);
  first.check(1, true);
  second.open(infinity);
  sim::check(second.record.reply == first.record.reply, "the scenario wants the same slot again");
  internal::await_reply(second.record);
  second.check(2, false);
  one.join();
  two.join();
}

// --- the same through a server: it answers late, or dies over it -----------------------------------------------------

struct question { using reply = int; int number; };
struct answer_now {};
struct answer_late {
  std::optional<from<int>> kept{};
  int number = 0;

  void handle_call(question q, from<int> f) {
    kept.emplace(std::move(f));
    number = q.number;
  }
  void handle_cast(answer_now) {
    if (kept) std::move(*kept).reply(number);
    kept.reset();
  }
};

void late_answers() {
  world w;
  start_line line(2);
  const auto server = start<answer_late>();
  const reference ref = monitor(server.id());
  runs prompter([&] {
    w.enter();
    line.pass();
    for (int i = 0; i != 2; ++i) cast(server, answer_now{});
    exit(server.id(), exit_reason::kill);
  }, "prompter");
  line.pass();
  for (int i = 1; i <= 3; ++i) {
    const auto answer = try_call(server, question{i}, i == 2 ? infinity : duration(400));
    if (answer) sim::check(*answer == i, "the reply of another call");
  }
  prompter.join();
  await_end(ref);
  sim::check(flush() == 0, "a late reply is in the mailbox");
}

const sim::scenario scenarios[] = {{"reply_against_death", &reply_against_death, whole_program()},
                                   {"reply_or_signal", &reply_or_signal, whole_program()},
                                   {"reply_against_timeout", &reply_against_timeout, whole_program()},
                                   {"reply_late_answers", &late_answers, whole_program()}};

}  // namespace
