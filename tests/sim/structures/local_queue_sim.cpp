// SPDX-License-Identifier: Apache-2.0
//
// local_queue under every interleaving and the whole memory model: each item is taken once, complete, and parking misses none.
#include "runs.hpp"
#include "runtime/local_queue.hpp"
#include "sim/driver.hpp"

#include <doctest/doctest.h>

#include <vector>

namespace {

namespace sim = coppice::internal::sim;
namespace sync = coppice::detail::sync;
using coppice::internal::local_queue;
using coppice::testing::runs;

struct item {
  sync::var<int> payload;  // reported as a race if the queue does not publish it
  sync::var<int> taken;

  void take() {
    sim::check(payload.get() == 7, "an item was taken before it was complete");
    sim::check(taken.get() == 0, "an item was taken twice");
    taken = 1;
  }
};

// The owner pushes and pops, two thieves take one or half. A ring of four, so that it fills and comes round.
void stealing() {
  using queue = local_queue<item, 4>;
  constexpr int total = 9;
  queue q;
  item items[total];
  sync::atomic<int> pushed_all{0};
  {
    runs one([&] {
      for (int i = 0; i != 3; ++i)
        if (item* taken = q.steal_one()) taken->take();
    });
    runs half([&] {
      queue own;
      for (int i = 0; i != 2; ++i) {
        if (item* taken = own.steal_half_from(q)) taken->take();
        while (item* taken = own.pop()) taken->take();
      }
    });
    for (item& i : items) {
      i.payload = 7;
      q.push(&i, [](item** first, std::size_t count) {
        for (std::size_t k = 0; k != count; ++k) first[k]->take();
      });
      if (sim::random(3) == 0)
        if (item* own = q.pop()) own->take();
    }
    while (item* own = q.pop()) own->take();
  }
  for (item& i : items) sim::check(i.taken.get() == 1, "an item was lost");
}

// The last item: owner and thief want the same one, again and again.
void last_item() {
  local_queue<item, 4> q;
  item items[4];
  {
    runs thief([&] {
      for (int i = 0; i != 4; ++i)
        if (item* taken = q.steal_one()) taken->take();
    });
    for (item& i : items) {
      i.payload = 7;
      sim::check(q.push(&i), "the ring is not full");
      if (item* own = q.pop()) own->take();
    }
  }
  for (item& i : items) sim::check(i.taken.get() == 1, "an item was lost");
}

// What was stolen can be stolen again: from the owner through one thief to another.
void stolen_twice() {
  local_queue<item, 4> q, first;
  item items[4];
  for (item& i : items) i.payload = 0;
  {
    runs one([&] {
      for (int i = 0; i != 2; ++i)
        if (item* taken = first.steal_half_from(q)) taken->take();
      while (item* taken = first.pop()) taken->take();
    });
    runs other([&] {
      for (int i = 0; i != 2; ++i)
        if (item* taken = first.steal_one()) taken->take();
    });
    for (item& i : items) {
      i.payload = 7;
      sim::check(q.push(&i), "the ring is not full");
    }
  }
  while (item* taken = q.pop()) taken->take();
  for (item& i : items) sim::check(i.taken.get() == 1, "an item was lost");
}

// Who pushes and then asks whether somebody sleeps, and who announces sleep and then looks: one sees the other.
void parking() {
  local_queue<item, 4> q;
  item i;
  sync::atomic<int> asleep{0, "asleep"};
  bool saw_item = false, saw_sleeper = false;
  {
    runs sleeper([&] {
      asleep.store(1, sync::seq_cst);
      saw_item = !q.empty();
    });
    i.payload = 7;
    sim::check(q.push(&i), "the ring is not full");
    sync::fence(sync::seq_cst);
    saw_sleeper = asleep.load(sync::seq_cst) != 0;
  }
  sim::check(saw_item || saw_sleeper, "a sleeper and an item missed each other");
}

const sim::scenario scenarios[] = {{"local_queue_stealing", &stealing},
                                   {"local_queue_last_item", &last_item},
                                   {"local_queue_stolen_twice", &stolen_twice},
                                   {"local_queue_parking", &parking}};

}  // namespace

TEST_CASE("local_queue gives each item to exactly one taker, complete") {
  for (const char* scenario : {"local_queue_stealing", "local_queue_last_item", "local_queue_stolen_twice"}) {
    const sim::verdict v = sim::seeds(scenario);
    CHECK_MESSAGE(v.passed(), v.report);
  }
}

TEST_CASE("local_queue: a worker that parks and one that pushes do not miss each other") {
  const sim::verdict v = sim::seeds("local_queue_parking");
  CHECK_MESSAGE(v.passed(), v.report);
}
