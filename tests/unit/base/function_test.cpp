// SPDX-License-Identifier: Apache-2.0
#include <coppice/base/function.hpp>

#include <doctest/doctest.h>

#include <array>
#include <memory>
#include <string>

using coppice::function;

namespace {

/// Counts what lives; as large as wanted.
template <std::size_t Size>
struct counted {
  static inline int alive = 0, moved = 0, called = 0;
  std::array<char, Size> filler{};
  counted() { ++alive; }
  counted(counted&&) noexcept { ++alive, ++moved; }
  ~counted() { --alive; }
  void operator()() { ++called; }
};

struct throwing_move {
  throwing_move() = default;
  throwing_move(throwing_move&&) noexcept(false) {}
  int operator()() const { return 4; }
};

int plain(int n) { return n + 1; }

struct called_while_empty {};

template <class Counted>
void live_and_move() {
  Counted::alive = Counted::moved = Counted::called = 0;
  {
    function<void()> f{Counted()};
    CHECK(Counted::alive == 1);
    f();
    function<void()> g(std::move(f));
    CHECK(Counted::alive == 1);
    CHECK_FALSE(f);
    g();
    f = std::move(g);
    f();
    CHECK(Counted::alive == 1);
    CHECK(Counted::called == 3);
    f = Counted();
    CHECK(Counted::alive == 1);
    f = nullptr;
    CHECK(Counted::alive == 0);
    function<void()> to_the_end{Counted()};
    CHECK(Counted::alive == 1);
  }
  CHECK(Counted::alive == 0);
}

}  // namespace

TEST_CASE("function: it calls what it holds, with arguments and result") {
  function<int(int)> f = [](int n) { return 2 * n; };
  CHECK(f(4) == 8);
  f = plain;
  CHECK(f(4) == 5);
  f = &plain;
  CHECK(f(5) == 6);
  function<std::string(std::string&&, const int&)> g = [](std::string&& s, const int& n) {
    return std::move(s) + std::to_string(n);
  };
  CHECK(g("a", 1) == "a1");
  function<void()> ignores = [] { return 7; };
  ignores();
  function<long(int)> widens = plain;
  CHECK(widens(1) == 2);
}

TEST_CASE("function: small callables lie inside and live exactly as long as it does") { live_and_move<counted<32>>(); }

TEST_CASE("function: large callables lie on the heap and are not moved about") {
  live_and_move<counted<33>>();
  counted<100>::moved = 0;
  function<void()> f{counted<100>()};
  const int moved = counted<100>::moved;
  function<void()> g(std::move(f));
  CHECK(counted<100>::moved == moved);
}

TEST_CASE("function: a callable whose move may throw goes to the heap, so moving stays noexcept") {
  static_assert(!coppice::detail::lies_inside<throwing_move>);
  static_assert(std::is_nothrow_move_constructible_v<function<int()>>);
  static_assert(std::is_nothrow_move_assignable_v<function<int()>>);
  static_assert(!std::is_copy_constructible_v<function<int()>>);
  function<int()> f{throwing_move()};
  function<int()> g = std::move(f);
  CHECK(g() == 4);
}

TEST_CASE("function: it holds what can only be moved, and keeps its state between calls") {
  function<int()> f = [p = std::make_unique<int>(3)] { return ++*p; };
  CHECK(f() == 4);
  CHECK(f() == 5);
  function<int()> g = [n = 0]() mutable { return ++n; };
  (void)g();
  CHECK(g() == 2);
}

TEST_CASE("function: the constant form is called as a constant") {
  const function<int(int) const> f = [](int n) { return n - 1; };
  CHECK(f(3) == 2);
  auto changes = [n = 0]() mutable { return ++n; };
  static_assert(std::is_constructible_v<function<int()>, decltype(changes)>);
  static_assert(!std::is_constructible_v<function<int() const>, decltype(changes)>);
}

TEST_CASE("function: it refuses what it cannot call") {
  static_assert(!std::is_constructible_v<function<int(int)>, int>);
  static_assert(!std::is_constructible_v<function<int(int)>, std::string (*)(int)>);
  static_assert(!std::is_constructible_v<function<int()>, int (*)(int)>);
}

TEST_CASE("function: empty is nullptr, and a null function pointer is empty") {
  function<void()> f;
  CHECK_FALSE(f);
  CHECK(f == nullptr);
  CHECK_FALSE(function<int(int)>(nullptr));
  CHECK_FALSE(function<int(int)>(static_cast<int (*)(int)>(nullptr)));
  f = [] {};
  CHECK(f);
  f = nullptr;
  CHECK_FALSE(f);
}

TEST_CASE("function: a call while empty or moved from is reported, in every build") {
  auto old =
      coppice::set_assert_handler([](const char*, int, const char*, const char*) { throw called_while_empty(); });
  function<int()> f;
  CHECK_THROWS_AS(f(), called_while_empty);
  f = [] { return 1; };
  function<int()> g = std::move(f);
  CHECK_THROWS_AS(f(), called_while_empty);
  CHECK(g() == 1);
  coppice::set_assert_handler(old);
}

TEST_CASE("function: moving onto itself changes nothing") {
  function<int()> f = [p = std::make_unique<int>(3)] { return *p; };
  function<int()>& same = f;
  f = std::move(same);
  CHECK(f() == 3);
}
