// SPDX-License-Identifier: Apache-2.0
//
// Aliases and reply slots: PR-47 to PR-49.
#include "spec/process/world.hpp"

#include <coppice/process/process_info.hpp>

#include "process/mailbox.hpp"

#include <thread>

using namespace coppice;
using namespace coppice::testing;

namespace {

/// Whether `a` lets a message through.
bool reaches_me(const alias_ref& a) {
  send(a, 1);
  return receive<int>(duration{0}).has_value();
}

}  // namespace

TEST_CASE("PR-47 an alias until unalias: messages reach the owner as ordinary ones until then") {
  world w;
  const alias_ref a = alias();
  CHECK(a.owner == self());
  CHECK(reaches_me(a));
  CHECK(reaches_me(a));
  in_process([=] { send(a, 5); });
  CHECK(receive<int>() == 5);
  CHECK(unalias(a));
  CHECK_FALSE(unalias(a));
  CHECK_FALSE(reaches_me(a));
}

TEST_CASE("PR-47 an alias for one message") {
  world w;
  const alias_ref a = alias(alias_mode::once);
  CHECK(reaches_me(a));
  CHECK_FALSE(reaches_me(a));
  CHECK_FALSE(unalias(a));
  CHECK(alias(alias_mode::once) != a);
}

TEST_CASE("PR-47 an alias with a monitor lives until that fires, is removed, or unalias") {
  world w;
  const pid p = spawn(wait_for_go), q = spawn(idle);
  const alias_ref a = monitor_with_alias(p), b = monitor_with_alias(q), c = monitor_with_alias(q), d = monitor_with_alias(q, alias_mode::once);
  for (const alias_ref& x : {a, b, c}) {
    CHECK(reaches_me(x));
    CHECK(reaches_me(x));
  }
  CHECK(reaches_me(d));
  CHECK_FALSE(reaches_me(d));
  send(p, go{});
  CHECK(reason_of(a.ref) == exit_reason::normal);
  CHECK_FALSE(reaches_me(a));
  CHECK(demonitor(b.ref));
  CHECK_FALSE(reaches_me(b));
  CHECK(unalias(c));
  CHECK_FALSE(reaches_me(c));
  exit(q, exit_reason::kill);
  CHECK(reason_of(c.ref) == exit_reason::killed);   // the monitor itself is still there
  CHECK(reason_of(d.ref) == exit_reason::killed);
}

TEST_CASE("PR-48 a message to an inactive alias vanishes silently and is destroyed") {
  world w;
  int destroyed = 0;
  const alias_ref a = alias();
  unalias(a);
  CHECK_NOTHROW(send(a, counted(destroyed)));
  CHECK(flush() == 0);
  CHECK(destroyed == 1);
  alias_ref of_dead;
  in_process([&] { of_dead = alias(); });
  CHECK_NOTHROW(send(of_dead, counted(destroyed)));
  CHECK(destroyed == 2);
  CHECK_NOTHROW(send(alias_ref{}, counted(destroyed)));
  CHECK(destroyed == 3);
  // Nobody else can end or use it up.
  const alias_ref mine = alias();
  in_process([=] { CHECK_FALSE(unalias(mine)); });
  CHECK(reaches_me(mine));
}

TEST_CASE("PR-49 reply, death and timeout compete for one reply slot: exactly one of them wins") {
  world w;
  using namespace coppice::internal;
  for (int i = 0; i < rounds(3'000, 300'000); ++i) {
    detail::slot& me = proxy_of(here());
    int place = 0;
    std::uint64_t serial = 0;
    detail::reply_slot* r = take_reply_slot(me, begin_wait(me), &place, serial);
    std::atomic<int> winners{0}, started{0};
    const auto together = [&] {
      ++started;
      while (started < 3) std::this_thread::yield();
    };
    std::thread reply([&] {
      together();
      if (void* to = detail::claim_reply(r, serial)) {
        *static_cast<int*>(to) = 7;
        ++winners;
        detail::publish_reply(r, serial);
      }
    });
    std::thread death([&] {
      together();
      detail::fail_reply(r, serial, exit_reason::killed);
    });
    together();
    const bool timed_out = i % 2 != 0 && abandon(*r, serial);
    reply.join();
    death.join();
    if (timed_out) {
      CHECK(winners == 0);
      CHECK(place == 0);
      continue;
    }
    REQUIRE(phase_of(*r, serial) == reply_phase::done);
    CHECK(r->failed == (winners == 0));
    CHECK(place == (winners == 1 ? 7 : 0));
    close_reply(*r, serial);
    // Late ones find nothing.
    CHECK(detail::claim_reply(r, serial) == nullptr);
    CHECK(phase_of(*r, serial) == reply_phase::gone);
  }
}

TEST_CASE("PR-48 a message to an alias that a process never had leaves nothing behind in it") {
  world w;
  in_process([] {
    const pid stranger = spawn([me = self()] { monitor(me); receive<ready>(); });
    while (process_info(stranger)->monitors.empty()) yield();      // it has begun: what it needs is there
    const std::size_t before = process_info(stranger)->memory_bytes;
    send(alias_ref{stranger, reference::make()}, 1);
    CHECK(process_info(stranger)->memory_bytes == before);
    send(stranger, ready{});
  });
}
