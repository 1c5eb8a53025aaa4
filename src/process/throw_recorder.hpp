// SPDX-License-Identifier: Apache-2.0
//
// throw_recorder: the hook through which an exit reason learns where its exception was thrown. Nobody fills it in unless a
// program asks for it (coppice::throw_trace); then it costs as much as that component says.
#pragma once

#include <cstddef>
#include <string>

namespace coppice::internal {

struct throw_recorder {
  /// The return addresses at the throw of `exception`, innermost first. Returns: how many, at most `room`; 0: not known.
  std::size_t (*frames)(const void* exception, void** into, std::size_t room) noexcept;
  /// Their text, one frame a line. Slow; called when somebody reads the trace.
  std::string (*text)(void* const* frames, std::size_t count);
};
inline constexpr std::size_t most_frames = 32;

/// Null: nobody records. It must outlive the program.   Thread: any.
void set_throw_recorder(const throw_recorder* recorder) noexcept;

}  // namespace coppice::internal
