// SPDX-License-Identifier: Apache-2.0
//
// Entering, suspending, resuming, abandoning; the pool and the threads' caches. Exceptions: fiber_exceptions_test.cpp;
// registers: fiber_registers_test.cpp.
#include "runtime/fiber.hpp"

#include "support/eventually.hpp"

#include <doctest/doctest.h>

#include <coppice/base/detail/sync.hpp>
#include <set>
#include <string>
#include <thread>
#include <unistd.h>
#include <unwind.h>
#include <vector>

using namespace coppice::internal;

namespace {

/// Runs `job(self)` on a fiber; what a job needs besides its fiber it finds in its captures.
template <class Job>
struct running {
  fiber* f;
  Job job;
  fiber_outcome start() {
    return enter(
        *f, [](void* raw) { auto& r = *static_cast<running*>(raw); r.job(*r.f); }, this);
  }
};
template <class Job>
running(fiber*, Job) -> running<Job>;

fiber* take(fiber_cache& cache, stack_class size = stack_class::k64) {
  fiber* f = cache.take(size);
  REQUIRE(f != nullptr);
  return f;
}

}  // namespace

TEST_CASE("a job runs on the fiber's own stack and is done when it returns") {
  fiber_pool pool;
  fiber_cache cache(pool);
  for (auto size : {stack_class::k16, stack_class::k64, stack_class::k256, stack_class::k1024}) {
    fiber* f = take(cache, size);
    CHECK(f->size == size);
    for (int round = 0; round < 3; ++round) {
      std::byte* seen = nullptr;
      running r{f, [&](fiber&) { seen = static_cast<std::byte*>(__builtin_frame_address(0)); }};
      CHECK(r.start() == fiber_outcome::done);
      CHECK(seen > f->bottom);
      CHECK(seen < f->top);
    }
    cache.give(f);
  }
}

TEST_CASE("a suspended job goes on where it was, as often as it suspends") {
  fiber_pool pool;
  fiber_cache cache(pool);
  std::string story;
  running r{take(cache), [&](fiber& self) {
              for (char c = 'a'; c < 'd'; ++c) {
                story += c;
                suspend(self);
              }
              story += '.';
            }};
  CHECK(r.start() == fiber_outcome::blocked);
  for (int i = 0; i < 2; ++i) {
    story += '-';
    CHECK(resume(*r.f) == fiber_outcome::blocked);
  }
  CHECK(r.f->state.get() == fiber_state::suspended);
  CHECK(resume(*r.f) == fiber_outcome::done);
  CHECK(story == "a-b-c.");
  cache.give(r.f);
}

TEST_CASE("a fiber may be resumed by another thread") {
  fiber_pool pool;
  fiber_cache cache(pool);
  std::vector<pid_t> ids;
  running r{take(cache), [&](fiber& self) {
              for (int i = 0; i < 3; ++i) {
                ids.push_back(gettid());  // not this_thread::get_id: compilers take that for constant
                suspend(self);
              }
            }};
  CHECK(r.start() == fiber_outcome::blocked);
  for (int i = 0; i < 2; ++i) std::thread([&] { CHECK(resume(*r.f) == fiber_outcome::blocked); }).join();
  CHECK(resume(*r.f) == fiber_outcome::done);
  REQUIRE(ids.size() == 3);
  CHECK(ids[0] != ids[1]);
  cache.give(r.f);
}

