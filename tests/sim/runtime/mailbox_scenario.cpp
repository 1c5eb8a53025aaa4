// SPDX-License-Identifier: Apache-2.0
//
// The mailbox word: claim, push, drain and release of one slot, and what a pid of a former tenant can do to the next one.
#include <coppice/otp/gen_server.hpp>

#include "process/signal.hpp"
#include "sim/runtime/world.hpp"

namespace {

using namespace coppice;
using namespace coppice::testing;
using internal::node;

// --- the word alone: whoever turned it from 0 owns the slot until it has released it ---------------------------------

struct letter {
  sync::var<int> sender;   // reported as a race unless push and drain publish it
  sync::var<int> number;
};

node* write(int sender, int number) {
  node* n = internal::allocate_node(sizeof(letter), alignof(letter));
  auto* l = ::new (detail::payload_of(*n)) letter;
  l->sender = sender;
  l->number = number;
  return n;
}

constexpr int senders = 2;
constexpr int letters = 3;

/// What the owner keeps. Two owners at once are a race.
struct reader {
  sync::var<int> last[senders + 1];

  void take(node* n) {
    auto* l = static_cast<letter*>(detail::payload_of(*n));
    sync::var<int>& before = last[l->sender.get()];
    sim::check(l->number.get() == before.get() + 1, "a message was lost, came twice or overtook one of its sender's");
    before = l->number.get();
    l->~letter();
    detail::free_node(n);
  }
};

/// The owner's turn, as in run.cpp: drain, handle, release, again if something came.
void own(slot& s, reader& r) {
  do {
    internal::drain(s);
    while (node* n = internal::pop(s)) r.take(n);
  } while (!internal::release_if_empty(s));
}

void send(slot& s, reader& r, node* n) {
  n->serial = s.serial.load(sync::relaxed);
  if (internal::push(s, n) == internal::pushed::claimed) own(s, r);
}

struct mailbox {
  reader r;
  internal::system sys{{.report_faults = false}, {.workers = 1, .monitor = false}};   // never started: nothing is scheduled
  slot& s = make_process(sys, [] {});
  mailbox() { sim::check(internal::release_if_empty(s), "a new mailbox is empty"); }
};

void two_senders() {
  mailbox m;
  start_line line(2);
  {
    const auto post = [&](int sender) {
      internal::here();
      line.pass();
      for (int i = 1; i <= letters; ++i) send(m.s, m.r, write(sender, i));
    };
    runs one([&] { post(0); });
    runs two([&] { post(1); });
  }
  sim::check(internal::claim(m.s), "the mailbox was left owned");
  for (int i = 0; i != senders; ++i) sim::check(m.r.last[i].get() == letters, "a message was lost");
}

// A direct call may run at once only where nothing waits: what the same caller sent before has been handled then.
void direct_call() {
  mailbox m;
  start_line line(2);
  {
    runs other([&] {
      internal::here();
      line.pass();
      for (int i = 1; i <= letters; ++i) send(m.s, m.r, write(1, i));
    });
    line.pass();
    for (int i = 1; i <= letters; ++i) {
      send(m.s, m.r, write(0, i));
      if (!internal::claim(m.s)) continue;
      sim::check(m.r.last[0].get() == i, "a direct call overtook a message");
      m.r.last[2] = i;
      if (!internal::release_if_empty(m.s)) own(m.s, m.r);
    }
  }
  sim::check(internal::claim(m.s), "the mailbox was left owned");
  sim::check(m.r.last[0].get() == letters && m.r.last[1].get() == letters, "a message was lost");
}

// --- the next tenant of a slot --------------------------------------------------------------------------------------

struct whom { int id; };
struct ask { using reply = int; int id; };
struct finish {};

struct tenant {
  int id = 0;
  explicit tenant(int n) : id(n) {}
  int handle_call(ask a) {
    sim::check(a.id == id, "a call ran in the next tenant of the slot");
    return id;
  }
  void handle_cast(whom w) { sim::check(w.id == id, "a message reached the next tenant of the slot"); }
  outcome<void> handle_cast(finish) { return stop(exit_reason::normal); }
};

// Somebody calls and casts by an old pid while the slot changes hands. The next tenant may get its own mail only.
void stale_pid() {
  world w;
  start_line line(2);
  const auto first = start<tenant>({}, 1);
  {
    runs stale([&] {
      w.enter();
      line.pass();
      for (int i = 0; i != 2; ++i) {
        cast(first, whom{1});
        if (const auto answer = try_call(first, ask{1}, infinity)) sim::check(*answer == 1, "an answer of somebody else");
      }
    }, "stale");
    line.pass();
    stop(first);
    const auto second = start<tenant>({}, 2);
    sim::check(call(second, ask{2}, infinity) == 2, "the next tenant answers");
    stop(second);
  }
}

const sim::scenario scenarios[] = {{"mailbox_two_senders", &two_senders, whole_program()},
                                   {"mailbox_direct_call", &direct_call, whole_program()},
                                   {"mailbox_stale_pid", &stale_pid, whole_program()}};

}  // namespace
