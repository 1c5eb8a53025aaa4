// SPDX-License-Identifier: Apache-2.0
//
// byte_range: which part of a file a client wants (RFC 9110, 14.1).
//
// Thread: any.
#pragma once

#include <cstdint>
#include <string_view>

namespace coppice::internal {

struct byte_range {
  enum kind_of : std::uint8_t {
    whole,         // no range, several, or something that is none: it is ignored, as the standard wants or allows
    part,          // `first` to `last`, both within the file
    unsatisfiable  // behind its end
  } kind = whole;
  std::uint64_t first = 0;
  std::uint64_t last = 0;
};

/// What `text`, the value of a Range line, means for a file of `size` bytes.
byte_range parse_byte_range(std::string_view text, std::uint64_t size) noexcept;

}  // namespace coppice::internal
