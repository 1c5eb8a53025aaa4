// SPDX-License-Identifier: Apache-2.0
//
// ./bench fiber: the switch, entering, suspending, the pool, beside an uncontended std::mutex. The variant is the one that
// COPPICE_SWITCH chose for the build.
#include "runtime/fiber.hpp"
#include "support/bench.hpp"

#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

using namespace coppice::internal;

namespace {

void expect(bool as_it_should_be) {
  if (!as_it_should_be) std::abort();
}

void count_up(void* counter) { bench::keep(++*static_cast<std::uint64_t*>(counter)); }

void suspend_for_ever(void* self) {
  for (;;) suspend(*static_cast<fiber*>(self));
}

void endless_switch_back(void* raw) {
  auto* pair = static_cast<context*>(raw);
  for (;;) switch_context(pair[1], pair[0]);
}

/// Fibers that wait to be resumed, each on a stack of its own.
struct suspended_fibers {
  explicit suspended_fibers(fiber_cache& cache, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
      all.push_back(cache.take(stack_class::k64));
      expect(enter(*all.back(), suspend_for_ever, all.back()) == fiber_outcome::blocked);
    }
  }
  std::vector<fiber*> all;
};

}  // namespace

int main(int argc, char** argv) {
  bench::suite suite{"fiber", argc, argv};
  fiber_pool pool;
  fiber_cache cache(pool);
  exception_state& exceptions = this_thread_exceptions();
  std::uint64_t counter = 0;

  suite.group("switch");
  std::mutex mutex;
  suite.row("std::mutex", {.run = [&](bench::state& s) {
              return s.time([&](std::uint64_t n) {
                while (n-- > 0) {
                  std::lock_guard hold(mutex);
                  count_up(&counter);
                }
              });
            }});
  suite.row("two bare switches", {.run = [](bench::state& s) {
              static context pair[2];
              alignas(64) static std::byte stack[16 * 1024];
              make_context(pair[1], stack, stack + sizeof stack, endless_switch_back, pair);
              return s.time([](std::uint64_t n) {
                while (n-- > 0) switch_context(pair[0], pair[1]);
              });
            }});

  suite.group("enter and return");
  fiber* one = cache.take(stack_class::k64);
  suite.row("exception state known", {.reference = "std::mutex", .run = [&](bench::state& s) {
              return s.time([&](std::uint64_t n) {
                while (n-- > 0) expect(enter(*one, count_up, &counter, exceptions) == fiber_outcome::done);
              });
            }});
  suite.row("exception state looked up", {.reference = "std::mutex", .run = [&](bench::state& s) {
              return s.time([&](std::uint64_t n) {
                while (n-- > 0) expect(enter(*one, count_up, &counter) == fiber_outcome::done);
              });
            }});
  suite.row("fiber taken from and given to the cache", {.reference = "std::mutex", .run = [&](bench::state& s) {
              return s.time([&](std::uint64_t n) {
                while (n-- > 0) {
                  fiber* f = cache.take(stack_class::k64);
                  expect(enter(*f, count_up, &counter, exceptions) == fiber_outcome::done);
                  cache.give(f);
                }
              });
            }});

  suite.group("resume and suspend");
  for (std::size_t many : {1, 16, 256})  // powers of two: a division would cost more than the switch
    suite.row("over " + std::to_string(many) + (many == 1 ? " stack" : " stacks"),
              {.reference = "std::mutex", .run = [&, many](bench::state& s) {
                 static suspended_fibers waiting(cache, 256);
                 return s.time([&](std::uint64_t n) {
                   for (std::uint64_t i = 0; i < n; ++i)
                     expect(resume(*waiting.all[i & (many - 1)], exceptions) == fiber_outcome::blocked);
                 });
               }});

  suite.group("stacks");
  suite.row("fresh stack, guard, first use", {.run = [](bench::state& s) {
              fiber_pool fresh;
              fiber_cache mine(fresh);
              const std::uint64_t n = s.count(8'000);
              std::uint64_t sum = 0;
              return s.each(n, [&] {
                for (std::uint64_t i = 0; i < n; ++i)
                  expect(enter(*mine.take(stack_class::k64), count_up, &sum) == fiber_outcome::done);
              });
            }});
  suite.row("memory of a suspended fiber", {.unit = "bytes", .isolated = true, .run = [](bench::state& s) {
              fiber_pool fresh;
              fiber_cache mine(fresh);
              const std::uint64_t n = s.count(100'000);
              const std::size_t before = bench::resident_bytes();
              suspended_fibers waiting(mine, n);
              return static_cast<double>(bench::resident_bytes() - before) / static_cast<double>(n);
            }});
  return suite.run();
}
