// SPDX-License-Identifier: Apache-2.0
//
// slab under every interleaving: a block's next tenant sees that the one before has ended.
#include "runs.hpp"
#include "runtime/slab.hpp"
#include "sim/driver.hpp"

#include <doctest/doctest.h>

#include <iterator>

namespace {

namespace sim = coppice::internal::sim;
namespace sync = coppice::detail::sync;
using coppice::internal::block_pool;
using coppice::internal::pool_cache;
using coppice::testing::runs;

struct tenant {
  sync::var<int> owner;  // a race here: the pool did not order one tenant before the next
};

void construct(void* block, std::size_t) noexcept { ::new (block) tenant; }

// Two threads take more than their caches hold and give everything back, so that whole magazines change hands. Only some
// of the blocks are looked at: each look is a step.
void exchange() {
  block_pool pool({.block_bytes = 64, .chunk_bytes = 1, .construct = &construct});
  const auto use = [&](int me) {
    return [&pool, me] {
      pool_cache cache(pool);
      for (int round = 0; round != 2; ++round) {
        tenant* mine[130];
        for (tenant*& t : mine) t = static_cast<tenant*>(cache.take());
        for (std::size_t i = 0; i < std::size(mine); i += 16) mine[i]->owner = me;
        for (std::size_t i = 0; i < std::size(mine); i += 16)
          sim::check(mine[i]->owner.get() == me, "a block has two tenants");
        for (tenant* t : mine) cache.give(t);
      }
    };
  };
  { runs a(use(1)), b(use(2)); }
  sim::check(pool.statistics().in_use_bytes == 0, "a block was lost");
}

// The same without caches.
void one_by_one() {
  block_pool pool({.block_bytes = 64, .chunk_bytes = 1, .construct = &construct});
  const auto use = [&](int me) {
    return [&pool, me] {
      for (int i = 0; i != 2; ++i) {
        auto* t = static_cast<tenant*>(pool.take_one());
        t->owner = me;
        pool.give_one(t);
      }
    };
  };
  { runs a(use(1)), b(use(2)); }
  sim::check(pool.statistics().in_use_bytes == 0, "a block was lost");
}

const sim::scenario scenarios[] = {{"slab_exchange", &exchange}, {"slab_one_by_one", &one_by_one}};

}  // namespace

TEST_CASE("slab: whole magazines change hands without losing a block or its order") {
  for (const char* scenario : {"slab_exchange", "slab_one_by_one"}) {
    const sim::verdict v = sim::seeds(scenario);
    CHECK_MESSAGE(v.passed(), v.report);
  }
}
