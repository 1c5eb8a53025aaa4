// SPDX-License-Identifier: Apache-2.0
//
// fault_handler: what the program says when the processor refuses to go on (SIGSEGV, SIGBUS, SIGFPE, SIGILL): who ran,
// where, and whether a stack overflowed. One line to stderr, in one write; then the signal takes its former course, which
// is normally death with a core file of the faulting instruction.
//
//     coppice: stack overflow in process ch3 <0.4.0> while in handle_call(alloc) (stack of 64 KiB)
//     coppice: signal SIGSEGV at address 0x10 (instruction 0x55d0c0de) in process ch3 <0.4.0> while in handle_cast(tick)
//     coppice: signal SIGFPE at address 0x55d0c0de (instruction 0x55d0c0de) outside of any process
//
// Thread: any, all functions. The report itself runs in a signal handler on the thread's alternate stack.
//
// Invariants
//   1. From the signal on nothing is allocated, locked or formatted by the C library.
//   2. The handler is taken out before it returns: the faulting instruction is run again and meets whatever was
//      installed before (a sanitizer, a crash reporter, the default).
//
// Design note: docs/internals/fibers.md.
#pragma once

#include <cstddef>

namespace coppice::internal {

class fiber_pool;

/// How the upper room puts a process into the report. Called in a signal handler: no locks, no allocation.
struct fault_describer {
  /// Writes at most `size` bytes, "<name> <pid> while in <handler>", without a final zero. `process` is the word of the
  /// fiber that ran; null: the thread runs on its own stack (look into the thread's block).
  /// Returns:  the number of bytes; 0: no process runs here.
  std::size_t (*describe)(void* process, char* out, std::size_t size) noexcept;
};

/// From now on reports ask `describer`, which must live as long as the program.
void set_fault_describer(const fault_describer& describer) noexcept;

/// Reports faults from now on. Later calls do nothing.
void install_fault_handler() noexcept;

/// Lets reports find the fibers of `pool` (64 pools at once; more go unnamed), until forgotten.
void watch_fibers(const fiber_pool& pool) noexcept;
/// To be called before `pool` ends.
void forget_fibers(const fiber_pool& pool) noexcept;

/// Gives the calling thread a stack for signal handlers, without which an overflow cannot be reported. Kept if it has a
/// sufficient one already; given back when the thread ends. Later calls do nothing.
void install_thread_alternate_stack() noexcept;

}  // namespace coppice::internal
