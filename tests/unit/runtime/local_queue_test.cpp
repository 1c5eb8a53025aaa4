// SPDX-License-Identifier: Apache-2.0
//
// local_queue: order, a full ring, and that under stealing every item is taken exactly once.
#include "runtime/local_queue.hpp"

#include "support/eventually.hpp"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <deque>
#include <memory>
#include <random>
#include <thread>
#include <vector>

namespace {

using coppice::internal::local_queue;

struct item {
  int number = 0;  // plain on purpose: ThreadSanitizer sees whether the queue publishes it
  std::atomic<int> taken{0};
};

using queue = local_queue<item>;

const auto no_overflow = [](item**, std::size_t) { FAIL("the ring was not full"); };

}  // namespace

TEST_CASE("local_queue gives items back in the order in which they came") {
  auto q = std::make_unique<queue>();
  std::array<item, 10> items;
  CHECK(q->empty());
  for (item& i : items) REQUIRE(q->push(&i));
  CHECK(q->size() == items.size());
  for (item& i : items) CHECK(q->pop() == &i);
  CHECK(q->pop() == nullptr);
  CHECK(q->empty());
}

TEST_CASE("local_queue refuses the item that does not fit, and has room again after a pop") {
  auto q = std::make_unique<queue>();
  std::vector<item> items(queue::capacity + 1);
  for (std::size_t i = 0; i != queue::capacity; ++i) REQUIRE(q->push(&items[i]));
  CHECK_FALSE(q->push(&items.back()));
  CHECK(q->pop() == &items[0]);
  CHECK(q->push(&items.back()));
  for (std::size_t i = 1; i != items.size(); ++i) CHECK(q->pop() == &items[i]);
}

TEST_CASE("local_queue hands its older half and the new item over when it is full") {
  auto q = std::make_unique<queue>();
  std::vector<item> items(queue::capacity + 1);
  for (std::size_t i = 0; i != queue::capacity; ++i) q->push(&items[i], no_overflow);
  std::vector<item*> handed_over;
  q->push(&items.back(), [&](item** first, std::size_t count) { handed_over.assign(first, first + count); });
  REQUIRE(handed_over.size() == queue::capacity / 2 + 1);
  for (std::size_t i = 0; i != queue::capacity / 2; ++i) CHECK(handed_over[i] == &items[i]);
  CHECK(handed_over.back() == &items.back());
  CHECK(q->size() == queue::capacity / 2);
  CHECK(q->pop() == &items[queue::capacity / 2]);
}

TEST_CASE("local_queue lets a thief take the older half, at least one") {
  auto victim = std::make_unique<queue>();
  auto thief = std::make_unique<queue>();
  std::array<item, 7> items;
  CHECK(thief->steal_half_from(*victim) == nullptr);
  for (item& i : items) REQUIRE(victim->push(&i));
  CHECK(thief->steal_half_from(*victim) == &items[0]);
  CHECK(victim->size() == 3);
  CHECK(thief->size() == 3);
  for (std::size_t i = 1; i != 4; ++i) CHECK(thief->pop() == &items[i]);
  CHECK(victim->steal_one() == &items[4]);
  CHECK(victim->steal_one() == &items[5]);
  CHECK(victim->steal_one() == &items[6]);
  CHECK(victim->steal_one() == nullptr);
}

TEST_CASE("local_queue takes no more from its victim than it has room for") {
  auto victim = std::make_unique<queue>();
  auto thief = std::make_unique<queue>();
  std::vector<item> items(2 * queue::capacity);
  for (std::size_t i = 0; i != queue::capacity; ++i) REQUIRE(victim->push(&items[i]));
  for (std::size_t i = 0; i != queue::capacity - 2; ++i) REQUIRE(thief->push(&items[queue::capacity + i]));
  CHECK(thief->steal_half_from(*victim) == &items[0]);
  CHECK(thief->size() == queue::capacity);
  CHECK(victim->pop() == &items[3]);
}

