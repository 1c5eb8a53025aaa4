// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <coppice/otp/async_stream.hpp>
#include <coppice/process/process_info.hpp>

#include <algorithm>
#include <memory>
#include <ranges>
#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

#include "spec/otp/own_world.hpp"

using namespace coppice;
using namespace coppice::testing;

namespace {

struct go {};
void wait_for_go() { receive<go>(); }
[[noreturn]] void wait_for_ever() {
  for (;;) receive<go>();
}
using ints = std::vector<int>;

bool nothing_left() { return mailbox_is_empty() && process_info(self())->monitors.empty() && process_info(self())->links.empty(); }

template <class F>
void in_process(F body, const spawn_options& options = {}) {
  own_world w;
  const exit_reason why = run_process(std::move(body), options);
  INFO("the process ended with: ", to_text(why));
  CHECK(why.is(exit_reason::normal));
}

/// Runs `round`, which returns whether it counts, until one does: one with a time limit that a good element has missed does not.
template <class F>
void in_process_until_it_counts(F round) {
  CHECK(eventually([&] {
    bool counts = true;
    in_process([&] { counts = round(); });
    return counts;
  }));
}

template <class Stream>
auto values_of(Stream&& stream) {
  std::vector<std::remove_cvref_t<decltype(**stream.begin())>> out;
  for (auto& r : stream) out.push_back(std::move(r.value()));
  return out;
}

/// Numbers without an end; counts how many were read.
struct naturals {
  int* read;
  struct iterator {
    using value_type = int;
    using difference_type = std::ptrdiff_t;
    int* read;
    int n = 0;
    int operator*() const {
      ++*read;
      return n;
    }
    iterator& operator++() {
      ++n;
      return *this;
    }
    void operator++(int) { ++n; }
  };
  iterator begin() const { return {read}; }
  std::unreachable_sentinel_t end() const { return {}; }
};

/// How many run at once, and how many that were at most.
struct meter {
  std::atomic<int> now{0}, most{0}, runs{0}, ended{0};
  struct mark {
    meter& of;
    explicit mark(meter& m) : of(m) {
      ++m.runs;
      const int n = ++m.now;
      for (int seen = m.most; seen < n && !m.most.compare_exchange_weak(seen, n);) {}
    }
    ~mark() {
      --of.now;
      ++of.ended;
    }
  };
};

}  // namespace

static_assert(std::ranges::input_range<decltype(async_stream(std::declval<ints&>(), [](int n) { return n; }))>);
static_assert(std::same_as<decltype(async_stream(ints{}, [](int n) { return std::to_string(n); }))::value_type,
                           result<std::string, element_failed<int>>>);

TEST_CASE("EX-40 a stream applies a function to each element and yields results") {
  in_process([] {
    const ints numbers{1, 2, 3, 4};
    int sum = 0;
    for (auto r : async_stream(numbers, [](int n) { return n * n; }, {.max_concurrency = 4})) sum += r.value();
    CHECK(sum == 30);
    CHECK(values_of(async_stream({1, 2, 3}, [](int n) { return std::to_string(n); })) == std::vector<std::string>{"1", "2", "3"});
    CHECK(values_of(async_stream(ints{}, [](int n) { return n; })).empty());
    int done = 0;
    for (auto& r : async_stream(numbers, [](int) {})) {
      r.value();
      ++done;
    }
    CHECK(done == 4);
    CHECK(nothing_left());
  });
}

TEST_CASE("EX-40 any range is an input: kept, moved in, views, move-only values") {
  in_process([] {
    ints kept{3, 4};
    auto over_kept = async_stream(kept, [](int n) { return n; });
    kept.push_back(5);                                         // nothing is read before it is asked for
    CHECK(values_of(over_kept) == ints{3, 4, 5});
    CHECK(values_of(async_stream(std::views::iota(1, 4), [](int n) { return n; })) == ints{1, 2, 3});
    int sum = 0;
    for (auto& r : async_stream(kept | std::views::transform([](int n) { return std::make_unique<int>(n); }),
                                [](std::unique_ptr<int> p) { return std::make_unique<int>(*p + 1); }))
      sum += *r.value();
    CHECK(sum == 15);
  });
}

