// SPDX-License-Identifier: Apache-2.0
//
// slab: memory for what is made and dropped millions of times a second: message nodes, timer nodes, process slots.
//
// Typically a block is allocated by a producer's thread and freed by its consumer's. Each thread therefore works on two
// *magazines* of its own (arrays of pointers to free blocks), and only whole magazines travel between threads, through the
// pool of that block size: one lock per 63 blocks. A magazine holds addresses, so handing out a block does not touch it;
// a free list threaded through the blocks would cost the producer one cache miss after another.
//
//   block_pool    all blocks of one size; shared
//   pool_cache    a thread's two magazines in front of one pool; private to its thread
//   block_depot   pools of 64, 128, 256 and 512 bytes for nodes      + block_cache, the thread's part
//   slot_arena    pools of 128 … 1024 bytes, type-stable, enumerable + slot_cache, the thread's part
//
// Who may touch what: pools, depots and arenas any thread; caches only the thread that owns them. A cache must be gone
// before its pool. Depot and arena are objects of a runtime; their destructors give all memory back.
//
// Invariants
//  1. A block is in exactly one place: in use, in one magazine, or not carved from its chunk yet.
//  2. pool_cache: `loaded_` holds `count_` blocks; `spare_` is full or empty, as `spare_full_` says.
//  3. A pool owns at least blocks/63 + 1 + 2 per cache magazines. So whoever frees always finds an empty one, and freeing
//     needs no memory: were all outside the caches full, they would hold more blocks than there are.
//  4. Blocks of a slot_arena are constructed once, before they are first handed out, and stay constructed.
//  5. Memory is touched only as blocks are carved (63 at a time), magazines only as they are needed.
#pragma once

#include <coppice/base/detail/sync.hpp>

#include "runtime/poison.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>

namespace coppice::internal {

namespace sync = coppice::detail::sync;

/// Has the line brought to this core while it does something else. A hint: any address will do.
inline void fetch_for_write(const void* line) noexcept {
#if defined(__x86_64__)
  asm volatile("prefetchw %0" ::"m"(*static_cast<const char*>(line)));  // the builtin asks for a copy to read only
#else
  __builtin_prefetch(line, 1);
#endif
}

/// Up to 63 free blocks of one size; 512 bytes, so that 8 share a page.
struct magazine {
  static constexpr std::uint32_t capacity = 63;
  magazine* next;
  void* blocks[capacity];
};
static_assert(sizeof(magazine) == 64 * sizeof(void*));

/// Initialises the control part of a block of `bytes` bytes, once. Runs under the pool's lock: it writes the block only.
using construct_block = void (*)(void* block, std::size_t bytes) noexcept;

struct pool_options {
  std::size_t block_bytes;               // a multiple of 64
  std::size_t chunk_bytes = 256 * 1024;  // how much is asked of the system at a time
  construct_block construct = nullptr;
  bool huge_pages = false;  // ask for 2 MiB pages: fewer TLB misses, coarser resident memory
};

struct pool_statistics {
  std::size_t reserved_bytes = 0;  // asked of the system; touched only as far as used
  std::size_t carved_bytes = 0;    // handed out at least once, or about to be
  std::size_t in_use_bytes = 0;    // carved and not back in the pool; counts what lies in the threads' caches
};

class block_pool {
 public:
  explicit block_pool(const pool_options& options);
  ~block_pool();
  block_pool(const block_pool&) = delete;
  block_pool& operator=(const block_pool&) = delete;

  std::size_t block_bytes() const noexcept { return options_.block_bytes; }

  /// Takes an empty magazine, returns a full one. Throws std::bad_alloc; `empty` is the caller's still.
  magazine* exchange_for_full(magazine* empty);
  /// Takes a full magazine, returns an empty one.
  magazine* exchange_for_empty(magazine* full) noexcept;

  /// For threads without a cache. Cost: a lock each.
  void* take_one();
  void give_one(void* block) noexcept;

  /// Two empty magazines for a new cache, and back, with what is in them.
  void attach(magazine*& first, magazine*& second);
  void detach(magazine* first, std::uint32_t first_count, magazine* second, std::uint32_t second_count) noexcept;

  /// Calls `visit(context, block)` for every block that was ever handed out, in use or not. Blocks carved meanwhile may be
  /// missed. No lock is held during the calls. Only useful where blocks are constructed (slot_arena).
  void for_each_block(void (*visit)(void* context, void* block), void* context);

