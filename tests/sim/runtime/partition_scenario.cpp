// SPDX-License-Identifier: Apache-2.0
//
// The way to a partition, which nobody locks, while partitions are killed and started again: who looks finds one that was
// started for this number, never a mixture of two, and in the end the one that runs.
#include <coppice/otp/gen_server.hpp>
#include <coppice/otp/partition_supervisor.hpp>

#include "sim/runtime/silence.hpp"
#include "sim/runtime/world.hpp"

#include <array>

namespace {

using namespace coppice;
using namespace coppice::testing;

struct which { using reply = int; };

/// Every process that ever served a partition, written before its place in the table is.
struct roll {
  static constexpr std::size_t room = 8;
  sync::atomic<std::size_t> used{0, "roll"};
  std::array<pid, room> who{};

  void enter(pid p) {
    const std::size_t at = used.load(sync::relaxed);       // one writer: the supervisor's turn
    who.at(at) = p;
    used.store(at + 1, sync::release);
  }
  bool has(pid p) const {
    const std::size_t n = used.load(sync::acquire);
    for (std::size_t i = 0; i != n; ++i)
      if (who[i] == p) return true;
    return false;
  }
};

struct part {
  int number = 0;
  void init(roll* r, int n) {
    number = n;
    r[n].enter(self());
  }
  int handle_call(which) { return number; }
};

/// Given to `with`, which is a plain function.
roll* rolls = nullptr;
child_spec numbered(child_spec, std::size_t n) { return child<part>({}, rolls, static_cast<int>(n)); }

void restarted_while_asked() {
  const silence nobody_listens;
  roll both[2];
  rolls = both;
  world w({.workers = 2});
  const partition_supervisor parts = start_partition_supervisor({.name = "parts", .child = child<part>({}, both, 0), .partitions = 2, .with = &numbered, .intensity = 10});
  start_line line(2);
  {
    runs reader([&] {
      w.enter();
      detail::here();
      line.pass();
      for (int i = 0; i != 6; ++i) sim::check(both[i % 2].has(parts.whereis(i)), "the way to a partition leads to nobody");
      for (int i = 0; i != 2; ++i) {
        const auto answer = try_call(server_cast<part>(parts.whereis(i)), which{}, infinity);
        if (answer) sim::check(*answer == i, "another partition answers");
      }
    }, "reader");
    line.pass();
    for (int i = 0; i != 2; ++i) {
      const pid victim = parts.partition(0);
      exit(victim, exit_reason::kill);
      await_end(victim);
      (void)supervisor("parts").count_children();          // behind the EXIT: it has been restarted
      sim::check(parts.partition(0) != victim, "the table shows the dead");
    }
  }
  for (int i = 0; i != 2; ++i) sim::check(call(server_cast<part>(parts.whereis(i)), which{}, infinity) == i, "a partition does not answer");
  stop(parts.id());
}

/// The table alone: who looks while it is written again and again finds what was written together.
void read_against_put() {
  detail::partition_table table(1);
  const auto made = [](std::uintptr_t n) { return pid::of(reinterpret_cast<detail::slot*>(n * 64), n); };
  table.put(0, made(1));
  runs reader([&] {
    std::uintptr_t last = 1;
    for (int i = 0; i != 4; ++i) {
      const pid found = table.at(0);
      const std::uintptr_t n = static_cast<std::uintptr_t>(found.serial());
      sim::check(n != 0, "a partition is gone while it is replaced");
      sim::check(found == made(n), "a place and a serial that do not belong together");
      sim::check(n >= last, "a partition went back");
      last = n;
    }
  }, "reader");
  for (std::uintptr_t n = 2; n != 7; ++n) table.put(0, made(n));
}

/// Fewer partitions, then more again, while somebody routes.
void resized_while_asked() {
  const silence nobody_listens;
  roll both[2];
  rolls = both;
  world w({.workers = 2});
  const partition_supervisor parts = start_partition_supervisor({.name = "parts", .child = child<part>({}, both, 0), .partitions = 2, .with = &numbered});
  start_line line(2);
  {
    runs reader([&] {
      w.enter();
      line.pass();
      for (int i = 0; i != 3; ++i) {
        const auto answer = try_call(server_cast<part>(parts.whereis(1)), which{}, infinity);
        if (answer) sim::check(*answer == 0 || *answer == 1, "nobody's answer");
      }
    }, "reader");
    line.pass();
    sim::check(parts.resize(1) == 2, "another size");
    sim::check(parts.whereis(1) == parts.partition(0), "sent to a partition that is not in use");
    sim::check(parts.resize(2) == 1, "another size");
  }
  for (int i = 0; i != 2; ++i) sim::check(call(server_cast<part>(parts.whereis(i)), which{}, infinity) == i, "a partition does not answer");
  stop(parts.id());
}

const sim::scenario scenarios[] = {{"partition_read_against_put", &read_against_put},
                                   {"partition_restarted_while_asked", &restarted_while_asked, whole_program()},
                                   {"partition_resized_while_asked", &resized_while_asked, whole_program()}};

}  // namespace
