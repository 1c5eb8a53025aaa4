// SPDX-License-Identifier: Apache-2.0
//
// Links: PR-30 to PR-35, OL-49.
#include "spec/process/world.hpp"

#include <coppice/process/process_info.hpp>

#include <atomic>

using namespace coppice;
using namespace coppice::testing;

namespace {

/// Ends with `reason` when it is told to.
auto ends(exit_reason why) {
  return [why] {
    wait_for_go();
    exit(why);
  };
}

int exits_waiting() {
  int n = 0;
  while (receive<exit_signal>(duration{0})) ++n;
  return n;
}

}  // namespace

TEST_CASE("PR-30 OL-49 linking twice is one link and one EXIT; one unlink removes it") {
  reports quiet;
  world w;
  in_process([] {
    const pid p = spawn_link(ends(exit_reason("x")));
    link(p);
    link(p);
    CHECK(process_info(self())->links == std::vector<pid>{p});
    CHECK(process_info(p)->links == std::vector<pid>{self()});
    const reference end = monitor(p);            // before its end: it fires behind the links
    send(p, go{});
    CHECK(reason_of(end) == exit_reason("x"));
    CHECK(exits_waiting() == 1);

    const pid q = spawn(ends(exit_reason("x")));
    link(q);
    link(q);
    unlink(q);
    CHECK(process_info(self())->links.empty());
    CHECK(process_info(q)->links.empty());
    send(q, go{});
    await_end(q);
    CHECK(exits_waiting() == 0);
  }, {.trap_exit = true});
}

TEST_CASE("PR-30 a link works both ways, whoever made it") {
  reports quiet;
  world w;
  for (const bool maker_ends : {true, false}) {
    const pid test = self();
    const monitored a = spawn_monitor([=] {
      link(receive<pid>());
      send(test, ready{});
      wait_for_go();
      exit(exit_reason("a"));
    });
    const monitored b = spawn_monitor(ends(exit_reason("b")));
    send(a.who, b.who);
    await_ready();
    send(maker_ends ? a.who : b.who, go{});
    const exit_reason why(maker_ends ? "a" : "b");
    CHECK(reason_of(a.ref) == why);
    CHECK(reason_of(b.ref) == why);
  }
}

