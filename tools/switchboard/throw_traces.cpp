// SPDX-License-Identifier: Apache-2.0
//
// Crash reports say where an exception was thrown. Nothing is thrown here in the ordinary course, so it costs nothing.
#include <coppice/app/throw_trace.hpp>

#include "throw_traces.hpp"

void switchboard::record_throws() { coppice::trace_throws(); }
