// SPDX-License-Identifier: Apache-2.0
//
// parallel_map: FU-7.
#include "spec/state/state_test.hpp"

#include <coppice/process/process_info.hpp>
#include <coppice/state/parallel_map.hpp>

#include <iterator>
#include <memory>
#include <numeric>
#include <semaphore>

using namespace coppice;
using namespace coppice::testing;

namespace {

/// 0, 1, 2, … without an end; counts what was read.
struct numbers {
  int* read;
  struct iterator {
    using difference_type = std::ptrdiff_t;
    using value_type = int;
    int* read;
    int n = 0;
    int operator*() const { return n; }
    iterator& operator++() {
      ++*read;
      ++n;
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const iterator&, std::default_sentinel_t) { return false; }
  };
  iterator begin() const { return {read}; }
  std::default_sentinel_t end() const { return {}; }
};

}  // namespace

TEST_CASE("FU-7 results come in the order of the input, for threads and processes") {
  const world w;
  std::vector<int> in(200);
  std::iota(in.begin(), in.end(), 0);
  const auto check = [&] {
    std::vector<long long> out;
    for (const big& b : parallel_map(in, [](int n) {
           if (n % 7 == 0) std::this_thread::yield();
           return big(n * 2);
         }))
      out.push_back(b.n);
    REQUIRE(out.size() == in.size());
    for (int n = 0; n < 200; ++n) CHECK(out[static_cast<std::size_t>(n)] == n * 2);
  };
  check();
  in_process(check);
  int nothing = 0;
  for (int x : parallel_map(std::vector<int>{}, inc)) nothing += x + 1;
  CHECK(nothing == 0);
}

TEST_CASE("FU-7 so many run ahead and no more: processors + 2, or a limit; nothing before the first is asked for") {
  for (const std::size_t limit : {std::size_t{0}, std::size_t{1}, std::size_t{5}}) {
    const int expected = limit == 0 ? static_cast<int>(detail::sync::cores()) + 2 : static_cast<int>(limit);
    int read = 0;
    std::atomic<int> running{0}, most{0}, started{0}, open{0};
    auto results = parallel_map(numbers{&read}, [&](int n) {
      ++started;
      const int now = ++running;
      for (int m = most; now > m && !most.compare_exchange_weak(m, now);) {}
      while (open <= n) std::this_thread::yield();
      --running;
      return n;
    }, {.ahead = limit});
    CHECK(read == 0);
    auto at = results.begin();
    CHECK_FALSE(at == results.end());
    CHECK(read == expected);
    CHECK(eventually([&] { return started == expected; }));
    for (int i = 0; i < 20; ++i, ++at) {
      CHECK_FALSE(at == results.end());
      open = i + 1;
      CHECK(*at == i);
    }
    CHECK(read == expected + 19);
    open = 1000;
    CHECK(most <= expected);
  }
}

TEST_CASE("FU-7 an exception shows where its element is taken; one may step over it") {
  std::vector<int> in{1, 2, 3};
  auto results = parallel_map(in, [](int n) {
    if (n == 2) throw oops();
    return n * 10;
  });
  auto at = results.begin();
  CHECK(*at == 10);
  ++at;
  CHECK_FALSE(at == results.end());
  CHECK_THROWS_AS(*at, oops);
  CHECK_THROWS_AS(*at, oops);
  ++at;
  CHECK(*at == 30);
  ++at;
  CHECK((at == results.end()));
}

TEST_CASE("FU-7 the executor may be given; elements that cannot be copied are moved in") {
  fixed_executor one(1);
  std::mutex lock;
  std::set<std::thread::id> threads;
  std::vector<std::unique_ptr<int>> in;
  for (int i = 0; i < 20; ++i) in.push_back(std::make_unique<int>(i));
  int sum = 0;
  auto take_all = [&] {
    for (const auto& p : parallel_map(std::vector<int>{1, 2, 3, 4}, [&](int n) {
           const std::lock_guard held(lock);
           threads.insert(std::this_thread::get_id());
           return std::make_unique<int>(n);
         }, {.by = &one}))
      sum += *p;
  };
  take_all();
  CHECK(sum == 10);
  CHECK(threads.size() == 1);
  CHECK(threads.count(std::this_thread::get_id()) == 0);
}

TEST_CASE("FU-7 a loop that is left: what has not begun does not begin, what runs is waited for") {
  const world w;
  const auto check = [] {
    std::atomic<int> started{0}, inside{0};
    std::counting_semaphore<100> door(0);
    fixed_executor two(2);
    {
      int n = 0;
      std::atomic<bool> leaving{false}, opened{false};
      const auto opener = std::make_unique<std::thread>([&] {
        static_cast<void>(eventually([&] { return leaving.load(); }));
        opened = true;
        door.release(50);
      });
      std::vector<int> all(40, 2);
      all.front() = 1;
      for (int x : parallel_map(std::move(all), [&](int one) {
             ++started;
             ++inside;
             if (one != 1) door.acquire();         // the first one is waited for, so it goes through
             std::this_thread::yield();
             --inside;
             return one;
           }, {.ahead = 30, .by = &two})) {
        n += x;
        CHECK(eventually([&] { return inside > 0; }));  // another is at the door
        leaving = true;
        break;
      }
      CHECK(inside == 0);                          // nothing refers to this scope any more
      CHECK(opened);
      CHECK(n == 1);
      opener->join();
    }
    CHECK(started < 40);
  };
  check();
  in_process(check);
}

TEST_CASE("FU-7 a process that is killed in the loop waits for what runs, too") {
  const world w;
  std::binary_semaphore door(0);
  std::atomic<bool> running{false}, over{false};
  std::atomic<int> left{0};
  const monitored p = spawn_monitor([&] {
    int in_its_scope = 1;
    for (int x : parallel_map(std::vector<int>{1}, [&](int n) {
           running = true;
           door.acquire();
           over = true;
           return n + in_its_scope;
         }))
      left += x;
  });
  CHECK(eventually([&] { return running.load(); }));
  CHECK(eventually([&] {                           // else it may find the value there, and end before it hears of anything
    const auto info = process_info(p.who);
    return info && info->status == process_status::waiting;
  }));
  exit(p.who, exit_reason::kill);
  door.release();
  CHECK(reason_of(p.ref).is(exit_reason::killed));
  CHECK(over);
}