  pool_statistics statistics();

 private:
  struct chunk;
  struct extra_pair;

  chunk* make_chunk() const;
  void drop_chunk(chunk* dropped) const noexcept;
  void append_chunk(chunk* added) noexcept;
  void carve(magazine* into) noexcept;
  magazine* full_for(magazine* empty, chunk*& spare) noexcept;
  void refill_partial(chunk*& spare) noexcept;
  magazine* pop_empty() noexcept;
  void push_empty(magazine* empty) noexcept;
  void push_full(magazine* full) noexcept;
  void put_loose(void* const* blocks, std::uint32_t count) noexcept;
  void put_back(magazine* from, std::uint32_t count) noexcept;

  // Never changed after construction.
  const pool_options options_;
  const std::size_t batches_per_chunk_;

  // Guarded by lock_.
  alignas(64) sync::spinlock lock_;
  sync::var<magazine*> full_;
  sync::var<magazine*> empty_;
  sync::var<magazine*> partial_;  // loose blocks: from threads without a cache, from caches that ended
  sync::var<std::uint32_t> partial_count_;
  sync::var<std::uint32_t> unused_pairs_;  // magazines that caches left behind, two each
  sync::var<chunk*> first_chunk_;          // in order of creation; the last one is being carved
  sync::var<chunk*> last_chunk_;
  sync::var<chunk*> magazine_source_;  // the first chunk with magazines that were never used
  sync::var<extra_pair*> extra_pairs_;
  sync::var<std::size_t> chunks_;
  sync::var<std::size_t> carved_;      // blocks
  sync::var<std::size_t> full_count_;  // magazines in full_
};

class pool_cache {
 public:
  explicit pool_cache(block_pool& pool) : pool_(&pool) { pool.attach(loaded_, spare_); }
  ~pool_cache() { pool_->detach(loaded_, count_, spare_, spare_full_ ? magazine::capacity : 0); }
  pool_cache(const pool_cache&) = delete;
  pool_cache& operator=(const pool_cache&) = delete;

  /// The block that was given last, if any. Throws std::bad_alloc.
  void* take() {
    if (count_ == 0) [[unlikely]]
      refill();
    return loaded_->blocks[--count_];
  }
  /// Null where `take` would have to ask the pool.
  void* take_at_hand() noexcept { return count_ != 0 ? loaded_->blocks[--count_] : nullptr; }
  /// As take, for blocks that other cores free: the one that is due some takes later is fetched meanwhile, to be written.
  void* take_ahead() {
    constexpr std::uint32_t ahead = 8;           // about one message between two cores later
    void* block = take();
    if (count_ >= ahead) fetch_for_write(loaded_->blocks[count_ - ahead]);
    return block;
  }
  void give(void* block) noexcept {
    if (count_ == magazine::capacity) [[unlikely]]
      drain();
    loaded_->blocks[count_++] = block;
  }

 private:
  void refill();
  void drain() noexcept;

  magazine* loaded_ = nullptr;
  std::uint32_t count_ = 0;
  bool spare_full_ = false;
  magazine* spare_ = nullptr;
  block_pool* pool_;
};

/// Where the nodes of a runtime come from. Sizes above 512 bytes go to operator new.
class block_depot {
 public:
  static constexpr std::size_t classes = 4;
  static constexpr std::size_t largest = 512;

  block_depot() : block_depot(256 * 1024) {}
  explicit block_depot(std::size_t chunk_bytes)
      : pools_{block_pool({64, chunk_bytes}), block_pool({128, chunk_bytes}), block_pool({256, chunk_bytes}),
               block_pool({512, chunk_bytes})} {}

  static constexpr std::size_t class_of(std::size_t bytes) noexcept {
    return bytes <= 64 ? 0 : static_cast<std::size_t>(std::bit_width(bytes - 1)) - 6;
  }
  static constexpr std::size_t class_bytes(std::size_t size_class) noexcept { return std::size_t{64} << size_class; }

  block_pool& pool(std::size_t size_class) noexcept { return pools_[size_class]; }
  pool_statistics statistics();