TEST_CASE("EX-40 by default as many at once as there are schedulers") {
  own_world w({.workers = 3});
  meter m;
  const exit_reason why = run_process([&] {
    values_of(async_stream(std::views::iota(0, 60), [&](int n) {
      const meter::mark mark(m);
      do sleep_for(1ms); while (m.most < 3);
      return n;
    }, {.timeout = 1min}));
  });
  CHECK(why.is(exit_reason::normal));
  CHECK(m.most == 3);
  CHECK(m.ended == 60);
}

TEST_CASE("EX-41 at most max_concurrency run at once; the input is read only when one can be started") {
  in_process([] {
    meter m;
    int read = 0, taken = 0;
    for (auto& r : async_stream(naturals{&read}, [&](int n) {
           const meter::mark mark(m);
           yield();
           return n;
         }, {.max_concurrency = 3, .max_held = 1})) {
      CHECK(r.value() == taken);
      CHECK(read <= taken + 1 + 3 + 1);                        // this one, those that run, one that is held
      if (++taken == 50) break;
    }
    CHECK(m.most <= 3);
    CHECK(m.now == 0);
    CHECK(nothing_left());
  });
}

TEST_CASE("EX-40 lazy: nothing is read or started before the first result is asked for, and none beyond what is taken is waited for") {
  in_process([] {
    int read = 0;
    {
      auto never_asked = async_stream(naturals{&read}, [](int n) { return n; });
      static_cast<void>(never_asked.begin());
    }
    CHECK(read == 0);
    // The third would wait for ever: `take` does not ask for it.
    ints got;
    for (auto& r : async_stream(naturals{&read}, [](int n) {
           if (n >= 2) wait_for_ever();
           return n;
         }, {.timeout = infinity}) | std::views::take(2))
      got.push_back(r.value());
    CHECK(got == ints{0, 1});
    CHECK(nothing_left());
  });
}

TEST_CASE("EX-42 ordered: in the order of the input, a slow one holds back the rest; else as they are done") {
  in_process([] {
    const auto slow_square = [](int ticks) {
      sleep_for(duration(1ms) * ticks);
      return ticks;
    };
    CHECK(values_of(async_stream({30, 1, 10}, slow_square, {.max_concurrency = 3})) == ints{30, 1, 10});
    // The order of the ends is forced: each waits for the one that ends before it.
    std::vector<gate> gates(3);
    const auto in_turn = [&](int n) {
      if (n != 1) gates[n == 30 ? 0 : 1].pass();
      if (n != 60) gates[n == 1 ? 0 : 1].open();
      return n;
    };
    ints got;
    for (auto& r : async_stream({60, 1, 30}, [&](int n) {
           if (n == 30) gates[0].pass();
           if (n == 60) gates[1].pass();
           return n;
         }, {.max_concurrency = 3, .ordered = false})) {
      got.push_back(r.value());
      if (r.value() == 1) gates[0].open();
      if (r.value() == 30) gates[1].open();
    }
    static_cast<void>(in_turn);
    CHECK(got == ints{1, 30, 60});
  });
}

TEST_CASE("EX-42 ordered: what waits behind a slow element is bounded") {
  in_process([] {
    meter m;
    std::vector<gate> first(1);
    auto stream = async_stream(std::views::iota(0), [&](int n) {
      const meter::mark mark(m);
      if (n == 0) first[0].pass();
      return n;
    }, {.max_concurrency = 2, .timeout = infinity, .max_held = 10});
    auto opener = async([&] {
      while (m.ended < 10) yield();
      for (int i = 0; i < 100; ++i) yield();
      const int before = m.ended;
      first[0].open();
      return before;
    });
    int next = 0;
    for (auto& r : stream) {
      CHECK(r.value() == next);
      if (++next == 30) break;
    }
    CHECK(opener.await() == 10);
  });
}

TEST_CASE("EX-43 an element that takes too long: with `exit` the stream fails and all tasks are stopped") {
  in_process_until_it_counts([] {
    meter m;
    ints got;
    try {
      for (auto& r : async_stream({1, 2, 3, 4}, [&](int n) {
             const meter::mark mark(m);
             if (n >= 2) wait_for_ever();
             return n;
           }, {.max_concurrency = 2, .timeout = 200ms}))
        got.push_back(r.value());
      FAIL("it has not failed");
    } catch (const task_timeout& e) {
      const std::string what = e.what();
      if (what.find("element 1 ") != std::string::npos) return false;
      CHECK(what == "async_stream: element 2 took longer than 200 ms");
    }
    CHECK(got == ints{1});
    CHECK(m.now == 0);
    CHECK(nothing_left());
    return true;
  });
}

