// SPDX-License-Identifier: Apache-2.0
//
// driver: what a simulated test uses.
//
//     const sim::scenario parking("parking", [] {
//       …                                             // runs as the simulated thread `main`; may start sync::threads
//       sim::check(done.load(sync::acquire) == 2, "both tasks ran");
//     });                                             // every thread must have been joined
//
//     TEST_CASE("no wake-up is lost") {
//       const sim::verdict v = sim::seeds("parking");
//       CHECK_MESSAGE(v.passed(), v.report);
//     }
//
// A scenario must build all that it uses inside its body: what lives longer would carry one run into the next (for what
// cannot be helped there are `before` and `finish`). It must not depend on addresses, clocks or random numbers of the machine; `sim::random` gives numbers that the seed decides.
//
// Seeds: 1,000 per scenario; COPPICE_LONG=1: 100,000. --seed=N (or COPPICE_SEED=N) runs that seed alone; --sim=TOKEN (or
// COPPICE_SIM=TOKEN) repeats the run that a failure has printed and tells its whole story.
//
// The one OS thread of the test program.
#pragma once

#include "sim/engine.hpp"
#include "sim/exhaustive.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace coppice::internal::sim {

struct scenario_options {
  std::uint64_t step_limit = 200'000;                   // more is a livelock
  std::vector<std::string> housekeepers = {"monitor"};  // threads so named keep no program alive with their timers
  bool must_free_all = false;  // memory from operator new that a run leaves behind is a failure
  void (*before)() = nullptr;  // outside, before each run: makes global state new
  void (*finish)() = nullptr;  // main's last act in a run: gives global state back
};

/// Registers a scenario for the program's life. The name has no ':', '!' or space.
class scenario {
 public:
  scenario(std::string name, std::function<void()> body, scenario_options options = {});
};

/// Fails the run with `text` unless `condition` holds. Inside a run only.
void check(bool condition, const char* text);

/// 0 .. bound-1, from the seed; the same whatever the schedule does.
unsigned random(unsigned bound);

struct verdict {
  std::uint64_t runs = 0;
  std::uint64_t failing_seed = 0;  // 0: none
  std::string failure;
  std::string token;   // of the failing run
  schedule decisions;  // shrunk
  std::string report;  // everything a reader of the failure wants, or empty

  [[nodiscard]] bool passed() const noexcept { return failure.empty(); }
};

/// How many seeds a scenario gets by default.
std::uint64_t usual_seeds();

/// Runs seeds 1 .. count of the mix and stops at the first that fails. Every 100th seed runs twice: a difference between
/// the two is a failure too.
verdict seeds(const std::string& scenario, std::uint64_t count = usual_seeds());
verdict seeds(const std::string& scenario, std::uint64_t count, memory_model model);

/// One run by its token, with its story.
verdict replay(const std::string& token);

/// Gives a planted fault a name for reports and for `find_fault`.
class planted_fault {
 public:
  planted_fault(int number, std::string name);
};

struct discovery {
  std::uint64_t seed = 0;  // the first that found it; 0: none did
  std::uint64_t runs = 0;
  std::uint64_t failures = 0;  // of the runs
  std::string failure;         // the first one's text
  std::string token;
  std::string summary;  // one line

  [[nodiscard]] bool found() const noexcept { return seed != 0; }
};

/// Runs seeds 1 .. most_seeds with the fault planted, each failing run in a child of its own, until it was found often
/// enough to tell the share.
discovery find_fault(const std::string& scenario, int fault, std::uint64_t most_seeds = 1'000,
                     memory_model model = memory_model::c11);

discovery find_fault(const std::string& scenario, const std::string& fault, std::uint64_t most_seeds = 1'000,
                     memory_model model = memory_model::c11);

struct exhaustion {
  std::uint64_t runs = 0;
  bool complete = false;  // false: stopped at a failure or at most_runs
  std::string failure;
  std::string token;  // replays it
};

/// Walks all schedules within the bounds, in a child.
exhaustion exhaust(const std::string& scenario, int fault = 0, search_bounds bounds = {},
                   std::uint64_t most_runs = 1'000'000);

}  // namespace coppice::internal::sim
