// SPDX-License-Identifier: Apache-2.0
//
// arena: operator new and delete inside a run.
//
// Linked into a program, it replaces them: outside of a run they are malloc and free, inside they take from one region
// that is taken back as a whole before the next run. So an abandoned run leaks nothing that it had from operator new, and
// addresses repeat: a pointer that comes back too early (ABA) does so in the replay as well.
//
// The run's OS thread only. What a passing run leaves behind (a static that was initialised inside) stays where it is.
#pragma once

#include <cstddef>

namespace coppice::internal::sim::arena {

void begin() noexcept;
/// Returns: blocks that were not freed. `failed`: nobody will come back for them.
std::size_t end(bool failed) noexcept;

/// Switches the arena on or off within a run; returns what it was. See outside_arena.
bool use(bool on) noexcept;

}  // namespace coppice::internal::sim::arena