TEST_CASE("EX-43 a stream that has thrown for want of time is over") {
  in_process([] {
    std::atomic<int> started{0};
    auto stream = async_stream({0, 1, 2}, [&](int n) {
      ++started;
      if (n == 0) sleep_for(1h);
      return n;
    }, {.max_concurrency = 1, .timeout = 5ms});
    const auto read = [&] {
      int results = 0;
      for (auto& r : stream) results += r ? 1 : 0;
      return results;
    };
    CHECK_THROWS_AS(read(), task_timeout);
    CHECK(read() == 0);
    CHECK(started <= 1);                       // it has not begun if it was killed before
  });
}

TEST_CASE("EX-43 with `kill_task` its result is a timeout and the rest goes on") {
  in_process_until_it_counts([] {
    ints got;
    int timeouts = 0;
    for (auto& r : async_stream({1, 2, 3, 4, 5}, [&](int n) {
           if (n % 2 == 0) wait_for_ever();
           return n;
         }, {.max_concurrency = 2, .timeout = 200ms, .on_timeout = stream_options::kill_task})) {
      if (r) {
        got.push_back(r.value());
      } else {
        ++timeouts;
        CHECK(r.error().reason().is(exit_reason::timeout));
        CHECK(std::string(r.error().what()).find("took longer than 200 ms") != std::string::npos);
        CHECK_FALSE(r.error().element());
      }
    }
    CHECK(nothing_left());
    if (timeouts > 2) return false;
    CHECK(got == ints{1, 3, 5});
    CHECK(timeouts == 2);
    return true;
  });
}

TEST_CASE("EX-43 one that was killed and ends late takes no time from those after it") {
  in_process([] {
    std::vector<bool> in_time;
    for (auto& r : async_stream({0, 1, 2}, [](int n) {
           // Killed like the others, but hears of it only when it waits: as a rule while the third runs, and has time left.
           for (const auto begin = std::chrono::steady_clock::now(); n == 1 && std::chrono::steady_clock::now() - begin < 30ms;) {}
           sleep_for(n == 2 ? duration(1min) : duration(1h));
           return n;
         }, {.max_concurrency = 2, .timeout = 20ms, .on_timeout = stream_options::kill_task}))
      in_time.push_back(bool(r));
    CHECK(in_time == std::vector<bool>{false, false, false});
    CHECK(nothing_left());
  });
}

TEST_CASE("EX-44 a linked stream and a failing element: an owner that does not trap exits ends") {
  own_world w;
  for (int round = 0; round < 50; ++round) {
    meter m;
    std::atomic<bool> seen{false};
    const exit_reason why = run_process([&] {
      for (auto& r : async_stream({1, 2, 3}, [&](int n) {
             const meter::mark mark(m);
             if (n == 2) throw std::runtime_error("two");
             return n;
           }, {.max_concurrency = 2}))
        if (!r) seen = true;
    });
    CHECK(why.text() == "two");
    CHECK_FALSE(seen);
    CHECK(m.now == 0);
  }
}

TEST_CASE("EX-44 nor does it see a failure that was there before it asked") {
  own_world w;
  for (int round = 0; round < 30; ++round) {
    std::atomic<bool> seen{false};
    const exit_reason why = run_process([&] {
      for (auto& r : async_stream({1, 2}, [](int n) {
             if (n == 2) throw std::runtime_error("two");
             return n;
           }, {.max_concurrency = 2})) {
        if (!r) seen = true;
        // Long enough for the other to end, as a rule, and without a wait, which would hear of that.
        for (const auto begin = std::chrono::steady_clock::now(); std::chrono::steady_clock::now() - begin < 500us;) {}
      }
    });
    CHECK(why.text() == "two");
    CHECK_FALSE(seen);
  }
}

