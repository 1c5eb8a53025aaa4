// SPDX-License-Identifier: Apache-2.0
//
// engine: runs simulated threads on one OS thread, one operation at a time, under a seed.
//
// A simulated thread stops *before* each operation with that operation announced; the strategy picks who performs its own
// next, and control goes straight to that thread. Blocked threads are disabled. When nobody is enabled the virtual clock
// goes on to the first deadline; without one that is a deadlock. Whatever was not the usual course is recorded as a
// decision, so every run can be repeated from its list of decisions alone.
//
// One run at a time, on one OS thread. A failure abandons the run: control goes back to `run`, and what the run's threads
// held is lost (what came from operator new is taken back, see arena.hpp). Invariants:
//  1. Everything that differs between two runs of one token is in the token: no address, no clock of the machine.
//  2. Each choice point has a key of its own: the thread and its count of operations, in blocking operations two of them.
//  3. A simulated thread is switched from where it stands, on whatever stack: the library switches fibers inside it.
//
// The idea, what it found, and its limits: docs/internals/simulation.md.
#pragma once

#include "sim/memory.hpp"
#include "sim/schedule.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace coppice::internal::sim {

enum class operation : std::uint8_t {
  load,
  store,
  exchange,
  fetch_add,
  fetch_sub,
  fetch_or,
  fetch_and,
  cas,
  cas_failed,
  read_var,
  write_var,
  futex_wait,
  futex_return,
  futex_timeout,
  futex_wake,
  now,
  relax,
  fence,
  switch_point,
  start_thread,
  join_thread,
  end_thread,
  clock_leap,
  clock_moves,
  count
};

/// One line of the story.
struct story_line {
  std::uint64_t step = 0;
  std::uint64_t value = 0;
  std::uint32_t own_count = 0;
  operation what = operation::load;
  std::uint8_t thread = 0;
  std::uint8_t age = 0;
  int order = -1;
  unsigned number = 0;
  const char* name = nullptr;  // of the location
  const char* thread_name = nullptr;
  std::int64_t clock = 0;
};

class search;  // exhaustive.hpp

struct run_options {
  token what;
  const std::function<void()>* body = nullptr;
  std::uint64_t step_limit = 200'000;
  const std::vector<std::string>* housekeepers =
      nullptr;                 // parts of names of threads whose timers do not hide a deadlock
  void (*finish)() = nullptr;  // main's last act, after its thread block is gone
  bool keep_story = false;
  std::uint64_t schedule_seed = 0;  // instead of the token's for the schedule; its data stay
  search* explore = nullptr;        // walks through all schedules instead of following the token's strategy
};

struct run_result {
  bool failed = false;
  std::string failure;
  std::uint64_t hash = 0;
  std::uint64_t steps = 0;
  std::uint64_t choices = 0;  // steps at which more than one thread could go on
  schedule decisions;
  std::vector<story_line> story;
  std::size_t blocks_left = 0;  // pieces of memory from operator new that were not freed
};

/// Runs `options.body` as thread 0 and everything it starts, to the end or to a failure.
run_result run(const run_options& options);

/// True inside a run.
bool running() noexcept;

/// Ends the run as failed. Outside of a run it prints and aborts.
[[noreturn, gnu::format(printf, 1, 2)]] void fail(const char* format, ...);

/// Names of threads for reports; they live as long as the run.
const char* thread_name(unsigned thread) noexcept;

/// How old a store a load shall return: 0 .. choices-1. Asked by the memory model.
unsigned choose_age(unsigned choices) noexcept;

/// Data for scenarios, from the seed's second stream: not touched by what the schedule draws.
std::uint64_t random_data() noexcept;

/// Allocations in its scope outlive the run.
class outside_arena {
 public:
  outside_arena() noexcept;
  ~outside_arena();
  outside_arena(const outside_arena&) = delete;
  outside_arena& operator=(const outside_arena&) = delete;

 private:
  bool was_;
};

}  // namespace coppice::internal::sim
