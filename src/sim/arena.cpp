// SPDX-License-Identifier: Apache-2.0
//
// arena, the implementation. See arena.hpp.
#include "sim/arena.hpp"

#include <sys/mman.h>
#include <array>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

namespace coppice::internal::sim::arena {

namespace {

constexpr std::size_t region_bytes = std::size_t{4} << 30;  // address space only
constexpr std::size_t small_bytes = 4096;                   // up to here memory comes filled, not zeroed
constexpr int fill = 0xA5;

/// Stands right before each block.
struct header {
  std::uint32_t size_class;
  std::uint32_t offset;  // from the start of the piece to the block
  header* next;          // in the list of free pieces
};
static_assert(sizeof(header) == 16);

struct state {
  std::byte* region = nullptr;
  std::byte* start = nullptr;  // of this run's part
  std::byte* top = nullptr;
  std::size_t live = 0;
  bool on = false;
  std::array<header*, 40> free{};
} the;

bool holds(const void* block) noexcept {
  const auto* b = static_cast<const std::byte*>(block);
  return the.region != nullptr && b >= the.region && b < the.region + region_bytes;
}

/// Pieces of 2^class bytes, header and alignment included.
std::uint32_t class_of(std::size_t bytes) noexcept { return static_cast<std::uint32_t>(std::bit_width(bytes - 1)); }

void* take(std::size_t bytes, std::size_t alignment) noexcept {
  if (alignment < 16) alignment = 16;
  const std::uint32_t size_class = class_of(bytes + sizeof(header) + (alignment > 16 ? alignment : 0));
  if (size_class >= the.free.size()) return nullptr;
  ++the.live;
  std::byte* piece = nullptr;
  if (header* h = the.free[size_class]; h != nullptr) {
    the.free[size_class] = h->next;
    piece = reinterpret_cast<std::byte*>(h + 1) - h->offset;
  } else {
    piece = the.top;
    if (static_cast<std::size_t>(the.region + region_bytes - piece) < std::size_t{1} << size_class) return nullptr;
    the.top += std::size_t{1} << size_class;
  }
  const auto first = reinterpret_cast<std::uintptr_t>(piece) + sizeof(header);
  auto* block = reinterpret_cast<std::byte*>((first + alignment - 1) & ~(alignment - 1));
  reinterpret_cast<header*>(block)[-1] = {size_class, static_cast<std::uint32_t>(block - piece), nullptr};
  if (bytes <= small_bytes) std::memset(block, fill, bytes);
  return block;
}

void give(void* block) noexcept {
  if (!the.on) return;  // from an earlier run: its part is gone or kept as a whole
  --the.live;
  header* h = static_cast<header*>(block) - 1;
  h->next = the.free[h->size_class];
  the.free[h->size_class] = h;
}

void* allocate(std::size_t bytes, std::size_t alignment) {
  void* block = nullptr;
  if (the.on)
    block = take(bytes == 0 ? 1 : bytes, alignment);
  else if (alignment <= alignof(std::max_align_t))
    block = std::malloc(bytes == 0 ? 1 : bytes);
  else
    block = std::aligned_alloc(alignment, (bytes + alignment - 1) & ~(alignment - 1));
  if (block == nullptr) throw std::bad_alloc();
  return block;
}

void release(void* block) noexcept {
  if (holds(block))
    give(block);
  else
    std::free(block);
}

}  // namespace

void begin() noexcept {
  if (the.region == nullptr) {
    void* memory =
        mmap(nullptr, region_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    the.region = the.start = static_cast<std::byte*>(memory);
  }
  the.top = the.start;
  the.free.fill(nullptr);
  the.live = 0;
  the.on = true;
}

std::size_t end(bool failed) noexcept {
  the.on = false;
  if (!failed && the.live != 0) the.start = the.top;
  return the.live;
}

bool use(bool on) noexcept {
  const bool was = the.on;
  the.on = on;
  return was;
}

}  // namespace coppice::internal::sim::arena

namespace arena = coppice::internal::sim::arena;

void* operator new(std::size_t bytes) { return arena::allocate(bytes, 0); }
void* operator new[](std::size_t bytes) { return arena::allocate(bytes, 0); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return arena::allocate(bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return arena::allocate(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* block) noexcept { arena::release(block); }
void operator delete[](void* block) noexcept { arena::release(block); }
void operator delete(void* block, std::size_t) noexcept { arena::release(block); }
void operator delete[](void* block, std::size_t) noexcept { arena::release(block); }
void operator delete(void* block, std::align_val_t) noexcept { arena::release(block); }
void operator delete[](void* block, std::align_val_t) noexcept { arena::release(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { arena::release(block); }
void operator delete[](void* block, std::size_t, std::align_val_t) noexcept { arena::release(block); }
