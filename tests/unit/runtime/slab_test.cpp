// SPDX-License-Identifier: Apache-2.0
//
// slab: blocks are distinct, aligned, reused, counted; and they travel between threads without loss.
#include "runtime/slab.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <random>
#include <set>
#include <thread>
#include <vector>

namespace {

using namespace coppice::internal;

struct control {
  std::uint64_t magic;
  std::atomic<std::uint64_t> constructions;
};

constexpr std::uint64_t magic = 0x5107;

void construct(void* block, std::size_t) noexcept {
  // A block that was constructed before would show: memory of a fresh chunk may hold anything, so the arena tests count
  // distinct blocks and constructions instead of trusting what they find.
  ::new (block) control{magic, {}};
}

bool aligned(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 64 == 0; }

}  // namespace

TEST_CASE("block_depot rounds sizes up to its classes") {
  CHECK(block_depot::class_of(1) == 0);
  CHECK(block_depot::class_of(64) == 0);
  CHECK(block_depot::class_of(65) == 1);
  CHECK(block_depot::class_of(128) == 1);
  CHECK(block_depot::class_of(129) == 2);
  CHECK(block_depot::class_of(257) == 3);
  CHECK(block_depot::class_of(512) == 3);
  CHECK(block_depot::class_bytes(3) == 512);
}

TEST_CASE("slot_arena rounds sizes up to its classes") {
  CHECK(slot_arena::class_of(1) == 0);
  CHECK(slot_arena::class_of(128) == 0);
  CHECK(slot_arena::class_of(129) == 1);
  CHECK(slot_arena::class_of(300) == 3);
  CHECK(slot_arena::class_of(1024) == 5);
}

TEST_CASE("block_cache gives the block back that was freed last") {
  block_depot depot;
  block_cache cache(depot);
  void* a = cache.allocate(64);
  void* b = cache.allocate(64);
  cache.free(a, 64);
  cache.free(b, 64);
  CHECK(cache.allocate(64) == b);
  CHECK(cache.allocate(64) == a);
}

TEST_CASE("block_cache serves every size, also above the largest class") {
  block_depot depot;
  block_cache cache(depot);
  for (std::size_t bytes : {1u, 64u, 65u, 128u, 200u, 256u, 400u, 512u, 513u, 5000u}) {
    void* block = cache.allocate(bytes);
    CHECK(aligned(block));
    std::memset(block, 0xAB, bytes);
    cache.free(block, bytes);
  }
}

TEST_CASE("block_cache: blocks in use never overlap, whatever the order of allocating and freeing") {
  block_depot depot(1);  // the smallest chunks, so that many are made
  block_cache cache(depot);
  std::mt19937 random(3);
  struct piece {
    unsigned char* at;
    std::size_t bytes;
    unsigned char mark;
  };
  std::vector<piece> pieces;
  for (int round = 0; round != 100'000; ++round) {
    if (pieces.size() < 50 || (random() % 2 == 0 && pieces.size() < 2000)) {
      piece p{nullptr, 1 + random() % 512, static_cast<unsigned char>(random())};
      p.at = static_cast<unsigned char*>(cache.allocate(p.bytes));
      REQUIRE(aligned(p.at));
      p.at[0] = p.mark;
      p.at[p.bytes - 1] = p.mark;
      pieces.push_back(p);
    } else {
      std::swap(pieces[random() % pieces.size()], pieces.back());
      const piece p = pieces.back();
      pieces.pop_back();
      REQUIRE(p.at[0] == p.mark);
      REQUIRE(p.at[p.bytes - 1] == p.mark);
      cache.free(p.at, p.bytes);
    }
  }
  for (const piece& p : pieces) cache.free(p.at, p.bytes);
}

