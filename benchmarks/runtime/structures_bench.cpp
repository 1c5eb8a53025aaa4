// SPDX-License-Identifier: Apache-2.0
//
// ./bench structures: the slab, the timer wheel and the local queue by themselves.
#include "support/bench.hpp"

#include "runtime/local_queue.hpp"
#include "runtime/slab.hpp"
#include "runtime/timer_wheel.hpp"

#include <algorithm>
#include <atomic>
#include <numeric>
#include <random>
#include <thread>

using namespace coppice::internal;

namespace {

constexpr std::int64_t second = 1'000'000'000;
constexpr std::size_t million = 1'000'000;

struct quiet_timer : timer_node {
  quiet_timer() : timer_node([](timer_node&) noexcept {}) {}
};

// A million timers due within the next hour, and the order in which a test goes through them.
struct armed_timers {
  armed_timers() : timers(million), order(million) {
    std::mt19937_64 random(1);
    for (quiet_timer& t : timers) wheel.start(t, second + static_cast<std::int64_t>(random() % (3600 * second)));
    settle();
    std::iota(order.begin(), order.end(), 0u);
    std::shuffle(order.begin(), order.end(), random);
  }
  void settle() {
    due_timers due;
    while (!wheel.advance(sync::now(), due)) {}
  }
  timer_wheel wheel;
  std::vector<quiet_timer> timers;
  std::vector<std::uint32_t> order;
};

double start_with_a_million(bench::state& s, bool absolute) {
  armed_timers all;
  std::vector<quiet_timer> more(100'000);
  const std::int64_t now = sync::now();
  const double ns = s.each(more.size(), [&] {
    std::int64_t duration = second;
    for (quiet_timer& t : more) {
      duration += 1'000'003;
      if (absolute)
        all.wheel.start_at(t, now + duration);
      else
        all.wheel.start(t, duration);
    }
    all.settle();  // arming what was started is part of the price
  });
  for (quiet_timer& t : more) timer_wheel::cancel(t);
  return ns;
}

double cancel_of_a_million(bench::state& s, bool shuffled) {
  armed_timers all;
  return s.each(million, [&] {
    for (std::size_t i = 0; i != million; ++i)
      bench::keep(timer_wheel::cancel(all.timers[shuffled ? all.order[i] : i]));
  });
}

struct node {
  node* next;
  std::uint64_t payload[4];
};

// One thread allocates and sends, the other receives and frees: what a cast does with its node.
double produce_and_consume(bench::state& s) {
  const std::uint64_t count = s.count(20'000'000);
  block_depot depot;
  std::atomic<node*> inbox{nullptr};
  std::thread consumer([&] {
    block_cache cache(depot);
    for (std::uint64_t received = 0; received != count;)
      for (node* n = inbox.exchange(nullptr, std::memory_order_acquire); n != nullptr; ++received) {
        node* next = n->next;
        bench::keep(n->payload[0]);
        cache.free(n, sizeof *n);
        n = next;
      }
  });
  const double ns = s.each(count, [&] {
    block_cache cache(depot);
    for (std::uint64_t i = 0; i != count; ++i) {
      auto* n = static_cast<node*>(cache.allocate(sizeof(node)));
      n->payload[0] = i;
      n->next = inbox.load(std::memory_order_relaxed);
      while (!inbox.compare_exchange_weak(n->next, n, std::memory_order_release, std::memory_order_relaxed)) {}
    }
    consumer.join();
  });
  return ns;
}

}  // namespace

int main(int argc, char** argv) {
  bench::suite suite{"structures", argc, argv};

  suite.group("slab");
  suite.row("malloc + free, 64 bytes", {.run = [](bench::state& s) {
              return s.time([&](std::uint64_t n) {
                while (n--) {
                  void* block = ::operator new(64);
                  bench::keep(block);
                  ::operator delete(block);
                }
              });
            }});
  suite.row("allocate + free, 64 bytes, hot", {.max = 3, .run = [](bench::state& s) {
                                                 block_depot depot;
                                                 block_cache cache(depot);
                                                 return s.time([&](std::uint64_t n) {
                                                   while (n--) {
                                                     void* block = cache.allocate(64);
                                                     bench::keep(block);
                                                     cache.free(block, 64);
                                                   }
                                                 });
                                               }});
  suite.row("allocate 1,000, free 1,000: per pair", {.run = [](bench::state& s) {
              block_depot depot;
              block_cache cache(depot);
              std::vector<void*> blocks(1000);
              return s.time([&](std::uint64_t n) {
                while (n--) {
                  for (void*& b : blocks) b = cache.allocate(64);
                  for (void* b : blocks) cache.free(b, 64);
                }
              }) / 1000;
            }});
  suite.row("allocated here, freed there, with a lock-free stack between",
            {.two_cores = true, .run = produce_and_consume});
  suite.row("slot taken and given", {.run = [](bench::state& s) {
              slot_arena arena([](void*, std::size_t) noexcept {});
              slot_cache cache(arena);
              return s.time([&](std::uint64_t n) {
                while (n--) {
                  void* block = cache.take(0);
                  bench::keep(block);
                  cache.give(block, 0);
                }
              });
            }});

  suite.group("timer wheel");
  suite.row("start + cancel", {.max = 15, .run = [](bench::state& s) {
                                 timer_wheel wheel;
                                 quiet_timer t;
                                 return s.time([&](std::uint64_t n) {
                                   while (n--) {
                                     wheel.start(t, 5 * second);
                                     bench::keep(timer_wheel::cancel(t));
                                   }
                                 });
                               }});
  suite.row("start_at + cancel", {.run = [](bench::state& s) {
              timer_wheel wheel;
              quiet_timer t;
              const std::int64_t deadline = sync::now() + 5 * second;
              return s.time([&](std::uint64_t n) {
                while (n--) {
                  wheel.start_at(t, deadline);
                  bench::keep(timer_wheel::cancel(t));
                }
              });
            }});
  suite.row("start with 1,000,000 armed, armed afterwards",
            {.max = 25, .run = [](bench::state& s) { return start_with_a_million(s, false); }});
  suite.row("start_at with 1,000,000 armed",
            {.max = 25, .run = [](bench::state& s) { return start_with_a_million(s, true); }});
  suite.row("cancel of 1,000,000, in order of start",
            {.max = 27, .run = [](bench::state& s) { return cancel_of_a_million(s, false); }});
  suite.row("cancel of 1,000,000, in random order",
            {.run = [](bench::state& s) { return cancel_of_a_million(s, true); }});
  suite.row("advance with nothing to do", {.run = [](bench::state& s) {
              timer_wheel wheel;
              due_timers due;
              const std::int64_t now = sync::now();
              return s.time([&](std::uint64_t n) {
                while (n--) bench::keep(wheel.advance(now, due));
              });
            }});
  suite.row("expiry of 1,000,000", {.run = [](bench::state& s) {
              armed_timers all;
              const std::int64_t later = sync::now() + 4000 * second;
              return s.each(million, [&] {
                for (bool done = false; !done;) {
                  due_timers due;
                  done = all.wheel.advance(later, due);
                }
              });
            }});

  suite.group("local queue");
  suite.row("push + pop", {.run = [](bench::state& s) {
              static local_queue<int> queue;
              static int item;
              return s.time([&](std::uint64_t n) {
                while (n--) {
                  bench::keep(queue.push(&item));
                  bench::keep(queue.pop());
                }
              });
            }});
  suite.row("push 128, steal half, pop: per item", {.run = [](bench::state& s) {
              static local_queue<int> queue, thief;
              static int item;
              return s.time([&](std::uint64_t n) {
                while (n--) {
                  for (int i = 0; i != 128; ++i) bench::keep(queue.push(&item));
                  bench::keep(thief.steal_half_from(queue));
                  while (thief.pop() != nullptr) {}
                  while (queue.pop() != nullptr) {}
                }
              }) / 128;
            }});
  return suite.run();
}
