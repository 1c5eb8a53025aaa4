// SPDX-License-Identifier: Apache-2.0
#include <coppice/base/result.hpp>

#include <doctest/doctest.h>

#include <memory>
#include <stdexcept>
#include <string>

using coppice::error;
using coppice::result;

namespace {

struct call_failed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

result<int, call_failed> half(int n) {
  if (n % 2 != 0) return error(call_failed("odd: " + std::to_string(n)));
  return n / 2;
}

/// Counts how often it was made from something else.
struct from_anything {
  int converted = 0;
  template <class T>
  requires(!std::is_same_v<std::remove_cvref_t<T>, from_anything>)
  from_anything(T&&) : converted(1) {}
};

std::string thrown_by(auto&& f) {
  try {
    f();
  } catch (const call_failed& failure) {
    return failure.what();
  }
  return "nothing";
}

}  // namespace

TEST_CASE("result: value() gives the value or throws the error itself") {
  CHECK(half(4).value() == 2);
  CHECK(thrown_by([] { (void)half(3).value(); }) == "odd: 3");
  const auto kept = half(5);
  CHECK(thrown_by([&] { (void)kept.value(); }) == "odd: 5");
  CHECK(thrown_by([&] { (void)kept.value(); }) == "odd: 5");  // a copy was thrown, not the error moved out
}

TEST_CASE("result: it behaves like the std::expected that it is") {
  result<int, call_failed> r = half(4);
  const std::expected<int, call_failed>& as_base = r;
  CHECK(as_base.has_value());
  CHECK(*r == 2);
  CHECK(half(3).value_or(9) == 9);
  result<int, std::string> a = 1, b = 1, c = error("no");
  CHECK(a == b);
  CHECK(a != c);
  CHECK((a == 1));
  CHECK((c == error(std::string("no"))));
  CHECK((a != error(std::string("no"))));
  a = 5;
  CHECK(*a == 5);
  a = error("late");
  CHECK(a.error() == "late");
  std::expected<int, std::string> plain = 7;
  CHECK(*result<int, std::string>(plain) == 7);
}

TEST_CASE("result: it is made from a value, an unexpected, and in place") {
  result<std::string, int> text = "abc";
  CHECK(*text == "abc");
  result<std::string, int> built(std::in_place, 3u, 'x');
  CHECK(*built == "xxx");
  result<std::string, int> failed = std::unexpected(4);
  CHECK(failed.error() == 4);
  result<int, std::string> failed_in_place(std::unexpect, 2u, 'y');
  CHECK(failed_in_place.error() == "yy");
  result<int, std::string> zero;
  CHECK(*zero == 0);
}

TEST_CASE("result: a copy of a result of bool, or of what takes anything, is a copy, not a conversion") {
  result<bool, int> no = false;
  result<bool, int> copy(no);  // not `true` because `no` has a value
  CHECK(*copy == false);
  result<from_anything, int> some = from_anything(3);
  result<from_anything, int> other(some);
  CHECK(other->converted == 1);
  static_assert(std::is_trivially_copy_constructible_v<result<int, int>>);
}

TEST_CASE("result: values that can only be moved pass through") {
  result<std::unique_ptr<int>, call_failed> r = std::make_unique<int>(3);
  std::unique_ptr<int> out = std::move(r).value();
  CHECK(*out == 3);
  auto next = result<std::unique_ptr<int>, call_failed>(std::make_unique<int>(4)).transform([](std::unique_ptr<int> p) {
    return *p + 1;
  });
  CHECK(*next == 5);
}

TEST_CASE("result: and_then goes on with a value and lets an error pass") {
  CHECK(*half(8).and_then(half) == 2);
  CHECK(std::string(half(6).and_then(half).error().what()) == "odd: 3");
  int runs = 0;
  (void)half(1).and_then([&](int n) { return ++runs, half(n); });
  CHECK(runs == 0);
  const auto kept = half(8);
  CHECK(*kept.and_then(half) == 2);
}

TEST_CASE("result: transform maps the value, also to void, and keeps the error") {
  auto text = half(8).transform([](int n) { return std::to_string(n); });
  static_assert(std::is_same_v<decltype(text), result<std::string, call_failed>>);
  CHECK(*text == "4");
  int seen = 0;
  result<void, call_failed> done = half(8).transform([&](int n) { seen = n; });
  CHECK(done.has_value());
  CHECK(seen == 4);
  CHECK(thrown_by([] { half(7).transform([](int) {}).value(); }) == "odd: 7");
}

TEST_CASE("result: or_else and transform_error answer errors and let a value pass") {
  CHECK(*half(3).or_else([](const call_failed&) -> result<int, call_failed> { return -1; }) == -1);
  CHECK(*half(4).or_else([](const call_failed&) -> result<int, call_failed> { return -1; }) == 2);
  auto shorter = half(3).transform_error([](const call_failed& why) { return std::string(why.what()).size(); });
  CHECK(shorter.error() == 6);
  CHECK(*half(4).transform_error([](const call_failed&) { return 0; }) == 2);
}

TEST_CASE("result: without a value it says only whether and why") {
  result<void, call_failed> good;
  good.value();
  CHECK(good);
  result<void, call_failed> bad = error(call_failed("broken"));
  CHECK_FALSE(bad);
  CHECK(thrown_by([&] { bad.value(); }) == "broken");
  CHECK(thrown_by([&] { std::move(bad).value(); }) == "broken");
  CHECK(*good.and_then([] { return half(2); }) == 1);
  CHECK(*good.transform([] { return 5; }) == 5);
  result<void, int> code = error(3);
  CHECK((code == result<void, int>(error(3))));
  CHECK((code != result<void, int>()));
  CHECK(code.or_else([](int) { return result<void, int>(); }).has_value());
  CHECK(code.transform_error([](int c) { return c + 1; }).error() == 4);
}
