// SPDX-License-Identifier: Apache-2.0
//
// schedule: what made a run take the course it took, small enough to print and to replay.
//
// A decision is a deviation from the usual course (run until blocked or yielding, then the next number upwards; read the
// newest; no accident). Its key is the thread and that thread's own count of operations, never a global step: taking one
// decision out must not rename the others. A token names a whole run on one line.
//
// Plain values; any thread.
#pragma once

#include "sim/memory.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::internal::sim {

enum class deviation : char {
  go_on_with = '>',     // another thread runs (argument: which)
  read_older = '-',     // a load returns an older store (argument: how much older)
  clock_leap = '*',     // the first timer fires although somebody could run
  spurious_wake = 's',  // a futex wait returns for no reason
  weak_failure = 'w',   // cas_weak fails for no reason
  buggify = 'b',        // the rare path is taken
};

struct decision {
  unsigned thread = 0;
  std::uint32_t operation = 0;  // that thread's own count
  deviation what = deviation::go_on_with;
  unsigned argument = 0;

  bool operator==(const decision&) const = default;
};

using schedule = std::vector<decision>;

/// "0@12>1,1@47*": readable by people and by `parse_schedule`.
std::string print(const schedule& decisions);
std::optional<schedule> parse_schedule(std::string_view text);

enum class strategy_kind : std::uint8_t { usual, uniform, sticky, pct, pos };

/// Everything that a run depends on, apart from the code.
struct token {
  std::string scenario;
  int fault = 0;  // 0: none planted
  strategy_kind strategy = strategy_kind::usual;
  unsigned depth = 0;       // sticky: 1/depth to switch; pct: number of priority changes + 1
  std::uint64_t steps = 0;  // pct: expected number of choices in a run, from one fixed trial run
  memory_model model = memory_model::c11;
  std::uint64_t seed = 0;
  std::optional<schedule> replay;  // followed instead of the strategy
};

/// "scenario:strategy:depth:steps:model:seed", with "!fault" after the scenario and ":decisions" at the end where they apply.
std::string print(const token& t);
std::optional<token> parse_token(std::string_view text);

}  // namespace coppice::internal::sim
