// SPDX-License-Identifier: Apache-2.0
//
// slab, the shared part: chunks, magazines, and what happens once per 63 blocks. See slab.hpp.
#include "runtime/slab.hpp"

#include <sys/mman.h>
#include <utility>

namespace coppice::internal {

namespace {

constexpr std::size_t line = 64;
constexpr std::size_t huge_page = 2 * 1024 * 1024;

std::size_t alignment_of(const pool_options& options) noexcept { return options.huge_pages ? huge_page : line; }

// At least one, however small a chunk was asked for.
std::size_t batches_in(const pool_options& options) noexcept {
  const std::size_t batch = magazine::capacity * options.block_bytes + sizeof(magazine);
  const std::size_t fit = options.chunk_bytes <= line ? 0 : (options.chunk_bytes - line) / batch;
  return fit == 0 ? 1 : fit;
}

std::size_t chunk_bytes(const pool_options& options) noexcept {
  const std::size_t batch = magazine::capacity * options.block_bytes + sizeof(magazine);
  const std::size_t least = line + batches_in(options) * batch;
  return options.chunk_bytes < least ? least : options.chunk_bytes;
}

}  // namespace

// One piece of memory from the system: this header, then `batches` x 63 blocks, then `batches` magazines. Neither blocks
// nor magazines are touched before they are needed, so an unused part of a chunk costs address space only.
struct block_pool::chunk {
  chunk* next;
  std::size_t batches;
  std::size_t batches_carved;
  std::size_t magazines_used;

