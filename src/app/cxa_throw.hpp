// SPDX-License-Identifier: Apache-2.0
//
// cxa_throw: the function that compilers call for `throw`, between the program and its C++ runtime.
#pragma once

namespace coppice::internal {

/// Notes the throw of `exception`, if that is wanted. Called by __cxa_throw and by nobody else: it skips two frames.
[[gnu::noinline]] void take_note(const void* exception, void* site) noexcept;
/// Looks up the C++ runtime's throw: the first time is slow and may allocate.
void find_runtimes_throw() noexcept;

}  // namespace coppice::internal
