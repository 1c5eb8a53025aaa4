// SPDX-License-Identifier: Apache-2.0
//
// context: switches the OS thread from one stack to another.
//
// The library switches its fibers by its own means inside a simulated thread; this one only cares for where the thread
// happens to stand. It is a real function call, so the compiler saves what is not preserved over calls, and the list of
// registers does not depend on the target's vector extensions. x86-64 only, and without hardware shadow stacks.
#pragma once

#include <cstddef>

namespace coppice::internal::sim {

/// Saves where we stand in `*from` and goes on where `to` was saved.
extern "C" void coppice_sim_switch(void** from, void* to) noexcept;

/// A context that calls `begin()` at the top of a stack. `begin` must not return.
void* fresh_context(void* stack_top, void (*begin)()) noexcept;

/// What the C++ ABI keeps per OS thread about exceptions in flight.
struct exception_globals {
  void* caught = nullptr;
  unsigned uncaught = 0;
};
/// Puts `next` in place and returns what was there.
exception_globals swap_exception_globals(exception_globals next) noexcept;

}  // namespace coppice::internal::sim