TEST_CASE("local_queue behaves like a plain queue under a random sequence of operations") {
  std::mt19937 random(7);
  auto q = std::make_unique<queue>();
  auto other = std::make_unique<queue>();
  std::deque<item*> model, other_model;
  std::vector<item> items(1000);
  for (int round = 0; round != 200'000; ++round) {
    item* any = &items[random() % items.size()];
    const unsigned what = random() % 100;
    if (what < 55) {
      const bool fits = model.size() < queue::capacity;
      q->push(any, [&](item** first, std::size_t count) {
        REQUIRE_FALSE(fits);
        REQUIRE(count == queue::capacity / 2 + 1);
        for (std::size_t i = 0; i + 1 != count; ++i) {
          REQUIRE(first[i] == model.front());
          model.pop_front();
        }
        REQUIRE(first[count - 1] == any);
      });
      if (fits) model.push_back(any);
    } else if (what < 90) {
      item* expected = model.empty() ? nullptr : model.front();
      REQUIRE(q->pop() == expected);
      if (expected != nullptr) model.pop_front();
    } else if (what < 95) {
      other_model.clear();
      while (other->pop() != nullptr) {}
      const std::size_t half = model.size() - model.size() / 2;
      item* first = other->steal_half_from(*q);
      REQUIRE(first == (model.empty() ? nullptr : model.front()));
      for (std::size_t i = 0; i != half; ++i) {
        if (i != 0) other_model.push_back(model.front());
        model.pop_front();
      }
      for (item* expected : other_model) REQUIRE(other->pop() == expected);
    } else {
      REQUIRE(q->size() == model.size());
      REQUIRE(q->empty() == model.empty());
    }
  }
}

TEST_CASE("local_queue loses nothing and gives nothing twice while others steal") {
  constexpr int thieves = 2;
  const int total = coppice::testing::rounds(300'000, 20'000'000);
  std::vector<item> items(static_cast<std::size_t>(total));
  auto q = std::make_unique<queue>();
  std::atomic<int> ready{0};
  std::atomic<bool> over{false};
  std::atomic<int> torn{0};
  const auto take = [&](item* i) {
    if (i != &items[static_cast<std::size_t>(i->number)]) ++torn;
    i->taken.fetch_add(1, std::memory_order_relaxed);
  };

  std::vector<std::thread> threads;
  for (int t = 0; t != thieves; ++t)
    threads.emplace_back([&, t] {
      auto own = std::make_unique<queue>();
      ++ready;
      for (bool last_round = false; !last_round;) {
        last_round = over.load();
        if (t == 0) {  // as the monitor thread does
          item* some[17];
          const std::uint64_t count = q->steal(some, std::size(some));
          for (std::uint64_t i = 0; i != count; ++i) take(some[i]);
        } else {
          if (item* first = own->steal_half_from(*q)) take(first);
          while (item* i = own->pop()) take(i);
        }
      }
    });
  while (ready != thieves) std::this_thread::yield();

  // Turns of both kinds: the ring nearly empty, so that owner and thief want the same item, and the ring full.
  std::mt19937 random(1);
  for (int i = 0; i != total; ++i) {
    items[static_cast<std::size_t>(i)].number = i;
    q->push(&items[static_cast<std::size_t>(i)], [&](item** first, std::size_t count) {
      for (std::size_t k = 0; k != count; ++k) take(first[k]);
    });
    if (i / 4096 % 2 == 0 || random() % 8 == 0)
      if (item* own = q->pop()) take(own);
  }
  while (item* own = q->pop()) take(own);
  over = true;
  for (std::thread& t : threads) t.join();

  CHECK(q->empty());
  CHECK(torn == 0);
  int lost = 0, twice = 0;
  for (item& i : items) {
    lost += i.taken == 0;
    twice += i.taken > 1;
  }
  CHECK(lost == 0);
  CHECK(twice == 0);
}
