// SPDX-License-Identifier: Apache-2.0
//
// Hibernation, seen from outside: it gives back what a process needed once. Each of these has been linked to many processes; the
// room for the links stays until it hibernates.
#include <doctest/doctest.h>

#include <coppice/otp/gen_event.hpp>
#include <coppice/otp/gen_statem.hpp>
#include <coppice/otp/sys.hpp>
#include <coppice/process/process_info.hpp>

#include <algorithm>
#include <vector>

#include "spec/otp/own_world.hpp"

using namespace coppice;
using namespace coppice::testing;

namespace {

struct bell {};
struct meet_many {};
struct rest {};
struct go_to_bed {};
struct are_you_there { using reply = bool; };

/// Linked to a hundred processes for a moment.
void be_linked_to_many() {
  std::vector<pid> all;
  for (int i = 0; i != 100; ++i) all.push_back(spawn_link([] { receive<bell>(); }));
  for (const pid p : all) unlink(p), send(p, bell{});
}
constexpr std::size_t room_of_links = 100 * sizeof(pid);              // at least

std::size_t memory_of(pid who) { return process_info(who)->memory_bytes; }

struct server {
  void handle_cast(meet_many) { be_linked_to_many(); }
  auto handle_cast(rest) { return noreply(hibernate); }
  bool handle_call(are_you_there) const { return true; }
};

struct machine {
  struct up {};
  struct in_bed {};
  using all = states<up, in_bed>;
  void handle(auto&, meet_many) { be_linked_to_many(); }
  next<> handle(auto&, rest) { return {keep, hibernate}; }
  in_bed handle(up&, go_to_bed) { return {}; }
  void handle(in_bed&, go_to_bed) {}
  auto enter(in_bed&) { return hibernate; }
  bool handle(auto&, are_you_there) { return true; }
};

using manager = event_manager<meet_many, rest>;
struct handler {
  handler_outcome handle_event(const meet_many&) {
    be_linked_to_many();
    return keep;
  }
  handler_outcome handle_event(const rest&) { return hibernate; }
};

/// `meet` has been handled when it returns.
template <class Meet, class Rest>
void check_that_rest_gives_back(pid who, Meet meet, Rest rest) {
  const std::size_t at_first = memory_of(who);
  meet();
  const std::size_t before = memory_of(who);
  CHECK(before >= at_first + room_of_links);
  rest();
  CHECK(eventually([&] { return memory_of(who) <= before - room_of_links; }));
}

}  // namespace

TEST_CASE("GS-96 a server that hibernates gives its memory back, also when something waits already") {
  own_world w;
  const auto s = start<server>();
  const auto settled = [&] { CHECK(call(s, are_you_there{})); };
  check_that_rest_gives_back(s, [&] { cast(s, meet_many{}), settled(); }, [&] { cast(s, rest{}), settled(); });
  check_that_rest_gives_back(s, [&] { cast(s, meet_many{}), settled(); }, [&] {
    sys::suspend(s);
    cast(s, rest{});
    cast(s, rest{});
    sys::resume(s);
    settled();
  });
  stop(s);
}

TEST_CASE("GS-97 a server that hibernates by itself gives its memory back") {
  own_world w;
  const auto s = start<server>({.hibernate_after = 1ms});
  cast(s, meet_many{});
  CHECK(call(s, are_you_there{}));
  CHECK(eventually([&] { return memory_of(s) < room_of_links; }));
  stop(s);
}

TEST_CASE("SE-42 a machine that hibernates gives its memory back, as an action of a handler or of entering a state") {
  own_world w;
  const auto m = start<machine>();
  const auto settled = [&] { CHECK(call(m, are_you_there{})); };
  check_that_rest_gives_back(m, [&] { cast(m, meet_many{}), settled(); }, [&] { cast(m, rest{}), settled(); });
  check_that_rest_gives_back(m, [&] { cast(m, meet_many{}), settled(); }, [&] { cast(m, go_to_bed{}), settled(); });
  stop(m);
}

TEST_CASE("SE-63 an event manager whose handler hibernates it gives its memory back") {
  own_world w;
  const auto m = start<manager>();
  add_handler<handler>(m);
  check_that_rest_gives_back(m, [&] { sync_notify(m, meet_many{}); }, [&] { sync_notify(m, rest{}); });
  stop(m);
}

TEST_CASE("SE-63 SE-72 a handler in a process of its own hibernates that one") {
  own_world w;
  const auto m = start<manager>();
  const auto before = processes();
  add_handler<handler>(m, {.own_process = true});
  auto now = processes();
  std::erase_if(now, [&](pid p) { return std::find(before.begin(), before.end(), p) != before.end(); });
  REQUIRE(now.size() == 1);
  check_that_rest_gives_back(now.front(), [&] { sync_notify(m, meet_many{}); }, [&] { sync_notify(m, rest{}); });
  stop(m);
}
