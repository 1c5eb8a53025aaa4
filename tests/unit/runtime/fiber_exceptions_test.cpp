// SPDX-License-Identifier: Apache-2.0
//
// The C++ ABI keeps what is thrown and caught per thread. Here it must be kept per fiber.
#include "runtime/fiber.hpp"

#include "unit/runtime/dying_child.hpp"

#include <doctest/doctest.h>

#include <cxxabi.h>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>

using namespace coppice::internal;
using coppice::testing::death_of;

namespace {

struct catcher {
  fiber* f = nullptr;
  std::string thrown;
  std::string rethrown;

  static void suspend_in_handler(void* raw) {
    auto& self = *static_cast<catcher*>(raw);
    try {
      try {
        throw std::runtime_error(self.thrown);
      } catch (const std::exception&) {
        suspend(*self.f);
        throw;
      }
    } catch (const std::exception& e) {
      self.rethrown = e.what();
    }
  }
};

struct all_of {
  fiber_pool pool;
  fiber_cache cache{pool};
};

}  // namespace

TEST_CASE("three fibers suspended in their handlers rethrow each its own exception, in any order and on any thread") {
  all_of x;
  catcher c[3];
  for (int i = 0; i < 3; ++i) {
    c[i].f = x.cache.take(stack_class::k64);
    c[i].thrown = "exception of fiber " + std::to_string(i);
    REQUIRE(enter(*c[i].f, catcher::suspend_in_handler, &c[i]) == fiber_outcome::blocked);
  }
  CHECK(this_thread_exceptions().is_clear());
  CHECK(resume(*c[0].f) == fiber_outcome::done);
  std::thread([&] { CHECK(resume(*c[2].f) == fiber_outcome::done); }).join();
  CHECK(resume(*c[1].f) == fiber_outcome::done);
  for (const auto& one : c) CHECK(one.rethrown == one.thrown);
  CHECK(this_thread_exceptions().is_clear());
}

TEST_CASE("a caller in a handler gets its exception back, and the fiber does not see it") {
  all_of x;
  catcher inner{.f = x.cache.take(stack_class::k64), .thrown = "inner", .rethrown = {}};
  bool had_exception = true;
  std::string seen;
  try {
    try {
      throw std::runtime_error("outer");
    } catch (...) {
      fiber* f = x.cache.take(stack_class::k64);
      const auto look = [](void* raw) { *static_cast<bool*>(raw) = std::current_exception() != nullptr; };
      CHECK(enter(*f, look, &had_exception) == fiber_outcome::done);
      CHECK(enter(*inner.f, catcher::suspend_in_handler, &inner) == fiber_outcome::blocked);
      CHECK(resume(*inner.f) == fiber_outcome::done);
      throw;
    }
  } catch (const std::exception& e) {
    seen = e.what();
  }
  CHECK(seen == "outer");
  CHECK_FALSE(had_exception);
  CHECK(inner.rethrown == "inner");
  CHECK(this_thread_exceptions().is_clear());
}

TEST_CASE("a fiber that is abandoned in its handler leaves nothing of that to its resumer") {
  all_of x;
  struct lost {
    fiber* f;
    exception_state state{};
  } l{x.cache.take(stack_class::k64)};
  const auto job = [](void* raw) {
    auto& mine = *static_cast<lost*>(raw);
    try {
      throw 1;
    } catch (int) {
      mine.state = this_thread_exceptions();
      abandon(*mine.f);
    }
  };
  CHECK(enter(*l.f, job, &l) == fiber_outcome::abandoned);
  CHECK(this_thread_exceptions().is_clear());
  REQUIRE_FALSE(l.state.is_clear());
  this_thread_exceptions() = l.state;  // frees the exception, for the leak checker's sake
  __cxxabiv1::__cxa_end_catch();
  CHECK(this_thread_exceptions().is_clear());
}

TEST_CASE("the count of uncaught exceptions belongs to the fiber") {
  all_of x;
  struct witness {
    fiber* f;
    int inside = -1, inside_after = -1, resumer = -1;
    struct leaver {
      witness& w;
      ~leaver() {
        w.inside = std::uncaught_exceptions();
        suspend(*w.f);
        w.inside_after = std::uncaught_exceptions();
      }
    };
  } w{x.cache.take(stack_class::k64)};
  const auto unwind = [](void* raw) {
    try {
      witness::leaver l{*static_cast<witness*>(raw)};
      throw 1;
    } catch (int) {
    }
  };
  CHECK(enter(*w.f, unwind, &w) == fiber_outcome::blocked);
  CHECK(std::uncaught_exceptions() == 0);
  CHECK(resume(*w.f) == fiber_outcome::done);
  CHECK(w.inside == 1);
  CHECK(w.inside_after == 1);
  CHECK(std::uncaught_exceptions() == 0);
}

TEST_CASE("an exception thrown after a resume on another thread unwinds the fiber") {
  all_of x;
  struct unwound {
    fiber* f;
    int destroyed = 0;
    bool caught = false;
    struct counted {
      int& n;
      ~counted() { ++n; }
    };
    [[gnu::noinline]] void deep(int levels) {
      counted c{destroyed};
      if (levels > 0) return deep(levels - 1);
      suspend(*f);
      throw std::runtime_error("killed");
    }
  } u{x.cache.take(stack_class::k64)};
  const auto job = [](void* raw) {
    auto& mine = *static_cast<unwound*>(raw);
    try {
      mine.deep(5);
    } catch (const std::runtime_error&) {
      mine.caught = true;
    }
  };
  CHECK(enter(*u.f, job, &u) == fiber_outcome::blocked);
  std::thread([&] { CHECK(resume(*u.f) == fiber_outcome::done); }).join();
  CHECK(u.destroyed == 6);
  CHECK(u.caught);
}

TEST_CASE("an exception that leaves a job terminates the program") {
  const auto d = death_of([] {
    all_of x;
    std::set_terminate([] { _exit(77); });
    [[maybe_unused]] const auto outcome =
        enter(*x.cache.take(stack_class::k64), [](void*) { throw std::runtime_error("nobody catches this"); }, nullptr);
  });
  CHECK(d.exit_status == 77);
}

TEST_CASE("each thread has an exception state of its own") {
  exception_state* mine = &this_thread_exceptions();
  exception_state* others = nullptr;
  std::thread([&] { others = &this_thread_exceptions(); }).join();
  CHECK(mine == &this_thread_exceptions());
  CHECK(mine != others);
}