TEST_CASE("PR-30 PR-35 two that link each other at the same time have one link: one EXIT, and one unlink removes it") {
  reports quiet;
  world w;
  for (int i = 0; i < rounds(200, 20'000); ++i) {
    const pid test = self();
    const auto body = [test] {
      const pid other = receive<pid>();
      link(other);
      send(test, ready{});
      wait_for_go();
      if (receive<int>() != 0) unlink(other);
      send(test, ready{});
      wait_for_go();
      send(test, exits_waiting());
    };
    const bool unlinks = i % 2 != 0;
    const monitored a = spawn_monitor(body, {.trap_exit = true}), b = spawn_monitor(body, {.trap_exit = true});
    send(a.who, b.who);
    send(b.who, a.who);
    await_ready();
    await_ready();
    CHECK(process_info(a.who)->links == std::vector<pid>{b.who});
    CHECK(process_info(b.who)->links == std::vector<pid>{a.who});
    for (const pid p : {a.who, b.who}) {
      send(p, p == a.who ? int{unlinks} : 0);
      send(p, go{});
    }
    await_ready();
    await_ready();
    if (unlinks) {
      CHECK(process_info(a.who)->links.empty());
      CHECK(process_info(b.who)->links.empty());
    }
    exit(b.who, exit_reason::kill);
    CHECK(reason_of(b.ref) == exit_reason::killed);
    send(a.who, go{});
    CHECK(receive<int>() == (unlinks ? 0 : 1));
    CHECK(reason_of(a.ref) == exit_reason::normal);
  }
}

TEST_CASE("PR-31 a death goes on over all links, transitively, until a trapper or a normal") {
  reports quiet;
  world w;
  const pid test = self();
  struct met { pid from; exit_reason why; };
  std::vector<monitored> chain;
  // 0 - 1 - … - 9, where 9 traps and is linked to 10, which lives on.
  for (int i = 0; i <= 10; ++i) {
    const pid before = chain.empty() ? pid{} : chain.back().who;
    chain.push_back(spawn_monitor([=] {
      if (before) link(before);
      send(test, ready{});
      for (;;) receive([&](exit_signal e) { send(test, met{e.who, e.reason}); }, [](go) { exit(exit_reason("first")); });
    }, {.trap_exit = i == 9}));
    await_ready();
  }
  send(chain[0].who, go{});
  for (std::size_t i = 0; i < 9; ++i) CHECK(reason_of(chain[i].ref) == exit_reason("first"));
  const met m = receive<met>();
  CHECK(m.from == chain[8].who);
  CHECK(m.why == exit_reason("first"));
  CHECK(alive(chain[9].who));
  CHECK(alive(chain[10].who));
  exit(chain[9].who, exit_reason::kill);           // no stop would end it by shutdown
}

TEST_CASE("PR-31 a process with many links tells all of them, a long chain unwinds whole") {
  world w;
  const int many = rounds(2'000, 100'000);
  const pid test = self();
  const pid hub = spawn([=] {
    send(test, ready{});
    idle();
  });
  await_ready();
  std::vector<monitored> spokes;
  for (int i = 0; i < many; ++i) {
    spokes.push_back(spawn_monitor([=] {
      link(hub);
      send(test, ready{});
      idle();
    }));
    await_ready();
  }
  exit(hub, exit_reason::shutdown);
  for (const monitored& m : spokes) CHECK(reason_of(m.ref) == exit_reason::shutdown);

  pid first, last;
  for (int i = 0; i < many; ++i) {
    last = spawn([=] {
      if (i != 0) link(last);
      send(test, ready{});
      idle();
    });
    await_ready();
    if (i == 0) first = last;
  }
  const reference end = monitor(last);
  exit(first, exit_reason::shutdown);
  CHECK(reason_of(end) == exit_reason::shutdown);
}

TEST_CASE("PR-32 OL-49 link to a dead pid: an EXIT message with noproc when trapping, else an exception that may be caught") {
  reports quiet;
  world w;
  const pid dead = spawn([] {});
  await_end(dead);
  in_process([=] {
    link(dead);
    const exit_signal e = receive<exit_signal>();
    CHECK(e.who == dead);
    CHECK(e.reason == exit_reason::noproc);
    CHECK(process_info(self())->links.empty());
  }, {.trap_exit = true});
  in_process([=] {
    bool caught = false;
    try {
      link(dead);
    } catch (const exit_error& e) {
      caught = true;
      CHECK(e.reason().is(exit_reason::noproc));
    }
    CHECK(caught);
    CHECK_THROWS_AS(link(pid{}), exit_error);
  });
  CHECK(run([=] { link(dead); }).is(exit_reason::noproc));
}

TEST_CASE("PR-33 after unlink returns no EXIT of that link is added; one that had arrived stays") {
  world w;
  in_process([] {
    for (int i = 0; i < rounds(500, 50'000); ++i) {
      const pid p = spawn_link([] {});           // may end before, during or after the unlink
      unlink(p);
      const int before = exits_waiting();
      CHECK(before <= 1);
      await_end(p);
      CHECK(exits_waiting() == 0);
    }
    const pid q = spawn_link(ends(exit_reason::shutdown));
    send(q, go{});
    while (process_info(self())->queue_length == 0) yield();
    unlink(q);
    CHECK(exits_waiting() == 1);                 // it stays
  }, {.trap_exit = true});
}

TEST_CASE("PR-33 unlink_and_flush removes an EXIT that had arrived, and only that one") {
  world w;
  in_process([] {
    const pid a = spawn_link([] {}), b = spawn_link([] {});
    const auto count = [] { return process_info(self())->queue_length; };
    send(self(), 1);
    while (count() != 3) yield();
    CHECK(unlink_and_flush(a));
    CHECK(count() == 2);
    const exit_signal e = receive<exit_signal>();
    CHECK(e.who == b);
    CHECK(receive<int>() == 1);
    CHECK_FALSE(unlink_and_flush(b));
    const pid c = spawn_link(idle);
    CHECK_FALSE(unlink_and_flush(c));
    exit(c, exit_reason::kill);
    await_end(c);
    CHECK(exits_waiting() == 0);
  }, {.trap_exit = true});
}

TEST_CASE("PR-34 unlink of something not linked does nothing; link(self()) does nothing and succeeds") {
  world w;
  in_process([] {
    const pid p = spawn(idle);
    CHECK_NOTHROW(unlink(p));
    CHECK_NOTHROW(unlink(self()));
    CHECK_NOTHROW(unlink(pid{}));
    CHECK_NOTHROW(link(self()));
    CHECK(process_info(self())->links.empty());
    CHECK(alive(p));
  });
}

TEST_CASE("PR-35 a link that is made anew after an unlink counts as any other") {
  world w;
  in_process([] {
    const pid p = spawn_link(idle);
    for (int i = 0; i < 100; ++i) {
      unlink(p);
      link(p);
    }
    CHECK(process_info(p)->links == std::vector<pid>{self()});
    CHECK(process_info(self())->links == std::vector<pid>{p});
    exit(p, exit_reason::kill);
    await_end(p);
    CHECK(receive<exit_signal>().reason == exit_reason::killed);
    CHECK(exits_waiting() == 0);
  }, {.trap_exit = true});
}

TEST_CASE("OL-49 spawn_link links before the function starts; after unlink no later exit of that process has effect") {
  world w;
  in_process([] {
    const pid me = self();
    const pid child = spawn_link([me] { send(me, process_info(self())->links); });
    CHECK(receive<std::vector<pid>>() == std::vector<pid>{me});
    await_end(child);
    const pid other = spawn_link(idle);
    unlink(other);
    exit(other, exit_reason("later"));
    await_end(other);                            // we do not trap, and live
  });
}
