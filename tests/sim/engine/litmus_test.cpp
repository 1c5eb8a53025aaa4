// SPDX-License-Identifier: Apache-2.0
//
// Litmus tests of the simulated memory: what C++ allows must show up within the seeds, what it forbids never.
#include <doctest/doctest.h>

#include <coppice/base/detail/sync.hpp>

#include "sim/driver.hpp"

#include <array>
#include <functional>
#include <string>
#include <vector>

namespace {

namespace sim = coppice::internal::sim;
using namespace coppice::detail::sync;

constexpr std::uint64_t enough_seeds = 2'000;

/// Runs each function as a simulated thread of its own and joins them.
void in_threads(const std::vector<std::function<void()>>& bodies) {
  std::vector<thread> threads;
  for (const auto& body : bodies)
    threads.emplace_back([](void* f) { (*static_cast<const std::function<void()>*>(f))(); },
                         const_cast<void*>(static_cast<const void*>(&body)), nullptr);
  for (thread& t : threads) t.join();
}

/// How many seeds show the outcome in question. The body returns whether it came about.
unsigned shows(const std::function<bool()>& body, sim::memory_model model = sim::memory_model::c11) {
  unsigned seen = 0;
  const std::function<void()> counting = [&] { seen += body() ? 1 : 0; };
  const sim::scenario s("litmus", counting);
  const sim::verdict v = sim::seeds("litmus", enough_seeds, model);
  CHECK_MESSAGE(v.passed(), v.report);
  return seen;
}

struct two_cells {
  atomic<int> x{0, "x"};
  atomic<int> y{0, "y"};
  int r1 = -1;
  int r2 = -1;
  int r3 = -1;
  int r4 = -1;
};

template <class Store, class Load, class Between>
bool store_buffering(Store store, Load load, Between between) {
  two_cells c;
  in_threads({[&] { c.x.store(1, store); between(c.y); c.r1 = c.y.load(load); },
              [&] { c.y.store(1, store); between(c.x); c.r2 = c.x.load(load); }});
  return c.r1 == 0 && c.r2 == 0;
}

constexpr auto nothing = [](auto&) {};
constexpr auto a_fence = [](auto&) { fence(seq_cst); };

TEST_CASE("store buffering: both read the old value with release and acquire") {
  CHECK(shows([] { return store_buffering(release, acquire, nothing); }) > 0);
  CHECK(shows([] { return store_buffering(relaxed, relaxed, nothing); }) > 0);
  CHECK(shows([] { return store_buffering(release, acquire, nothing); }, sim::memory_model::tso) > 0);
}

TEST_CASE("store buffering: never with seq_cst operations") {
  CHECK(shows([] { return store_buffering(seq_cst, seq_cst, nothing); }) == 0);
  CHECK(shows([] { return store_buffering(seq_cst, seq_cst, nothing); }, sim::memory_model::tso) == 0);
}

TEST_CASE("store buffering: never with seq_cst fences, whatever the operations are") {
  CHECK(shows([] { return store_buffering(relaxed, relaxed, a_fence); }) == 0);
  CHECK(shows([] { return store_buffering(release, acquire, a_fence); }) == 0);
  CHECK(shows([] { return store_buffering(relaxed, relaxed, a_fence); }, sim::memory_model::tso) == 0);
}

TEST_CASE("store buffering: one seq_cst side is not enough") {
  CHECK(shows([] {
          two_cells c;
          in_threads({[&] { c.x.store(1, seq_cst); c.r1 = c.y.load(seq_cst); },
                      [&] { c.y.store(1, relaxed); c.r2 = c.x.load(relaxed); }});
          return c.r1 == 0 && c.r2 == 0;
        }) > 0);
}

TEST_CASE("store buffering: a seq_cst store before a fence counts for a seq_cst load, and the other way round") {
  CHECK(shows([] {
          two_cells c;
          in_threads({[&] { c.x.store(1, seq_cst); c.r1 = c.y.load(seq_cst); },
                      [&] { c.y.store(1, relaxed); fence(seq_cst); c.r2 = c.x.load(relaxed); }});
          return c.r1 == 0 && c.r2 == 0;
        }) == 0);
}

template <class Order>
bool exchange_then_load(Order order) {
  two_cells c;
  in_threads({[&] { c.x.exchange(1, order); c.r1 = c.y.load(acquire); },
              [&] { c.y.exchange(1, order); c.r2 = c.x.load(acquire); }});
  return c.r1 == 0 && c.r2 == 0;
}

TEST_CASE("store buffering: an acq_rel exchange orders nothing in C++, but does on x86-64") {
  CHECK(shows([] { return exchange_then_load(acq_rel); }) > 0);
  CHECK(shows([] { return exchange_then_load(acq_rel); }, sim::memory_model::tso) == 0);
}

template <class Store, class Load>
bool message_passing_breaks(Store store, Load load) {
  two_cells c;
  in_threads({[&] { c.x.store(1, relaxed); c.y.store(1, store); },
              [&] { c.r1 = c.y.load(load); c.r2 = c.x.load(relaxed); }});
  return c.r1 == 1 && c.r2 == 0;
}

TEST_CASE("message passing: release to acquire carries the data") {
  CHECK(shows([] { return message_passing_breaks(release, acquire); }) == 0);
  CHECK(shows([] { return message_passing_breaks(seq_cst, seq_cst); }) == 0);
}

TEST_CASE("message passing: a relaxed side loses it, except on x86-64") {
  CHECK(shows([] { return message_passing_breaks(relaxed, acquire); }) > 0);
  CHECK(shows([] { return message_passing_breaks(release, relaxed); }) > 0);
  CHECK(shows([] { return message_passing_breaks(relaxed, relaxed); }, sim::memory_model::tso) == 0);
}

TEST_CASE("message passing: fences make relaxed sides sufficient") {
  CHECK(shows([] {
          two_cells c;
          in_threads({[&] { c.x.store(1, relaxed); fence(seq_cst); c.y.store(1, relaxed); },
                      [&] { c.r1 = c.y.load(relaxed); fence(seq_cst); c.r2 = c.x.load(relaxed); }});
          return c.r1 == 1 && c.r2 == 0;
        }) == 0);
}

TEST_CASE("message passing: a read-modify-write continues the release sequence, a plain store ends it") {
  const auto passed_on = [](auto in_the_middle) {
    two_cells c;
    in_threads({[&] { c.x.store(1, relaxed); c.y.store(1, release); }, [&] { in_the_middle(c.y); },
                [&] { c.r1 = c.y.load(acquire); c.r2 = c.x.load(relaxed); }});
    return c.r1 == 2 && c.r2 == 0;
  };
  CHECK(shows([&] { return passed_on([](atomic<int>& y) { int one = 1; y.cas(one, 2, relaxed); }); }) == 0);
  CHECK(shows([&] { return passed_on([](atomic<int>& y) { if (y.load(relaxed) == 1) y.store(2, relaxed); }); }) > 0);
}

TEST_CASE("coherence: a thread never reads backwards, and never reads what it overwrote") {
  CHECK(shows([] {
          two_cells c;
          bool backwards = false;
          in_threads({[&] { for (int i = 1; i <= 6; ++i) c.x.store(i, relaxed); },
                      [&] {
                        for (int last = 0, i = 0; i < 8; ++i) {
                          const int seen = c.x.load(relaxed);
                          backwards |= seen < last;
                          last = seen;
                        }
                      }});
          return backwards || c.x.load(relaxed) != 6;
        }) == 0);
}

TEST_CASE("coherence: what one thread has read, another that hears of it must see") {
  CHECK(shows([] {
          two_cells c;
          in_threads({[&] { c.x.store(1, relaxed); },
                      [&] { c.r1 = c.x.load(relaxed); c.y.store(1, release); },
                      [&] { c.r2 = c.y.load(acquire); c.r3 = c.x.load(relaxed); }});
          return c.r1 == 1 && c.r2 == 1 && c.r3 == 0;
        }) == 0);
}

TEST_CASE("coherence: a relaxed load may be old, the next read-modify-write is not") {
  CHECK(shows([] {
          two_cells c;
          in_threads({[&] { c.x.store(1, relaxed); }, [&] { c.x.fetch_add(10, relaxed); },
                      [&] { c.x.fetch_add(100, relaxed); }});
          const int end = c.x.load(relaxed);
          return end != 111 && end != 101 && end != 11 && end != 1;
        }) == 0);
}

template <class Order>
bool independent_readers_disagree(Order order) {
  two_cells c;
  in_threads({[&] { c.x.store(1, seq_cst); }, [&] { c.y.store(1, seq_cst); },
              [&] { c.r1 = c.x.load(order); c.r2 = c.y.load(order); },
              [&] { c.r3 = c.y.load(order); c.r4 = c.x.load(order); }});
  return c.r1 == 1 && c.r2 == 0 && c.r3 == 1 && c.r4 == 0;
}

TEST_CASE("independent readers agree on the order of two writers only with seq_cst") {
  CHECK(shows([] { return independent_readers_disagree(acquire); }) > 0);
  CHECK(shows([] { return independent_readers_disagree(seq_cst); }) == 0);
}

}  // namespace
