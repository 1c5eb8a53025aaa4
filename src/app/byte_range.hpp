// SPDX-License-Identifier: Apache-2.0
//
// byte_range: which parts of a file a client wants (RFC 9110, 14.1).
//
// Thread: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace coppice::internal {

/// From `first` to `last`, both within the file.
struct byte_range {
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  std::uint64_t size() const noexcept { return last - first + 1; }
  friend bool operator==(const byte_range&, const byte_range&) = default;
};

struct byte_ranges {
  enum kind_of : std::uint8_t {
    whole,         // no range, or something that is none, or more than is worth it: it is ignored, as the standard wants or allows
    parts,         // those of `all`
    unsatisfiable  // all behind its end
  } kind = whole;
  /// In the order of the request. None meets another one, and between two of them lies more than naming a part of its own costs.
  std::vector<byte_range> all{};
};

/// More in one request are none: nobody who reads a file wants that, and answers of many small parts have been an attack.
constexpr std::size_t most_ranges = 16;

/// What `text`, the value of a Range line, means for a file of `size` bytes. `part_cost`: bytes that a part of its own takes beyond its own.
/// Parts that meet, or nearly so, become one. What would take as many bytes as the whole file is the whole file.
byte_ranges parse_byte_ranges(std::string_view text, std::uint64_t size, std::uint64_t part_cost);

}  // namespace coppice::internal
