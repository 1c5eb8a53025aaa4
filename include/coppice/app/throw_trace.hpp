// SPDX-License-Identifier: Apache-2.0
//
// throw_trace: crash reports say where an exception was thrown: "thrown in ch3::handle_call at channels.cpp:31". In the component
// coppice::throw_trace, which puts a function of its own in front of the C++ runtime's throw; who does not link it pays nothing.
// What it costs: docs/decisions/0006-reports.md.
#pragma once

#include <cstddef>

namespace coppice {

struct throw_trace_options {
  /// How many calls are recorded at a throw, 1 to 32. 1 is the throw itself and costs next to nothing; every further one costs
  /// some 50 ns at each throw of the program, whoever catches it.
  std::size_t frames = 16;
};

/// From now on every throw of the program is recorded, and exit reasons of exceptions have a trace.
/// Fails:   std::invalid_argument for another number of frames.
/// Thread:  any.   Cost: at each throw, see `frames`; the text is made when a report is written, or somebody reads the trace.
/// Spec:    GS-150.
void trace_throws(const throw_trace_options& options = {});
/// No throw is recorded any more.   Thread: any.
void stop_tracing_throws() noexcept;

}  // namespace coppice
