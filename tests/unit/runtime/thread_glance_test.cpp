// SPDX-License-Identifier: Apache-2.0
#include "runtime/thread_glance.hpp"

#include "support/eventually.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <sched.h>
#include <semaphore>
#include <thread>

using namespace coppice::internal;
using coppice::testing::eventually;

namespace {

/// A thread that computes on the core `core` until told to stop.
class busy_thread {
 public:
  explicit busy_thread(int core)
      : thread_([this, core] {
          cpu_set_t one;
          CPU_ZERO(&one);
          CPU_SET(core, &one);
          sched_setaffinity(0, sizeof one, &one);
          number_ = own_thread_number();
          while (!over_) {
          }
        }) {}
  ~busy_thread() {
    over_ = true;
    thread_.join();
  }
  int number() const {
    while (number_ == 0) std::this_thread::yield();
    return number_;
  }

 private:
  std::atomic<int> number_{0};
  std::atomic<bool> over_{false};
  std::thread thread_;
};

}  // namespace

TEST_CASE("a thread that waits may not run; one that computes may") {
  std::binary_semaphore door(0);
  std::atomic<int> number{0};
  std::thread waits([&] {
    number = own_thread_number();
    door.acquire();
  });
  CHECK(eventually([&] { return number != 0; }));
  CHECK(eventually([&] { return !glance_at(number).may_run; }));
  const busy_thread computes(sched_getcpu());
  CHECK(eventually([&] { return glance_at(computes.number()).may_run; }));
  door.release();
  waits.join();
  CHECK(eventually([&] { return !glance_at(number).may_run; }));   // there is none any more; the kernel lists it for a moment
}

TEST_CASE("two that compute on one core wait for it in turn, and that is seen") {
  const int core = sched_getcpu();
  const busy_thread one(core), other(core);
  const auto before = glance_at(one.number()).core_awaited;
  CHECK(other.number() != one.number());
  CHECK(eventually([&] { return glance_at(one.number()).core_awaited > before + 1'000'000; }));
}

TEST_CASE("the first thread of a program has no number of its own: it is no worker") { CHECK(own_thread_number() == 0); }