  char* block(std::size_t index, std::size_t bytes) noexcept {
    return reinterpret_cast<char*>(this) + line + index * bytes;
  }
  magazine* unused_magazine(std::size_t block_bytes) noexcept {
    char* first = block(batches * magazine::capacity, block_bytes);
    return ::new (first + magazines_used++ * sizeof(magazine)) magazine;
  }
};

// The two magazines that a cache brings with it (and one for partial_): they circulate like the others.
struct block_pool::extra_pair {
  extra_pair* next;
  magazine magazines[2];
};

block_pool::block_pool(const pool_options& options) : options_(options), batches_per_chunk_(batches_in(options)) {
  static_assert(sizeof(chunk) <= line);
  auto* pair = new extra_pair{};
  extra_pairs_ = pair;
  partial_ = &pair->magazines[0];
  push_empty(&pair->magazines[1]);
}

block_pool::~block_pool() {
  for (chunk* c = first_chunk_; c != nullptr;) drop_chunk(std::exchange(c, c->next));
  for (extra_pair* p = extra_pairs_; p != nullptr;) delete std::exchange(p, p->next);
}

block_pool::chunk* block_pool::make_chunk() const {
  void* memory = ::operator new(chunk_bytes(options_), std::align_val_t{alignment_of(options_)});
  if (options_.huge_pages) madvise(memory, chunk_bytes(options_), MADV_HUGEPAGE);  // a wish; refused is fine
  return ::new (memory) chunk{nullptr, batches_per_chunk_, 0, 0};
}

void block_pool::drop_chunk(chunk* dropped) const noexcept {
  ::operator delete(dropped, std::align_val_t{alignment_of(options_)});
}

void block_pool::append_chunk(chunk* added) noexcept {
  if (last_chunk_ == nullptr) {
    first_chunk_ = added;
    magazine_source_ = added;
  } else {
    last_chunk_->next = added;
  }
  last_chunk_ = added;
  chunks_ = chunks_ + 1;
}

// Fills `into` with blocks of the last chunk that were never used, lowest address on top.
void block_pool::carve(magazine* into) noexcept {
  chunk* from = last_chunk_;
  const std::size_t first = from->batches_carved++ * magazine::capacity;
  for (std::size_t i = 0; i != magazine::capacity; ++i) {
    void* block = from->block(first + i, options_.block_bytes);
    if (options_.construct != nullptr) options_.construct(block, options_.block_bytes);
    into->blocks[magazine::capacity - 1 - i] = block;
  }
  carved_ = carved_ + magazine::capacity;
}

// Exchanges `empty` for a full magazine. Null: that takes a chunk, come again with one in `spare`.
magazine* block_pool::full_for(magazine* empty, chunk*& spare) noexcept {
  if (magazine* top = full_; top != nullptr) {
    full_ = top->next;
    full_count_ = full_count_ - 1;
    push_empty(empty);
    return top;
  }
  if (last_chunk_ == nullptr || last_chunk_->batches_carved == last_chunk_->batches) {
    if (spare == nullptr) return nullptr;
    append_chunk(std::exchange(spare, nullptr));
  }
  carve(empty);
  return empty;
}

magazine* block_pool::pop_empty() noexcept {
  if (magazine* top = empty_; top != nullptr) {
    empty_ = top->next;
    return top;
  }
  // Invariant 3: some chunk has one left.
  chunk* source = magazine_source_;
  while (source->magazines_used == source->batches) source = source->next;
  magazine_source_ = source;
  return source->unused_magazine(options_.block_bytes);
}

void block_pool::push_empty(magazine* empty) noexcept {
  empty->next = empty_;
  empty_ = empty;
}

void block_pool::push_full(magazine* full) noexcept {
  full->next = full_;
  full_ = full;
  full_count_ = full_count_ + 1;
}

// Puts `count` loose blocks to the others; whenever there are enough of them they fill a magazine.
void block_pool::put_loose(void* const* blocks, std::uint32_t count) noexcept {
  magazine* into = partial_;
  std::uint32_t held = partial_count_;
  for (std::uint32_t i = 0; i != count; ++i) {
    if (held == magazine::capacity) {
      push_full(into);
      into = pop_empty();
      held = 0;
    }
    into->blocks[held++] = blocks[i];
  }
  partial_ = into;
  partial_count_ = held;
}

// Both loops below ask the system for a chunk outside the lock; if somebody else was quicker, it goes back.
magazine* block_pool::exchange_for_full(magazine* empty) {
  for (chunk* spare = nullptr;; spare = make_chunk()) {
    magazine* full = nullptr;
    {
      sync::lock_guard guard(lock_);
      full = full_for(empty, spare);
    }
    if (full == nullptr) continue;
    if (spare != nullptr) drop_chunk(spare);
    return full;
  }
}

magazine* block_pool::exchange_for_empty(magazine* full) noexcept {
  sync::lock_guard guard(lock_);
  push_full(full);
  return pop_empty();
}

void* block_pool::take_one() {
  for (chunk* spare = nullptr;; spare = make_chunk()) {
    void* block = nullptr;
    {
      sync::lock_guard guard(lock_);
      if (partial_count_ == 0) refill_partial(spare);
      if (partial_count_ != 0) {
        partial_count_ = partial_count_ - 1;
        block = partial_->blocks[partial_count_];
      }
    }
    if (block == nullptr) continue;
    if (spare != nullptr) drop_chunk(spare);
    return block;
  }
}

void block_pool::refill_partial(chunk*& spare) noexcept {
  magazine* full = full_for(partial_, spare);
  if (full == nullptr) return;
  partial_ = full;
  partial_count_ = magazine::capacity;
}

void block_pool::give_one(void* block) noexcept {
  sync::lock_guard guard(lock_);
  put_loose(&block, 1);
}

void block_pool::attach(magazine*& first, magazine*& second) {
  {
    sync::lock_guard guard(lock_);
    if (unused_pairs_ != 0) {
      unused_pairs_ = unused_pairs_ - 1;
      first = pop_empty();
      second = pop_empty();
      return;
    }
  }
  auto* pair = new extra_pair{};
  first = &pair->magazines[0];
  second = &pair->magazines[1];
  sync::lock_guard guard(lock_);
  pair->next = extra_pairs_;
  extra_pairs_ = pair;
}

void block_pool::detach(magazine* first, std::uint32_t first_count, magazine* second,
                        std::uint32_t second_count) noexcept {
  sync::lock_guard guard(lock_);
  put_back(first, first_count);
  put_back(second, second_count);
  unused_pairs_ = unused_pairs_ + 1;
}

void block_pool::put_back(magazine* from, std::uint32_t count) noexcept {
  if (count == magazine::capacity) return push_full(from);
  put_loose(from->blocks, count);
  push_empty(from);
}

void block_pool::for_each_block(void (*visit)(void* context, void* block), void* context) {
  struct span {
    chunk* from;
    std::size_t blocks;
  };
  // A chunk stays where it is while the pool lives, and what is carved stays carved: the lock is for the two reads only.
  const auto look = [this](chunk* previous) -> span {
    sync::lock_guard guard(lock_);
    chunk* c = previous == nullptr ? first_chunk_.get() : previous->next;
    return {c, c == nullptr ? 0 : c->batches_carved * magazine::capacity};
  };
  for (span s = look(nullptr); s.from != nullptr; s = look(s.from))
    for (std::size_t i = 0; i != s.blocks; ++i) visit(context, s.from->block(i, options_.block_bytes));
}

pool_statistics block_pool::statistics() {
  sync::lock_guard guard(lock_);
  const std::size_t pooled = full_count_ * magazine::capacity + partial_count_;
  return {.reserved_bytes = chunks_ * chunk_bytes(options_),
          .carved_bytes = carved_ * options_.block_bytes,
          .in_use_bytes = (carved_ - pooled) * options_.block_bytes};
}

void pool_cache::refill() {
  if (!spare_full_) spare_ = pool_->exchange_for_full(spare_);
  std::swap(loaded_, spare_);
  spare_full_ = false;
  count_ = magazine::capacity;
}

void pool_cache::drain() noexcept {
  if (spare_full_) spare_ = pool_->exchange_for_empty(spare_);
  std::swap(loaded_, spare_);
  spare_full_ = true;
  count_ = 0;
}

namespace {

pool_statistics sum(block_pool* pools, std::size_t count) {
  pool_statistics total;
  for (std::size_t i = 0; i != count; ++i) {
    const pool_statistics one = pools[i].statistics();
    total.reserved_bytes += one.reserved_bytes;
    total.carved_bytes += one.carved_bytes;
    total.in_use_bytes += one.in_use_bytes;
  }
  return total;
}

pool_options slots(std::size_t size_class, construct_block construct, const arena_options& options) noexcept {
  return {.block_bytes = slot_arena::sizes[size_class],
          .chunk_bytes = options.chunk_bytes,
          .construct = construct,
          .huge_pages = options.huge_pages};
}

}  // namespace

pool_statistics block_depot::statistics() { return sum(pools_, classes); }

slot_arena::slot_arena(construct_block construct, const arena_options& options)
    : pools_{block_pool(slots(0, construct, options)), block_pool(slots(1, construct, options)),
             block_pool(slots(2, construct, options)), block_pool(slots(3, construct, options)),
             block_pool(slots(4, construct, options)), block_pool(slots(5, construct, options))} {}

pool_statistics slot_arena::statistics() { return sum(pools_, classes); }

}  // namespace coppice::internal
