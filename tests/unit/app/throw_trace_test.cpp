// SPDX-License-Identifier: Apache-2.0
#include <coppice/app/throw_trace.hpp>

#include <doctest/doctest.h>

#include "spec/otp/own_world.hpp"

#include <chrono>
#include <map>
#include <stdexcept>
#include <thread>

using namespace coppice;
using namespace coppice::testing;

namespace {

struct break_down { using reply = int; int depth; };
struct fail_late { using reply = int; };

[[gnu::noinline]] int throw_here(int depth) {
  if (depth > 0) return throw_here(depth - 1) + 1;
  throw std::out_of_range("no channel 7");
}

/// Throws and catches, waits, and moves to another thread perhaps, while the stack of another exception unwinds.
struct troubled {
  ~troubled() {
    try {
      throw std::runtime_error("inner");
    } catch (const std::exception&) {}
    sleep_for(1ms);
  }
};

struct fragile {
  int handle_call(break_down f) { return throw_here(f.depth); }
  int handle_call(fail_late) {
    const troubled t;
    throw std::logic_error("outer");
  }
};

struct traced {
  explicit traced(std::size_t frames) { trace_throws({.frames = frames}); }
  ~traced() { stop_tracing_throws(); }
};

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

}  // namespace

TEST_CASE("GS-150 a crash report says where the exception was thrown, down to the handler, and nothing below it") {
  const traced t(16);
  own_world w;
  const auto m = start_monitor<fragile>();
  CHECK_FALSE(try_call(m.server, break_down{3}).has_value());
  (void)reason_of_end(m.server, m.ref);
  for (const char* kind : {"server", "crash"}) {
    const auto seen = w.reports.of(kind, m.server);
    REQUIRE(seen.size() == 1);
    const std::string trace = field_of(seen[0], "thrown in");
    CHECK_MESSAGE(trace.find("throw_here(int)") != std::string::npos, trace);
    CHECK_MESSAGE(contains(trace, "throw_trace_test.cpp:2"), trace);
    const std::string last = trace.substr(trace.rfind('\n') + 1);     // the compiler may have put it into its trampoline
    CHECK_MESSAGE((last.find("fragile::handle_call") != std::string::npos || last.starts_with("the handler")), trace);
    CHECK_MESSAGE(contains(last, "throw_trace_test.cpp:3"), trace);
    CHECK_FALSE(contains(trace, "coppice::internal"));
    CHECK(trace.starts_with("(anonymous namespace)::throw_here"));
  }
}

TEST_CASE("one frame is the throw itself") {
  const traced t(1);
  own_world w;
  const auto m = start_monitor<fragile>();
  CHECK_FALSE(try_call(m.server, break_down{5}).has_value());
  const exit_reason why = reason_of_end(m.server, m.ref);
  CHECK(why.trace().starts_with("(anonymous namespace)::throw_here(int) at throw_trace_test.cpp:"));
  CHECK_FALSE(contains(why.trace(), "\n"));
}

TEST_CASE("a note belongs to its exception, whatever the unwinding stack throws and wherever it goes on") {
  const traced t(16);
  own_world w;
  for (int i = 0; i < 20; ++i) {
    const auto m = start_monitor<fragile>();
    CHECK_FALSE(try_call(m.server, fail_late{}).has_value());
    const exit_reason why = reason_of_end(m.server, m.ref);
    CHECK(contains(why.trace(), "throw_trace_test.cpp:4"));
    CHECK_FALSE(contains(why.trace(), "~troubled"));
  }
}

TEST_CASE("an exception that is stored and thrown again keeps its first place; a caller's error keeps the server's") {
  const traced t(16);
  std::exception_ptr kept;
  try {
    throw_here(0);
  } catch (...) {
    kept = std::current_exception();
  }
  exit_reason why;
  try {
    std::rethrow_exception(kept);
  } catch (...) {
    why = exit_reason::from_current_exception();
  }
  CHECK(contains(why.trace(), "throw_here"));
}

TEST_CASE("without recording there is no trace") {
  exit_reason why;
  try {
    throw_here(0);
  } catch (...) {
    why = exit_reason::from_current_exception();
  }
  CHECK(why.trace().empty());
  CHECK_THROWS_AS(trace_throws({.frames = 0}), std::invalid_argument);
  CHECK_THROWS_AS(trace_throws({.frames = 33}), std::invalid_argument);
}

TEST_CASE("many threads throw at once: every trace is right") {
  const traced t(4);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int n = 0; n < 4; ++n)
    threads.emplace_back([&] {
      for (int i = 0; i < rounds(20, 2000); ++i)
        try {
          throw_here(i % 3);
        } catch (...) {
          const exit_reason why = exit_reason::from_current_exception();
          if (!contains(why.trace(), "throw_here")) ++wrong;
        }
    });
  for (std::thread& one : threads) one.join();
  CHECK(wrong <= 4);                      // a note may be lost to another exception's, and is never of another one
}
