// SPDX-License-Identifier: Apache-2.0
//
// Row 3: beginning and end of processes and servers, and what they weigh while they wait.
#include <coppice/otp/gen_server.hpp>
#include <coppice/process/process_info.hpp>

#include <vector>

#include "core/rows.hpp"

using namespace coppice;

namespace {

constexpr std::uint64_t million = 1'000'000;

struct done {};
struct finish {};

struct add {
  using reply = std::uint64_t;
  std::uint64_t n;
};
/// 16 bytes of state.
struct counter {
  std::uint64_t sum = 0;
  std::uint64_t calls = 0;
  std::uint64_t handle_call(add a) { return ++calls, sum += a.n; }
};
static_assert(sizeof(counter) == 16);

/// Reports and ends when it is told to.
struct waiter {
  pid parent;
  auto handle_cast(finish) {
    send(parent, done{});
    return stop();
  }
};

void receive_done(std::uint64_t times) {
  for (std::uint64_t i = 0; i != times; ++i) receive<done>();
}

double spawn_in_turn(bench::state& s) {
  return core_bench::in_process([&] {
    return 1e3 / s.time([me = self()](std::uint64_t n) {
      while (n--) {
        spawn([me] { send(me, done{}); });
        receive<done>();
      }
    });
  });
}

double spawn_monitored(bench::state& s) {
  return core_bench::in_process([&] {
    return 1e3 / s.time([](std::uint64_t n) {
      while (n--) {
        spawn_monitor([] {});
        receive<down>();
      }
    });
  });
}

double processes_alive(bench::state& s) {
  const std::uint64_t count = s.count(million);
  return core_bench::in_process([&] {
    std::vector<pid> all(count);
    return s.rate(count, [&, me = self()] {
      for (pid& one : all) {
        one = spawn([me] {
          receive<finish>();
          send(me, done{});
        }, {.stack_bytes = 16 * 1024});
      }
      for (const pid one : all) send(one, finish{});
      receive_done(count);
    });
  });
}

double servers_alive(bench::state& s) {
  const std::uint64_t count = s.count(million);
  return core_bench::in_process([&] {
    std::vector<server_ref<waiter>> all(count);
    return s.rate(count, [&, me = self()] {
      for (auto& one : all) one = start<waiter>({}, me);
      for (const auto& one : all) cast(one, finish{});
      receive_done(count);
    });
  });
}

double start_idle(bench::state& s) {
  const std::uint64_t count = s.count(million);
  return core_bench::in_process([&] {
    std::vector<server_ref<counter>> all(count);
    const double rate = s.rate(count, [&] {
      for (auto& one : all) one = start<counter>();
    });
    for (const auto& one : all) stop(one);
    return rate;
  });
}

double start_and_stop(bench::state& s) {
  return core_bench::in_process([&] {
    return s.time([](std::uint64_t n) {
      while (n--) stop(start<counter>());
    });
  });
}

double bytes_of_server(bench::state& s) {
  const std::uint64_t count = s.count(million);
  return core_bench::in_process([&] {
    stop(start<counter>());
    const std::size_t before = bench::resident_bytes();
    server_ref<counter> last;
    for (std::uint64_t i = 0; i != count; ++i) last = start<counter>();
    const std::size_t after = bench::resident_bytes();
    core_bench::check(call(last, add{1}), 1);
    return static_cast<double>(after - before) / static_cast<double>(count);
  });
}

/// In KiB. Each has really begun to wait: it has reported before.
double size_of_blocked_process(bench::state& s) {
  const std::uint64_t count = s.count(million / 4);
  return core_bench::in_process([&, me = self()] {
    const std::size_t before = bench::resident_bytes();
    for (std::uint64_t i = 0; i != count; ++i) {
      spawn([parent = self()] {
        send(parent, done{});
        receive<finish>();
      });
      receive<done>();
    }
    return static_cast<double>(bench::resident_bytes() - before) / static_cast<double>(count) / 1024;
  });
}

}  // namespace

void core_bench::add_spawn_rows(bench::suite& suite) {
  suite.group("3 spawn and memory");
  suite.row("spawn, report, end, in turn", {.unit = "M/s", .min = 15, .peers = "spawn", .run = spawn_in_turn});
  suite.row("spawn monitored, DOWN, in turn", {.unit = "M/s", .run = spawn_monitored});
  suite.row("1M servers alive, then all end",
            {.unit = "M/s", .min = 4, .peers = "spawn-alive", .isolated = true, .repetitions = 5, .run = servers_alive});
  suite.row("1M processes with stacks alive, then all end",
            {.unit = "M/s", .isolated = true, .repetitions = 3, .run = processes_alive});
  suite.row("1M servers started",
            {.unit = "M/s", .min = 4, .peers = "start-idle", .isolated = true, .repetitions = 5, .run = start_idle});
  suite.row("gen_server start + stop", {.max = 100, .peers = "start-stop", .run = start_and_stop});
  suite.row("memory of an idle server with 16 bytes of state",
            {.unit = "bytes", .max = 160, .peers = "memory-server", .isolated = true, .repetitions = 2, .run = bytes_of_server});
  suite.row("memory of a blocked process",
            {.unit = "KiB", .max = 4.5, .isolated = true, .repetitions = 2, .run = size_of_blocked_process});
}