TEST_CASE("EX-44 one that traps exits, or has no links, gets the failure as a result; nothing stays in its mailbox") {
  in_process([] {
    trap_exit(true);
    const auto fails_at_two = [](int n) {
      if (n == 2) throw std::runtime_error("two");
      if (n == 3) exit(exit_reason("three"));
      return n;
    };
    std::vector<std::string> got;
    for (auto& r : async_stream({1, 2, 3, 4}, fails_at_two, {.max_concurrency = 2}))
      got.push_back(r ? std::to_string(*r) : std::string(r.error().reason().text()));
    CHECK(got == std::vector<std::string>{"1", "two", "three", "4"});
    CHECK(nothing_left());
  });
  in_process([] {
    int failed = 0;
    for (auto& r : async_stream_nolink(ints{1, 2, 3}, [](int n) {
           if (n == 2) throw std::out_of_range("two");
           return n;
         }))
      if (!r) {
        ++failed;
        CHECK_THROWS_AS(r.error().rethrow(), std::out_of_range);
        CHECK_THROWS_AS(r.value(), element_failed<int>);
      }
    CHECK(failed == 1);
    CHECK(nothing_left());
  });
}

TEST_CASE("EX-45 stopping early ends all tasks before control returns: break, exception, end of the owner") {
  in_process([] {
    meter m;
    const auto lasting = [&](int n) {
      const meter::mark mark(m);
      if (n != 0) wait_for_ever();
      return n;
    };
    const stream_options options{.max_concurrency = 4, .timeout = infinity};
    for (auto& r : async_stream(std::views::iota(0), lasting, options)) {
      CHECK(r.value() == 0);
      break;
    }
    CHECK(m.now == 0);
    CHECK(m.ended == m.runs);
    try {
      for (auto& r : async_stream(std::views::iota(0), lasting, options)) throw r.value();
    } catch (int) {
      CHECK(m.now == 0);
    }
    CHECK(nothing_left());

    std::atomic<int> running_at_end{-1};
    const monitored consumer = spawn_monitor([&, parent = self()] {
      struct last {
        meter& m;
        std::atomic<int>& seen;
        ~last() { seen = m.now.load(); }
      } note{m, running_at_end};
      for (auto& r : async_stream(std::views::iota(0), lasting, options)) send(parent, r.value());
    });
    CHECK(receive<int>() == 0);
    exit(consumer.who, exit_reason::kill);
    CHECK(reason_of_end(consumer.who, consumer.ref).is(exit_reason::killed));
    CHECK(running_at_end == 0);
    CHECK(m.ended == m.runs);
  });
}

TEST_CASE("EX-45 what reading the input throws comes to the consumer, and the tasks are stopped") {
  in_process([] {
    meter m;
    const auto input = std::views::iota(0) | std::views::transform([](int n) {
                         if (n == 3) throw std::runtime_error("no more");
                         return n;
                       });
    int got = 0;
    try {
      for (auto& r : async_stream(input, [&](int n) {
             const meter::mark mark(m);
             return n;
           }, {.max_concurrency = 2})) {
        r.value();
        ++got;
      }
      FAIL("it has not thrown");
    } catch (const std::runtime_error& e) {
      CHECK(std::string(e.what()) == "no more");
    }
    CHECK(got <= 3);
    CHECK(m.now == 0);
    CHECK(nothing_left());
  });
}

TEST_CASE("EX-46 zip_input_on_exit: a failure holds the element") {
  in_process_until_it_counts([] {
    trap_exit(true);
    std::vector<std::string> failed;
    for (auto& r : async_stream(std::vector<std::string>{"a", "bb", "ccc"}, [](std::string s) {
           if (s == "bb") wait_for_ever();
           if (s == "ccc") throw std::runtime_error("long");
           return s.size();
         }, {.max_concurrency = 3, .timeout = 200ms, .on_timeout = stream_options::kill_task, .zip_input_on_exit = true})) {
      if (!r) failed.push_back(*r.error().element() + ": " + to_text(r.error().reason().what()).data());
      else CHECK(r.value() == 1);
    }
    if (std::ranges::count_if(failed, [](const std::string& f) { return f.ends_with(": timeout"); }) > 1) return false;
    CHECK(failed == std::vector<std::string>{"bb: timeout", "ccc: error"});
    std::vector<std::unique_ptr<int>> none;
    CHECK_THROWS_AS(static_cast<void>(async_stream(none | std::views::transform([](auto&) { return std::make_unique<int>(); }),
                                                   [](std::unique_ptr<int>) {}, {.zip_input_on_exit = true})),
                    std::invalid_argument);
    return true;
  });
}

