// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace switchboard {

/// From now on crash reports say where an exception was thrown, if this build can.
void record_throws();

}  // namespace switchboard
