// SPDX-License-Identifier: Apache-2.0
//
// frame_text: what stands at an address of this program: function, file, line.
#pragma once

#include <cstddef>
#include <string>

namespace coppice::internal {

/// `ch3::handle_call(want) at channels.cpp:31`, one frame a line; what lies below a handler or a process's body is left out.
/// Slow at its first call: it reads the program's debug information.   Thread: any; one at a time inside.
std::string text_of_frames(void* const* frames, std::size_t count);

}  // namespace coppice::internal
