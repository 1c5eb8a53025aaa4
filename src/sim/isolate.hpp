// SPDX-License-Identifier: Apache-2.0
//
// isolate: does a piece of work in a child OS process and brings its text back.
//
// Each failing run is abandoned, and what it had mapped or locked is lost. Where many failing runs are expected (shrinking,
// looking for planted faults) they happen in a child, so that the tests that follow start from clean ground. Works because
// the simulation has one OS thread. COPPICE_SIM_NO_FORK=1 does the work in place, for debuggers.
#pragma once

#include "sim/engine.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace coppice::internal::sim {

/// Returns what `work` returned; nothing if the child crashed or took longer than `limit`.
std::optional<std::string> isolate(const std::function<std::string()>& work, std::chrono::seconds limit);

/// The outcome of some runs that were done apart.
struct batch {
  std::uint64_t next = 0;  // the first that was not done; the one before failed, if any did
  run_result last;         // the failing one: failure, hash, counts and decisions, no story
};

/// Does the runs `from` .. `to` in a child, up to and including the first that fails. A child that dies counts as a
/// failure of the run that killed it.
batch run_apart(std::uint64_t from, std::uint64_t to, const std::function<run_result(std::uint64_t)>& one_run);

}  // namespace coppice::internal::sim