TEST_CASE("fibers nest, and a blocked one in the middle lets its enterer go on") {
  fiber_pool pool;
  fiber_cache cache(pool);
  std::string story;
  running inner{take(cache), [&](fiber& self) {
                  story += "i1 ";
                  suspend(self);
                  story += "i2 ";
                }};
  running middle{take(cache), [&](fiber& self) {
                   story += "m1 ";
                   CHECK(inner.start() == fiber_outcome::blocked);
                   story += "m2 ";
                   suspend(self);
                   CHECK(resume(*inner.f) == fiber_outcome::done);
                   story += "m3 ";
                 }};
  running outer{take(cache), [&](fiber&) {
                  story += "o1 ";
                  CHECK(middle.start() == fiber_outcome::blocked);
                  story += "o2 ";
                  CHECK(resume(*middle.f) == fiber_outcome::done);
                  story += "o3";
                }};
  CHECK(outer.start() == fiber_outcome::done);
  CHECK(story == "o1 m1 i1 m2 o2 i2 m3 o3");
}

TEST_CASE("an abandoned fiber is counted and its resumer goes on") {
  fiber_pool pool;
  fiber_cache cache(pool);
  running at_once{take(cache), [&](fiber& self) { abandon(self); }};
  CHECK(at_once.start() == fiber_outcome::abandoned);
  running later{take(cache), [&](fiber& self) {
                  suspend(self);
                  abandon(self);
                }};
  CHECK(later.start() == fiber_outcome::blocked);
  CHECK(resume(*later.f) == fiber_outcome::abandoned);
  CHECK(pool.count().abandoned == 2);
  CHECK(later.f->state.get() == fiber_state::abandoned);
  running next{take(cache), [](fiber&) {}};
  CHECK(next.f != later.f);
  CHECK(next.start() == fiber_outcome::done);
}

TEST_CASE("a backtrace taken on a fiber ends at the fiber's base") {
  fiber_pool pool;
  fiber_cache cache(pool);
  int frames = 0;
  running r{take(cache), [&](fiber&) {
              _Unwind_Backtrace(
                  [](_Unwind_Context*, void* count) {
                    return ++*static_cast<int*>(count) < 1000 ? _URC_NO_REASON : _URC_NORMAL_STOP;
                  },
                  &frames);
            }};
  CHECK(r.start() == fiber_outcome::done);
  CHECK(frames >= 2);
  CHECK(frames < 20);
}

TEST_CASE("fibers and their states can be enumerated") {
  fiber_pool pool;
  fiber_cache cache(pool);
  running blocked{take(cache), [](fiber& self) { suspend(self); }};
  running lost{take(cache, stack_class::k16), [](fiber& self) { abandon(self); }};
  running done{take(cache), [](fiber&) {}};
  std::vector<fiber*> seen[4];
  running looking{take(cache), [&](fiber&) {
                    pool.for_each(
                        [](void* s, fiber& f) { static_cast<std::vector<fiber*>*>(s)[int(f.state.get())].push_back(&f); },
                        seen);
                  }};
  CHECK(blocked.start() == fiber_outcome::blocked);
  CHECK(lost.start() == fiber_outcome::abandoned);
  CHECK(done.start() == fiber_outcome::done);
  CHECK(looking.start() == fiber_outcome::done);
  CHECK(seen[int(fiber_state::suspended)] == std::vector{blocked.f});
  CHECK(seen[int(fiber_state::abandoned)] == std::vector{lost.f});
  CHECK(seen[int(fiber_state::running)] == std::vector{looking.f});
  CHECK(seen[int(fiber_state::idle)] == std::vector{done.f});
  CHECK(resume(*blocked.f) == fiber_outcome::done);
}

TEST_CASE("a cache hands out the fiber that was used last, and keeps 64 of a class") {
  fiber_pool pool;
  fiber_cache cache(pool);
  fiber* f = take(cache);
  cache.give(f);
  CHECK(take(cache) == f);
  std::vector<fiber*> all{f};
  for (int i = 1; i < 65; ++i) all.push_back(take(cache));
  CHECK(pool.count().made == 65);
  for (std::size_t i = 0; i < 64; ++i) cache.give(all[i]);
  CHECK(pool.count().idle == 0);
  cache.give(all[64]);
  CHECK(pool.count().idle == 32);
  CHECK(take(cache) == all[64]);
  cache.give(all[64]);
  cache.release();
  CHECK(pool.count().idle == 65);
}

