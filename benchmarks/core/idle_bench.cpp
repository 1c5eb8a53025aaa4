// SPDX-License-Identifier: Apache-2.0
//
// What the rest of a program gets while some of it blocks its threads, and what a program costs that has nothing to do.
#include <coppice/otp/gen_server.hpp>
#include <coppice/process/timer.hpp>

#include <atomic>
#include <thread>

#include "core/rows.hpp"

using namespace coppice;

namespace {

struct note {
  std::int64_t sent;
};

/// Writes down how long the message was under way.
struct stopwatch {
  std::atomic<std::int64_t>* took;
  void handle_cast(note n) { took->store(bench::now() - n.sent); }
};

/// Every worker sits in code that does not wait for the runtime; each time the cast comes from the one that has it in its
/// own queue. Returns: ms until the cast was handled.
double cast_past_blocked_workers(bench::state&) {
  runtime own;
  const runtime_scope here(own);
  std::atomic<std::int64_t> took{0};
  std::atomic<unsigned> sitting{0};
  std::atomic<bool> over{false};
  const unsigned workers = own.statistics().workers;
  const server_ref<stopwatch> server = start<stopwatch>({}, &took);
  for (unsigned i = 0; i != workers; ++i) {
    spawn([&, last = i + 1 == workers] {
      ++sitting;
      while (last && sitting != workers) {}
      if (last) cast(server, note{bench::now()});
      while (!over) std::this_thread::sleep_for(std::chrono::microseconds(100));
    });
  }
  const std::int64_t limit = bench::now() + 1'000'000'000;
  while (took == 0 && bench::now() < limit) std::this_thread::sleep_for(std::chrono::microseconds(100));
  over = true;
  if (took == 0) throw std::runtime_error("the cast was not handled within a second");
  stop(server);
  return static_cast<double>(took) * 1e-6;
}

struct idle_server {
  std::uint64_t state[2]{};
};
struct ring {};

/// ms of CPU time while nothing is due: 1,000,000 servers, 10,000 timers that are armed.
double idle_program(bench::state& s) {
  const std::uint64_t servers = s.count(1'000'000);
  const auto nap = s.quick() ? std::chrono::seconds(1) : std::chrono::seconds(5);
  server_ref<idle_server> last;
  for (std::uint64_t i = 0; i != servers; ++i) last = start<idle_server>();
  for (int i = 0; i != 10'000; ++i) send_after(1h + std::chrono::seconds(i), last, ring{});
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const double before = bench::cpu_seconds();
  std::this_thread::sleep_for(nap);
  return (bench::cpu_seconds() - before) * 1e3;
}

}  // namespace

void core_bench::add_idle_rows(bench::suite& suite) {
  suite.group("blocked and idle");
  suite.row("cast while all workers sit in blocking code",
            {.unit = "ms", .max = 2, .two_cores = true, .run = cast_past_blocked_workers});
  suite.row("CPU time of an idle program, 1M servers, 10,000 timers",
            {.unit = "ms", .max = 1, .isolated = true, .repetitions = 1, .run = idle_program});
}