 private:
  block_pool pools_[classes];
};

/// A thread's part of a block_depot. Cost: about 1 ns each way; with a constant size there is no branch on it.
class block_cache {
 public:
  explicit block_cache(block_depot& depot)
      : caches_{pool_cache(depot.pool(0)), pool_cache(depot.pool(1)), pool_cache(depot.pool(2)),
                pool_cache(depot.pool(3))} {}

  /// Returns: at least `bytes` bytes, aligned to 64. Throws std::bad_alloc.
  void* allocate(std::size_t bytes) {
    if (bytes > block_depot::largest) [[unlikely]]
      return ::operator new(bytes, std::align_val_t{64});
    return take(block_depot::class_of(bytes));
  }
  /// `bytes` is what was asked for; the block may come from another thread's cache of the same depot.
  void free(void* block, std::size_t bytes) noexcept {
    if (bytes > block_depot::largest) [[unlikely]]
      return ::operator delete(block, std::align_val_t{64});
    give(block, block_depot::class_of(bytes));
  }
  /// As allocate, for blocks that other cores free.
  void* allocate_ahead(std::size_t bytes) {
    if (bytes > block_depot::largest) [[unlikely]]
      return ::operator new(bytes, std::align_val_t{64});
    const std::size_t size_class = block_depot::class_of(bytes);
    void* block = caches_[size_class].take_ahead();
    unpoison(block, block_depot::class_bytes(size_class));
    return block;
  }
  /// One of a class, if the thread has any at hand; else null.
  void* take_at_hand(std::size_t size_class) noexcept {
    void* block = caches_[size_class].take_at_hand();
    if (block != nullptr) unpoison(block, block_depot::class_bytes(size_class));
    return block;
  }
  /// The same for who knows the class already.
  void* take(std::size_t size_class) {
    void* block = caches_[size_class].take();
    unpoison(block, block_depot::class_bytes(size_class));
    return block;
  }
  void give(void* block, std::size_t size_class) noexcept {
    poison(block, block_depot::class_bytes(size_class));
    caches_[size_class].give(block);
  }

 private:
  pool_cache caches_[block_depot::classes];
};

struct arena_options {
  std::size_t chunk_bytes = 1024 * 1024;
  bool huge_pages = false;
};

/// Type-stable storage for process slots: a block's control part is constructed once and its memory is never given back
/// while the arena lives, so that a stale pointer always meets a constructed object.
class slot_arena {
 public:
  static constexpr std::size_t classes = 6;
  static constexpr std::size_t largest = 1024;
  static constexpr std::size_t sizes[classes] = {128, 192, 256, 384, 512, 1024};

  explicit slot_arena(construct_block construct) : slot_arena(construct, arena_options{}) {}
  slot_arena(construct_block construct, const arena_options& options);

  /// The smallest class that holds `bytes`; `bytes` is at most `largest`.
  static constexpr std::uint32_t class_of(std::size_t bytes) noexcept {
    std::uint32_t size_class = 0;
    while (sizes[size_class] < bytes) ++size_class;
    return size_class;
  }

  block_pool& pool(std::size_t size_class) noexcept { return pools_[size_class]; }
  pool_statistics statistics();

  /// Calls `visit(void* block, std::size_t size_class)` for every block that was ever handed out: the owner tells by the
  /// control part which are in use. No lock is held during the calls.
  template <class Visit>
  void for_each_block(Visit&& visit) {
    for (std::size_t size_class = 0; size_class != classes; ++size_class) {
      auto call = [&](void* block) { visit(block, size_class); };
      using call_type = decltype(call);
      pools_[size_class].for_each_block([](void* context, void* block) { (*static_cast<call_type*>(context))(block); },
                                        &call);
    }
  }

 private:
  block_pool pools_[classes];
};

/// A thread's part of a slot_arena. The block freed last is taken first: it is warm.
class slot_cache {
 public:
  explicit slot_cache(slot_arena& arena)
      : caches_{pool_cache(arena.pool(0)), pool_cache(arena.pool(1)), pool_cache(arena.pool(2)),
                pool_cache(arena.pool(3)), pool_cache(arena.pool(4)), pool_cache(arena.pool(5))} {}

  void* take(std::uint32_t size_class) { return caches_[size_class].take(); }
  void give(void* block, std::uint32_t size_class) noexcept { caches_[size_class].give(block); }

 private:
  pool_cache caches_[slot_arena::classes];
};

}  // namespace coppice::internal
