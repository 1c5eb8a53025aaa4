// SPDX-License-Identifier: Apache-2.0
//
// In a build without coppice::throw_trace.
#include "throw_traces.hpp"

void switchboard::record_throws() {}
