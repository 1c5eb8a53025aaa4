// SPDX-License-Identifier: Apache-2.0
//
// isolate: does a piece of work in a child OS process and brings its text back.
//
// Each failing run is abandoned, and what it had mapped or locked is lost. Where many failing runs are expected (shrinking,
// looking for planted faults) they happen in a child, so that the tests that follow start from clean ground. Works because
// the simulation has one OS thread. COPPICE_SIM_NO_FORK=1 does the work in place, for debuggers.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

namespace coppice::internal::sim {

/// Returns what `work` returned; nothing if the child crashed or took longer than `limit`.
std::optional<std::string> isolate(const std::function<std::string()>& work, std::chrono::seconds limit);

}  // namespace coppice::internal::sim
