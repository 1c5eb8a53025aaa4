// SPDX-License-Identifier: Apache-2.0
#include "runtime/stack_pool.hpp"

#include "unit/runtime/dying_child.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <sys/mman.h>
#include <thread>
#include <vector>

using namespace coppice::internal;
using coppice::testing::death_of;

namespace {

constexpr stack_class all_classes[] = {stack_class::k16, stack_class::k64, stack_class::k256, stack_class::k1024};

stack take(stack_pool& pool, stack_class c) {
  stack s{};
  REQUIRE(pool.take(c, s));
  return s;
}

std::size_t resident_pages(const stack& s) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> seen(static_cast<std::size_t>(s.top - s.bottom) / page);
  REQUIRE(mincore(s.bottom, static_cast<std::size_t>(s.top - s.bottom), seen.data()) == 0);
  return static_cast<std::size_t>(std::count_if(seen.begin(), seen.end(), [](unsigned char c) { return (c & 1) != 0; }));
}

void write_to(std::byte* p) { *static_cast<volatile std::byte*>(p) = std::byte{1}; }

bool kills(const coppice::testing::death& d) { return d.signal == SIGSEGV; }

}  // namespace

TEST_CASE("a stack has the size of its class and every byte of it can be used") {
  stack_pool pool;
  for (stack_class c : all_classes) {
    const stack s = take(pool, c);
    CHECK(s.size == c);
    REQUIRE(static_cast<std::size_t>(s.top - s.bottom) == stack_bytes(c));
    CHECK(std::all_of(s.bottom, s.top, [](std::byte b) { return b == std::byte{0}; }));
    std::memset(s.bottom, 0x5a, stack_bytes(c));
  }
  CHECK(stack_bytes(stack_class::k16) == 16 * 1024);
  CHECK(stack_bytes(stack_class::k64) == 64 * 1024);
  CHECK(stack_bytes(stack_class::k256) == 256 * 1024);
  CHECK(stack_bytes(stack_class::k1024) == 1024 * 1024);
}

TEST_CASE("stacks of several slabs do not overlap and are found by any address in them") {
  stack_pool pool;
  std::vector<stack> all;
  for (int i = 0; i < 200; ++i) all.push_back(take(pool, i % 3 == 0 ? stack_class::k16 : stack_class::k64));
  for (const stack& s : all) {
    stack_pool::location l{};
    for (const std::byte* p : {s.bottom, s.bottom + 5000, s.top - 1}) {
      REQUIRE(pool.find(p, l));
      CHECK_FALSE(l.in_guard);
      CHECK(l.where.top == s.top);
      CHECK(l.where.index == s.index);
    }
    REQUIRE(pool.find(s.bottom - 1, l));
    CHECK(l.in_guard);
    CHECK(l.where.bottom == s.bottom);
    REQUIRE(pool.find(s.bottom - pool.guard_bytes(), l));
    CHECK(l.in_guard);
    CHECK(l.where.bottom == s.bottom);
  }
  std::sort(all.begin(), all.end(), [](const stack& a, const stack& b) { return a.bottom < b.bottom; });
  for (std::size_t i = 1; i < all.size(); ++i) CHECK(all[i - 1].top <= all[i].bottom - pool.guard_bytes());
}

TEST_CASE("an address outside, and a stack that was not handed out, are not found") {
  stack_pool pool;
  stack_pool::location l{};
  int here = 0;
  CHECK_FALSE(pool.find(&here, l));
  CHECK_FALSE(pool.find(nullptr, l));
  const stack first = take(pool, stack_class::k64);
  CHECK_FALSE(pool.find(&here, l));
  CHECK_FALSE(pool.find(first.top + pool.guard_bytes(), l));
}

TEST_CASE("all stacks handed out are visited, of every class") {
  stack_pool pool;
  std::vector<std::byte*> taken, visited;
  for (int i = 0; i < 100; ++i) taken.push_back(take(pool, all_classes[i % 4]).top);
  pool.for_each([](void* v, const stack& s) { static_cast<std::vector<std::byte*>*>(v)->push_back(s.top); }, &visited);
  std::sort(taken.begin(), taken.end());
  std::sort(visited.begin(), visited.end());
  CHECK(taken == visited);
}

TEST_CASE("threads that take at the same time get different stacks") {
  stack_pool pool;
  std::vector<std::byte*> taken[3];
  {
    std::vector<std::jthread> threads;
    for (auto& mine : taken)
      threads.emplace_back([&] {
        stack s{};
        for (int i = 0; i < 150 && pool.take(stack_class::k16, s); ++i) mine.push_back(s.top);
      });
  }
  std::vector<std::byte*> all;
  for (auto& mine : taken) all.insert(all.end(), mine.begin(), mine.end());
  REQUIRE(all.size() == 450);
  std::sort(all.begin(), all.end());
  CHECK(std::adjacent_find(all.begin(), all.end()) == all.end());
}

TEST_CASE("a write below a stack kills the program, with both kinds of guard") {
  for (stack_guard kind : {stack_guard::marker, stack_guard::protection}) {
    const auto d = death_of([kind] {
      stack_pool pool({.strongest = kind});
      stack s{};
      if (!pool.take(stack_class::k64, s)) _exit(3);
      write_to(s.bottom);
      write_to(s.bottom - 1);
    });
    CHECK(kills(d));
  }
}

TEST_CASE("beyond the limit of protected stacks there are none, and that is said once") {
  const auto d = death_of([] {
    stack_pool pool({.strongest = stack_guard::protection, .max_protected = 3});
    stack s{};
    for (int i = 0; i < 3; ++i)
      if (!pool.take(stack_class::k16, s) || pool.guard() != stack_guard::protection) _exit(1);
    for (int i = 0; i < 3; ++i)
      if (!pool.take(stack_class::k16, s) || pool.guard() != stack_guard::none) _exit(2);
    write_to(s.bottom - 1);  // nothing notices
    _exit(17);
  });
  CHECK(d.exit_status == 17);
  CHECK(d.says("coppice: no more guard pages"));
  CHECK(d.text.find("coppice:") == d.text.rfind("coppice:"));
}

TEST_CASE("pages that are given back read as zero, those that are needed keep their content") {
  stack_pool pool;
  const stack s = take(pool, stack_class::k64);
  std::memset(s.bottom, 1, stack_bytes(s.size));
  CHECK(resident_pages(s) == 16);
  stack_pool::give_back_pages(s.bottom, s.top - 100);
  CHECK(resident_pages(s) == 1);
  CHECK(s.bottom[0] == std::byte{0});
  CHECK(s.top[-200] == std::byte{1});
  CHECK(kills(death_of([&] { write_to(s.bottom - 1); })));  // the guard stays
}
