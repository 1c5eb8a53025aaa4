// SPDX-License-Identifier: Apache-2.0
//
// A small supervision tree under a storm whose blows and whose schedule the seed decides: crashes, kills and operations from
// two threads while a process calls. Then the tree is at rest: everybody runs, each name is held by a child that lives, every
// call has returned; and after its stop nobody is left. Larger trees on real threads: tests/stress/otp/chaos_test.cpp.
#include <coppice/base/log_sink.hpp>
#include <coppice/otp/gen_server.hpp>
#include <coppice/otp/supervisor.hpp>

#include "sim/runtime/world.hpp"

#include <algorithm>
#include <vector>

namespace {

using namespace coppice;
using namespace coppice::testing;

struct probe { using reply = int; };
struct crash {};
using talk = messages<probe, crash>;
using any_leaf = server_ref<talk>;

/// Reports of servers that are meant to fail are not printed.
struct silence {
  silence() : sink{[](void*, const report&) {}, nullptr, log_level::debug}, before(set_log_sink(&sink)) {}
  ~silence() { set_log_sink(before); }
  log_sink sink;
  const log_sink* before;
};

template <bool Trapping>
struct leaf {
  static constexpr server_options options{.trap_exit = Trapping};
  using protocol = talk;
  int handle_call(probe) { return 1; }
  void handle_cast(crash) { throw 1; }
};

constexpr const char* names[] = {"a", "b", "c"};

supervisor_spec small_tree(strategy below) {
  return {.name = "root", .intensity = 1'000, .children = {
      child<leaf<false>>({.name = "a"}),
      child(supervisor_spec{.name = "below", .strategy = below, .intensity = 1'000, .children = {
          child<leaf<true>>({.name = "b"}),
          child<leaf<false>>({.name = "c", .shutdown = brutal_kill}),
      }}),
  }};
}

void blow(unsigned what) {
  const char* name = names[what % 3];
  const auto who = whereis(name);
  if (!who) return;
  switch (what / 3 % 4) {
    case 0: cast(any_leaf(*who), crash{}); break;
    case 1: exit(*who, exit_reason::kill); break;
    case 2: exit(*who, exit_reason("told to")); break;
    default:
      if (const auto below = whereis("below")) exit(*below, exit_reason::kill);
  }
}

/// What it finds at rest: waits by asking, in the supervisor's own order behind everything that was sent to it.
void check_rest(const supervisor& root) {
  for (;;) {
    bool at_rest = true;
    std::vector<pid> all;
    const auto visit = [&](const auto& self, const supervisor& s) -> void {
      const auto children = s.try_which_children();
      if (!children) { at_rest = false; return; }
      for (const child_information& c : *children) {
        if (c.state != child_state::running) at_rest = false;
        else if (c.type == child_type::supervisor) self(self, supervisor(c.who));
        else if (!try_call(any_leaf(c.who), probe{}, infinity)) at_rest = false;
        all.push_back(c.who);
      }
    };
    visit(visit, root);
    if (at_rest) {
      for (const char* name : names) {
        const auto holder = whereis(name);
        sim::check(holder.has_value(), "a child that runs has no name");
        sim::check(std::find(all.begin(), all.end(), *holder) != all.end(), "a name is held by a stranger");
      }
      return;
    }
    sleep_for(duration(1'000));
  }
}

void storm(strategy below) {
  const silence quiet;
  world w({.workers = 2});
  start_line line(2);
  const unsigned first = sim::random(12), second = sim::random(12), third = sim::random(12);
  const supervisor root = start_supervisor(small_tree(below));
  const monitored caller = spawn_monitor([] {
    for (int i = 0; i != 2; ++i) static_cast<void>(try_call(named<talk>(names[i]), probe{}, infinity));
  });
  {
    runs other([&] {
      w.enter();
      line.pass();
      blow(second);
    }, "storm");
    line.pass();
    blow(first);
    blow(third);
  }
  await_end(caller.ref);
  check_rest(root);
  stop(root.id(), exit_reason::shutdown);
  for (const char* name : names) sim::check(!whereis(name), "a name outlives its tree");
  sim::check(!whereis("root") && !whereis("below"), "a supervisor's name outlives it");
}

void storm_one_for_one() { storm(one_for_one); }
void storm_one_for_all() { storm(one_for_all); }
void storm_rest_for_one() { storm(rest_for_one); }

const sim::scenario scenarios[] = {{"chaos_one_for_one", &storm_one_for_one, whole_program()},
                                   {"chaos_one_for_all", &storm_one_for_all, whole_program()},
                                   {"chaos_rest_for_one", &storm_rest_for_one, whole_program()}};

}  // namespace
