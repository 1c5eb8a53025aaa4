// SPDX-License-Identifier: Apache-2.0
//
// read_buffer: what has arrived on a connection. Only busy connections have one.
//
// Thread: making and dropping any; the rest belongs to its owner.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace coppice::internal {

/// Bytes of a connection that are not dealt with yet: `begin` to `end`. Large ones come from a list, small ones (the
/// beginning of a head whose client takes its time) from the heap, in the size that is needed.
struct read_buffer {
  static constexpr std::size_t large = 16 * 1024 - 16;
  std::uint32_t capacity = 0;
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  char* bytes() noexcept { return reinterpret_cast<char*>(this + 1); }
  std::string_view rest() noexcept { return {bytes() + begin, end - begin}; }
  std::span<char> room() noexcept { return {bytes() + end, capacity - end}; }
  bool is_empty() const noexcept { return begin == end; }
  /// The rest begins at `place` from now on, which lies before it.
  void move_rest_to(std::uint32_t place) noexcept;
};

/// At least `capacity` bytes; `read_buffer::large` is cheap.   Throws: std::bad_alloc.
read_buffer* make_buffer(std::size_t capacity);
void drop_buffer(read_buffer* b) noexcept;
/// Another buffer of `capacity` bytes with the rest of `b`, which is dropped.   Throws: std::bad_alloc; `b` stays then.
read_buffer* resized(read_buffer* b, std::size_t capacity);

}  // namespace coppice::internal
