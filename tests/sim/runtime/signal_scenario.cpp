// SPDX-License-Identifier: Apache-2.0
//
// Links, monitors and exits that cross each other on their way.
#include "sim/runtime/world.hpp"

namespace {

using namespace coppice;
using namespace coppice::testing;

struct go {};
struct peer { pid who; };

/// A process that waits for the word and then does `act`; so it has its fiber before the race begins.
template <class F>
pid at_the_word(F act, const spawn_options& o = {}) {
  return spawn([act = std::move(act)] {
    receive<go>();
    act();
  }, o);
}

bool is_linked(pid to) {
  internal::drain(detail::here());
  const detail::extension* e = detail::here().ext;
  if (e == nullptr) return false;
  for (const auto& l : e->links)
    if (l.who == to) return true;
  return false;
}

// Two linked processes end at once: each is heard of once.
void both_die() {
  world w({.workers = 2});
  const auto body = [](int own) {
    return [own] {
      const pid other = receive<peer>().who;
      if (other && own == 1) {
        try {
          link(other);
        } catch (const exit_error&) {
        }
      }
      exit(exit_reason(exit_reason::with_text(exit_reason::custom, "own")));
    };
  };
  const pid a = spawn(body(1)), b = spawn(body(2));
  const reference on_a = monitor(a), on_b = monitor(b);
  send(a, peer{b});
  send(b, peer{a});
  int downs = 0;
  bool seen_a = false, seen_b = false;
  while (downs++ != 2)
    receive([&](down d) {
      bool& seen = d.ref == on_a ? seen_a : seen_b;
      sim::check(d.ref == on_a || d.ref == on_b, "a DOWN for a monitor that is not");
      sim::check(!seen, "two DOWNs of one monitor");
      seen = true;
    });
  sim::check(flush() == 0, "more than one message of each death");
}

// A process that traps exits takes its link back while the other one dies: no EXIT after unlink_and_flush, one DOWN.
void unlink_against_exit() {
  world w({.workers = 2});
  start_line line(2);
  signpost over;
  const pid b = spawn([] { receive<go>(); });
  const pid a = spawn([&, b] {
    try {
      link(b);
    } catch (const exit_error&) {
    }
    const reference ref = monitor(b);
    line.pass();
    unlink_and_flush(b);
    await_end(ref);                                  // behind the EXIT, if there is one
    sim::check(flush() == 0, "an EXIT after unlink_and_flush");
    over.set();
  }, {.trap_exit = true});
  line.pass();
  send(b, go{});
  over.wait();
  await_end(a);
  await_end(b);
}

// Both link to each other at once, one unlinks: in the end both know of a link or neither does.
void link_both_ways() {
  world w({.workers = 2});
  signpost over;
  sync::atomic<int> links{0, "links"};
  const auto body = [&](bool unlinks) {
    return [&, unlinks] {
      const pid other = receive<peer>().who;
      link(other);
      if (unlinks) unlink(other);
      send(other, go{});
      receive<go>();                                  // all signals of the other one are here
      send(other, go{});
      receive<go>();                                  // and ours there
      if (is_linked(other)) links.fetch_add(1, sync::relaxed);
      send(other, go{});
      receive<go>();                                  // nobody ends before both have looked
    };
  };
  const pid a = spawn(body(true)), b = spawn(body(false));
  const reference on_a = monitor(a), on_b = monitor(b);
  send(a, peer{b});
  send(b, peer{a});
  for (int i = 0; i != 2; ++i) receive([&](down d) { sim::check(d.ref == on_a || d.ref == on_b, "a DOWN for a monitor that is not"); });
  sim::check(links.load(sync::relaxed) != 1, "one knows of a link, the other one does not");
}

// A monitor is taken back while the watched one dies: at most one DOWN, and none after demonitor_and_flush.
void demonitor_against_death() {
  world w({.workers = 2});
  const pid b = spawn([] { receive<go>(); });
  const reference first = monitor(b);
  const reference second = monitor(b);
  send(b, go{});
  if (sim::random(2) == 0) {
    demonitor_and_flush(first);
  } else if (!demonitor(first)) {
    await_end(first);                                // had fired: its DOWN was there
  }
  await_end(second);
  sim::check(flush() == 0, "a DOWN of a monitor that was taken back");
  await_end(b);                             // noproc
}

// Whoever has heard of a death finds no name of the dead.
void names_before_down() {
  world w({.workers = 2});
  const pid b = spawn([] { receive<go>(); }, {.name = "b"});
  const reference ref = monitor(b);
  if (sim::random(2) == 0)
    send(b, go{});
  else
    exit(b, exit_reason::kill);
  await_end(ref);
  sim::check(!whereis("b"), "a name outlives the DOWN of its holder");
  const pid next = spawn([] {}, {.name = "b"});
  await_end(next);
}

// Three kill one: it dies once, with the reason of one of them.
void many_exits() {
  world w;
  start_line line(3);
  const pid b = spawn([] { receive<go>(); });
  const reference ref = monitor(b);
  const auto kill = [&](exit_reason why) {
    return [&, why] {
      w.enter();
      line.pass();
      exit(b, why);
    };
  };
  runs one(kill(exit_reason::kill), "killer");
  runs two(kill(exit_reason::shutdown), "stopper");
  line.pass();
  exit(b, exit_reason::kill);
  const exit_reason why = await_down(ref);
  sim::check(why.is(exit_reason::killed) || why.is(exit_reason::shutdown), "it died of something else");
  one.join();
  two.join();
  sim::check(flush() == 0, "two DOWNs of one monitor");
}

const sim::scenario scenarios[] = {{"signal_both_die", &both_die, whole_program()},
                                   {"signal_unlink_against_exit", &unlink_against_exit, whole_program()},
                                   {"signal_link_both_ways", &link_both_ways, whole_program()},
                                   {"signal_demonitor_against_death", &demonitor_against_death, whole_program()},
                                   {"signal_names_before_down", &names_before_down, whole_program()},
                                   {"signal_many_exits", &many_exits, whole_program()}};

}  // namespace