TEST_CASE("block_depot uses freed memory again: many rounds need no more than one") {
  block_depot depot;
  block_cache cache(depot);
  std::vector<void*> blocks(10'000);
  const auto round = [&] {
    for (void*& b : blocks) b = cache.allocate(64);
    for (void* b : blocks) cache.free(b, 64);
  };
  round();
  const std::size_t after_first = depot.statistics().carved_bytes;
  for (int i = 0; i != 50; ++i) round();
  CHECK(depot.statistics().carved_bytes == after_first);
  CHECK(after_first < blocks.size() * 64 + 4 * 63 * 64);
}

TEST_CASE("block_depot counts what is in use once the caches have ended") {
  block_depot depot;
  void* kept[3];
  {
    block_cache cache(depot);
    for (void*& k : kept) k = cache.allocate(256);
    for (int i = 0; i != 500; ++i) cache.free(cache.allocate(64), 64);
  }
  CHECK(depot.statistics().in_use_bytes == 3 * 256);
  for (void* k : kept) depot.pool(2).give_one(k);
  CHECK(depot.statistics().in_use_bytes == 0);
  CHECK(depot.statistics().reserved_bytes >= depot.statistics().carved_bytes);
}

TEST_CASE("block_depot: caches that come and go leave nothing behind") {
  block_depot depot;
  for (int i = 0; i != 1000; ++i) {
    block_cache cache(depot);
    std::vector<void*> blocks(200);
    for (void*& b : blocks) b = cache.allocate(64);
    for (void* b : blocks) cache.free(b, 64);
  }
  CHECK(depot.statistics().in_use_bytes == 0);
  CHECK(depot.statistics().carved_bytes < 4 * 400 * 64);
}

TEST_CASE("block_pool serves threads without a cache") {
  block_pool pool({.block_bytes = 128, .chunk_bytes = 1});
  std::set<void*> seen;
  for (int i = 0; i != 1000; ++i) seen.insert(pool.take_one());
  CHECK(seen.size() == 1000);
  CHECK(pool.statistics().in_use_bytes == 1000 * 128);
  for (void* block : seen) pool.give_one(block);
  CHECK(pool.statistics().in_use_bytes == 0);
  const std::size_t carved = pool.statistics().carved_bytes;
  for (int i = 0; i != 1000; ++i) CHECK(seen.contains(pool.take_one()));
  CHECK(pool.statistics().carved_bytes == carved);
}

TEST_CASE("block_pool always has an empty magazine for what is freed, even when all its blocks come home") {
  // Invariant 3 of slab.hpp at its tightest: every cache keeps two full magazines and all other blocks go to one of them.
  block_pool pool({.block_bytes = 64, .chunk_bytes = 1});
  constexpr std::size_t kept = 2 * magazine::capacity;
  std::deque<pool_cache> caches;
  std::vector<void*> blocks;
  for (int i = 0; i != 20; ++i) {
    pool_cache& cache = caches.emplace_back(pool);
    std::vector<void*> own(2 * kept);
    for (void*& b : own) b = cache.take();
    for (std::size_t k = 0; k != kept; ++k) cache.give(own[k]);
    blocks.insert(blocks.end(), own.begin() + kept, own.end());
  }
  const std::size_t total = pool.statistics().carved_bytes / 64;
  for (void* b : blocks) caches.front().give(b);
  caches.clear();
  CHECK(pool.statistics().in_use_bytes == 0);
  std::set<void*> seen;
  for (std::size_t i = 0; i != total; ++i) seen.insert(pool.take_one());
  CHECK(seen.size() == total);
  CHECK(pool.statistics().carved_bytes == total * 64);
}

TEST_CASE("slot_arena constructs a block before it is first handed out and never again") {
  slot_arena arena(&construct, {.chunk_bytes = 1});
  slot_cache cache(arena);
  std::set<void*> seen;
  for (int round = 0; round != 3; ++round) {
    std::vector<void*> blocks;
    for (int i = 0; i != 1000; ++i) {
      auto* c = static_cast<control*>(cache.take(0));
      REQUIRE(aligned(c));
      REQUIRE(c->magic == magic);
      if (seen.insert(c).second)
        REQUIRE(c->constructions == 0);  // what the last tenant left there would be 1
      else
        REQUIRE(c->constructions == 1);
      c->constructions = 1;
      blocks.push_back(c);
    }
    for (void* b : blocks) cache.give(b, 0);
  }
}

TEST_CASE("slot_arena lists every block that was handed out") {
  slot_arena arena(&construct, {.chunk_bytes = 64 * 1024});
  slot_cache cache(arena);
  std::set<void*> taken;
  for (int i = 0; i != 500; ++i) taken.insert(cache.take(0));
  for (int i = 0; i != 500; ++i) taken.insert(cache.take(4));
  std::set<void*> listed;
  arena.for_each_block([&](void* block, std::size_t size_class) {
    REQUIRE((size_class == 0 || size_class == 4));
    REQUIRE(static_cast<control*>(block)->magic == magic);
    REQUIRE(listed.insert(block).second);
  });
  CHECK(std::includes(listed.begin(), listed.end(), taken.begin(), taken.end()));
  CHECK(listed.size() < taken.size() + 2 * 63);
}

TEST_CASE("slab: blocks allocated by some threads and freed by others are neither lost nor handed out twice") {
  constexpr int producers = 2;
  constexpr int per_producer = 60'000;
  struct node {
    std::atomic<node*> next;
    std::uint64_t owner;  // plain: ThreadSanitizer sees whether the pool orders one tenant before the next
  };
  block_depot depot;
  std::atomic<node*> inbox{nullptr};
  std::atomic<int> running{producers};
  std::vector<std::thread> threads;
  for (int p = 0; p != producers; ++p)
    threads.emplace_back([&, p] {
      block_cache cache(depot);
      for (int i = 0; i != per_producer; ++i) {
        auto* n = ::new (cache.allocate(sizeof(node))) node{};
        n->owner = static_cast<std::uint64_t>(p);
        node* first = inbox.load(std::memory_order_relaxed);
        do n->next.store(first, std::memory_order_relaxed);
        while (!inbox.compare_exchange_weak(first, n, std::memory_order_release, std::memory_order_relaxed));
      }
      --running;
    });
  std::uint64_t received[producers] = {};
  {
    block_cache cache(depot);
    for (bool last_round = false; !last_round;) {
      last_round = running == 0;
      for (node* n = inbox.exchange(nullptr, std::memory_order_acquire); n != nullptr;) {
        node* next = n->next.load(std::memory_order_relaxed);
        REQUIRE(n->owner < producers);
        ++received[n->owner];
        n->owner = ~std::uint64_t{0};
        cache.free(n, sizeof(node));
        n = next;
      }
    }
  }
  for (std::thread& t : threads) t.join();
  for (std::uint64_t r : received) CHECK(r == per_producer);
  CHECK(depot.statistics().in_use_bytes == 0);
}

TEST_CASE("slot_arena can be listed while others take and give blocks") {
  slot_arena arena(&construct, {.chunk_bytes = 1});
  std::atomic<bool> over{false};
  std::thread other([&] {
    slot_cache cache(arena);
    std::deque<void*> blocks;
    for (std::size_t wanted = 0; !over; wanted = (wanted + 1) % 3000) {
      while (blocks.size() < wanted) blocks.push_back(cache.take(0));
      for (; blocks.size() > wanted; blocks.pop_front()) cache.give(blocks.front(), 0);
      if (wanted != 0) static_cast<control*>(blocks.back())->constructions.fetch_add(1, std::memory_order_relaxed);
    }
    for (void* b : blocks) cache.give(b, 0);
  });
  std::size_t listed = 0;
  bool constructed = true;
  for (int round = 0; round != 200 || listed == 0; round += round != 200) {
    listed = 0;
    arena.for_each_block([&](void* block, std::size_t) {
      ++listed;
      constructed = constructed && static_cast<control*>(block)->magic == magic;
    });
  }
  over = true;
  other.join();
  CHECK(constructed);
}
