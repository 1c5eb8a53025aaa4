// SPDX-License-Identifier: Apache-2.0
//
// Monitors: PR-40 to PR-45, OL-50, OL-51.
#include "spec/process/world.hpp"

#include <coppice/process/process_info.hpp>

using namespace coppice;
using namespace coppice::testing;

TEST_CASE("PR-40 DOWN with reference, who and reason, exactly once, then the monitor is gone") {
  reports quiet;
  world w;
  const exit_reason reasons[] = {exit_reason::normal, exit_reason::shutdown, exit_reason("broken"), exit_reason::kill};
  for (const exit_reason& why : reasons) {
    const pid p = spawn([why] {
      wait_for_go();
      exit(why);
    });
    const reference ref = monitor(p);
    send(p, go{});
    const down d = receive<down>();
    CHECK(d.ref == ref);
    CHECK(d.who == p);
    CHECK(d.reason == why);
    CHECK(d.name.empty());
    CHECK_FALSE(demonitor(ref));
    CHECK(flush() == 0);
  }
}

TEST_CASE("PR-40 the watched process notices nothing, and the watcher's end takes its monitors along") {
  world w;
  const pid p = spawn(idle);
  const pid watcher = spawn([=] {
    monitor(p);
    wait_for_go();
  });
  CHECK(eventually([&] { return process_info(p)->monitored_by == std::vector<pid>{watcher}; }));
  CHECK(process_info(p)->queue_length == 0);
  CHECK(process_info(p)->links.empty());
  CHECK(process_info(watcher)->monitors == std::vector<pid>{p});
  send(watcher, go{});
  await_end(watcher);
  CHECK(eventually([&] { return process_info(p)->monitored_by.empty(); }));
  CHECK(alive(p));
}

TEST_CASE("PR-41 OL-50 n monitors on the same target: n references, n DOWNs") {
  world w;
  const pid p = spawn(wait_for_go);
  std::vector<reference> refs;
  for (int i = 0; i < 20; ++i) refs.push_back(monitor(p));
  send(p, go{});
  for (const reference r : refs) CHECK(reason_of(r) == exit_reason::normal);
  CHECK(flush() == 0);
  for (std::size_t i = 0; i < refs.size(); ++i)
    for (std::size_t k = 0; k < i; ++k) CHECK(refs[i] != refs[k]);
}

TEST_CASE("PR-42 OL-50 a target that is dead or never was: DOWN with noproc, no error") {
  world w;
  const pid dead = spawn([] {});
  await_end(dead);
  for (const pid p : {dead, pid{}}) {
    reference ref;
    CHECK_NOTHROW(ref = monitor(p));
    const down d = receive<down>();
    CHECK(d.ref == ref);
    CHECK(d.who == p);
    CHECK(d.reason == exit_reason::noproc);
  }
  in_process([=] {
    const reference ref = monitor(dead);
    CHECK(reason_of(ref) == exit_reason::noproc);
  });
}

TEST_CASE("PR-43 OL-50 by name: resolved at the call; DOWN carries the name; a later holder is irrelevant") {
  world w;
  const pid p = spawn(wait_for_go, {.name = "ledger"});
  const reference ref = monitor("ledger");
  unregister_name("ledger");
  const pid heir = spawn(idle, {.name = "ledger"});
  send(p, go{});
  const down d = receive<down>();
  CHECK(d.ref == ref);
  CHECK(d.who == p);
  CHECK(d.name == "ledger");
  CHECK(d.reason == exit_reason::normal);
  exit(heir, exit_reason::kill);
  await_end(heir);
  CHECK(flush() == 0);

  const reference unknown = monitor("nobody");
  const down n = receive<down>();
  CHECK(n.ref == unknown);
  CHECK(n.name == "nobody");
  CHECK(n.reason == exit_reason::noproc);
}

TEST_CASE("PR-44 OL-51 demonitor: no DOWN arrives after it returns; the result tells whether it was active") {
  world w;
  const pid p = spawn(wait_for_go);
  const reference ref = monitor(p), other = monitor(p);
  CHECK(demonitor(ref));
  CHECK_FALSE(demonitor(ref));
  CHECK(eventually([&] { return process_info(p)->monitored_by.size() == 1; }));
  send(p, go{});
  CHECK(reason_of(other) == exit_reason::normal);
  CHECK(flush() == 0);
  for (int i = 0; i < rounds(500, 50'000); ++i) {
    const monitored m = spawn_monitor([] {});    // may end before, during or after the demonitor
    const bool active = demonitor(m.ref);
    const bool waiting = receive<down>(duration{0}).has_value();
    CHECK(active != waiting);
    await_end(m.who);
    CHECK(flush() == 0);
  }
}

TEST_CASE("PR-44 OL-51 after demonitor_and_flush no DOWN remains, whether or not it had arrived") {
  world w;
  for (int i = 0; i < rounds(500, 50'000); ++i) {
    const monitored m = spawn_monitor([] {});
    const reference other = monitor(m.who);
    demonitor_and_flush(m.ref);
    static_cast<void>(reason_of(other));
    CHECK(flush() == 0);
  }
  in_process([] {
    const monitored m = spawn_monitor([] {});
    while (process_info(self())->queue_length == 0) yield();  // who is dead may still have to say so
    send(self(), 1);
    CHECK_FALSE(demonitor_and_flush(m.ref));
    CHECK(flush() == 1);
  });
}

TEST_CASE("PR-45 OL-50 monitoring oneself yields a reference that never fires") {
  world w;
  CHECK(static_cast<bool>(monitor(self())));
  CHECK(flush() == 0);
  in_process([] {
    const reference a = monitor(self()), b = monitor(self());
    CHECK(a);
    CHECK(a != b);
    CHECK(process_info(self())->monitors.empty());
    CHECK(process_info(self())->monitored_by.size() == 1);   // the test
    CHECK(process_info(self())->queue_length == 0);
  });
}

TEST_CASE("OL-51 demonitor of a foreign reference, or of one that never was, has no effect") {
  world w;
  const pid p = spawn(wait_for_go);
  const reference mine = monitor(p);
  in_process([=] { CHECK_FALSE(demonitor(mine)); });
  CHECK_FALSE(demonitor(reference::make()));
  CHECK_FALSE(demonitor(reference{}));
  send(p, go{});
  CHECK(reason_of(mine) == exit_reason::normal);
}