TEST_CASE("EX-47 options are checked when the stream is made") {
  const auto make = [](const stream_options& o) { static_cast<void>(async_stream(ints{1}, [](int n) { return n; }, o)); };
  CHECK_THROWS_WITH_AS(make({.max_concurrency = 0}), "async_stream: max_concurrency is 0; at least one task has to run", std::invalid_argument);
  CHECK_THROWS_AS(make({.max_held = 0}), std::invalid_argument);
  CHECK_THROWS_AS(make({.timeout = duration{-1}}), std::invalid_argument);
  CHECK_THROWS_AS(make({.on_timeout = static_cast<stream_options::action>(7)}), std::invalid_argument);
  CHECK_NOTHROW(make({.max_concurrency = 1, .timeout = duration{0}}));
  CHECK_NOTHROW(make({.timeout = infinity}));
}

TEST_CASE("EX-48 the owner is who reads, not who made the stream; then it is nobody else's") {
  own_world w;
  auto stream = std::make_shared<std::optional<decltype(async_stream(std::declval<ints>(), std::declval<int (*)(int)>()))>>();
  stream->emplace(async_stream(ints{1, 2, 3}, +[](int n) { return n + 1; }));
  const pid tester = self();
  const pid reader = spawn([stream, tester] {
    int sum = 0;
    for (auto& r : **stream) {
      sum += r.value();
      if (sum == 5) {
        send(tester, sum);
        wait_for_go();
      }
    }
    send(tester, sum);
    stream->reset();
  });
  CHECK(receive<int>() == 5);
  auto mine = (**stream).begin();
  ++mine;
  CHECK_THROWS_AS(static_cast<void>(mine == std::default_sentinel), exit_error);
  send(reader, go{});
  CHECK(receive<int>() == 9);
  static_cast<void>(end_of(reader));
}

TEST_CASE("EX-48 a stream may be read from a plain thread: failures are results") {
  own_world w;
  int sum = 0, failed = 0;
  for (auto& r : async_stream(std::views::iota(1, 101), [](int n) {
         if (n % 10 == 0) throw std::runtime_error("ten");
         return n;
       }))
    r ? sum += *r : ++failed;
  CHECK(failed == 10);
  CHECK(sum == 5050 - 550);
  CHECK(mailbox_is_empty());
}

TEST_CASE("EX-41 many elements, ordered and not, in several widths") {
  in_process([] {
    for (const std::size_t width : {std::size_t{1}, std::size_t{2}, std::size_t{7}, std::size_t{1000}})
      for (const bool ordered : {true, false}) {
        long sum = 0;
        int count = 0;
        for (auto& r : async_stream(std::views::iota(0, rounds(3'000, 200'000)), [](int n) { return n; },
                                    {.max_concurrency = width, .ordered = ordered})) {
          if (ordered) CHECK(r.value() == count);
          sum += r.value();
          ++count;
        }
        CHECK(count == rounds(3'000, 200'000));
        CHECK(sum == static_cast<long>(count) * (count - 1) / 2);
      }
    CHECK(nothing_left());
  });
}

TEST_CASE("EX-45 a stream that nobody's process reads any more is ended by whoever destroys it") {
  own_world w;
  auto stream = std::make_shared<std::optional<decltype(async_stream(std::declval<ints>(), std::declval<int (*)(int)>()))>>();
  stream->emplace(async_stream(ints{1, 2, 3}, +[](int n) {
    if (n != 1) wait_for_ever();
    return n;
  }, {.max_concurrency = 3, .timeout = infinity}));
  const pid tester = self();
  const pid reader = spawn([stream, tester] {
    send(tester, (*stream)->begin()->value());
    wait_for_go();
    send(tester, 0);
  });
  CHECK(receive<int>() == 1);
  stream->reset();                                             // the reader is linked, and lives
  CHECK(processes().size() == 1);
  send(reader, go{});
  CHECK(receive<int>() == 0);
  static_cast<void>(end_of(reader));
}