TEST_CASE("no fiber is lost or handed out twice between caches") {
  fiber_pool pool;
  {
    fiber_cache one(pool), two(pool);
    std::vector<fiber*> held;
    for (int i = 0; i < 300; ++i) held.push_back(take(one));
    CHECK(std::set(held.begin(), held.end()).size() == 300);
    for (fiber* f : held) two.give(f);
    std::set<fiber*> again;
    for (int i = 0; i < 300; ++i) again.insert(take(i % 2 == 0 ? one : two));
    CHECK(again.size() == 300);
    CHECK(pool.count().made <= 300 + fiber_cache::capacity);
    for (fiber* f : again) one.give(f);
  }
  CHECK(pool.count().idle == pool.count().made);
}

TEST_CASE("fibers with cold stacks run like any other") {
  fiber_pool pool({.warm_idle = 0});
  for (int round = 0; round < 3; ++round) {
    fiber_cache cache(pool);
    for (int i = 0; i < 100; ++i) {
      int sum = 0;
      running r{take(cache), [&](fiber&) {
                  volatile char deep[20'000];
                  for (std::size_t b = 0; b < sizeof deep; b += 1000) deep[b] = 1, sum += deep[b];
                }};
      REQUIRE(r.start() == fiber_outcome::done);
      CHECK(sum == 20);
      cache.give(r.f);
      if (i % 2 == 0) cache.release();
    }
  }
}

TEST_CASE("threads that pass suspended fibers round never lose one") {
  constexpr int fibers = 40;
  const int turns = coppice::testing::rounds(300, 20'000);
  fiber_pool pool;
  struct ring {
    sync::spinlock lock;
    std::vector<fiber*> ready;
    sync::atomic<int> finished{0};
  } shared;
  struct traveller {
    fiber* f;
    int turns;
    int seen = 0;
  };
  std::vector<traveller> all;
  fiber_cache cache(pool);
  for (int i = 0; i < fibers; ++i) all.push_back({take(cache), turns});
  for (auto& t : all) {
    const auto outcome = enter(
        *t.f,
        [](void* raw) {
          auto& mine = *static_cast<traveller*>(raw);
          for (int i = 0; i < mine.turns; ++i) {
            suspend(*mine.f);
            ++mine.seen;
          }
        },
        &t);
    REQUIRE(outcome == fiber_outcome::blocked);
    shared.ready.push_back(t.f);
  }
  const auto work = [&] {
    while (shared.finished.load(sync::relaxed) < fibers) {
      fiber* f = nullptr;
      {
        sync::lock_guard hold(shared.lock);
        if (!shared.ready.empty()) {
          const auto i = static_cast<std::size_t>(rand()) % shared.ready.size();
          f = shared.ready[i];
          shared.ready[i] = shared.ready.back();
          shared.ready.pop_back();
        }
      }
      if (f == nullptr) {
        sync::relax();
      } else if (resume(*f) == fiber_outcome::blocked) {
        sync::lock_guard hold(shared.lock);
        shared.ready.push_back(f);
      } else {
        shared.finished.fetch_add(1, sync::relaxed);
      }
    }
  };
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 3; ++i) threads.emplace_back(work);
  }
  for (auto& t : all) CHECK(t.seen == turns);
}

// Says something only under AddressSanitizer, whose leak check at the program's end must look into suspended fibers.
TEST_CASE("memory that only a suspended fiber holds is not a leak") {
  static auto* pool = new fiber_pool;
  fiber_cache cache(*pool);
  fiber* f = take(cache);
  const auto hold = [](void* self) {
    auto* held = new std::uint64_t[100];
    for (;;) {
      suspend(*static_cast<fiber*>(self));
      asm volatile("" : "+m"(held));
    }
  };
  CHECK(enter(*f, hold, f) == fiber_outcome::blocked);
}
