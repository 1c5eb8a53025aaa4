// SPDX-License-Identifier: Apache-2.0
#include "app/read_buffer.hpp"

#include "app/thread_spare.hpp"

#include <coppice/base/detail/sync.hpp>

#include <cstring>
#include <new>

namespace coppice::internal {

namespace sync = detail::sync;

namespace {

constexpr std::size_t buffers_kept = 64;  // a megabyte; more at a time come from the heap and go back there

struct buffer_list {
  sync::spinlock lock;
  std::size_t count = 0;
  read_buffer* kept[buffers_kept] = {};
};
buffer_list large_buffers;

}  // namespace

read_buffer* make_buffer(std::size_t capacity) {
  if (capacity == read_buffer::large) {
    if (void* spare = take_spare(spare_kind::read_buffer)) {
      auto* b = static_cast<read_buffer*>(spare);
      b->begin = b->end = 0;
      return b;
    }
    sync::lock_guard held(large_buffers.lock);
    if (large_buffers.count > 0) {
      read_buffer* b = large_buffers.kept[--large_buffers.count];
      b->begin = b->end = 0;
      return b;
    }
  }
  auto* b = ::new (::operator new(sizeof(read_buffer) + capacity)) read_buffer;
  b->capacity = static_cast<std::uint32_t>(capacity);
  return b;
}

void drop_buffer(read_buffer* b) noexcept {
  if (b == nullptr) return;
  if (b->capacity == read_buffer::large) {
    if (keep_spare(spare_kind::read_buffer, b)) return;
    sync::lock_guard held(large_buffers.lock);
    if (large_buffers.count < buffers_kept) {
      large_buffers.kept[large_buffers.count++] = b;
      return;
    }
  }
  ::operator delete(b);
}

read_buffer* resized(read_buffer* b, std::size_t capacity) {
  read_buffer* other = make_buffer(capacity);
  const std::string_view rest = b->rest();
  std::memcpy(other->bytes(), rest.data(), rest.size());
  other->end = static_cast<std::uint32_t>(rest.size());
  drop_buffer(b);
  return other;
}

void read_buffer::move_rest_to(std::uint32_t place) noexcept {
  std::memmove(bytes() + place, bytes() + begin, end - begin);
  end -= begin - place;
  begin = place;
}

}  // namespace coppice::internal
