// SPDX-License-Identifier: Apache-2.0
#include <coppice/base/any_value.hpp>
#include <coppice/base/result.hpp>
#include <coppice/base/secret.hpp>

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

using namespace coppice;

namespace {

struct point {
  int x = 0;
  std::string name{};
};
struct opaque {
  explicit opaque(int v) : value(v) {}

 private:
  [[maybe_unused]] int value;
};
struct counted {
  static inline int alive = 0;
  counted() { ++alive; }
  counted(const counted&) { ++alive; }
  ~counted() { --alive; }
};

}  // namespace

TEST_CASE("a value is copied, compared, printed and asked for by its type") {
  const any_value a(point{3, "ann"});
  const any_value b = a;
  CHECK(a == b);
  CHECK(a != any_value(point{4, "ann"}));
  CHECK(a != any_value(3));
  CHECK(a != any_value());
  CHECK(any_value() == any_value());
  REQUIRE(b.as<point>() != nullptr);
  CHECK(b.as<point>()->name == "ann");
  CHECK(b.as<int>() == nullptr);
  CHECK(b.type() == "point");
  CHECK(text_of(a) == "point{x: 3, name: \"ann\"}");
  CHECK_FALSE(any_value());
}

TEST_CASE("what is inside lives as long as its value") {
  {
    any_value a{counted()};
    CHECK(counted::alive == 1);
    any_value b = a;
    CHECK(counted::alive == 2);
    any_value c = std::move(b);
    CHECK(counted::alive == 2);
    a = std::move(c);
    CHECK(counted::alive == 1);
  }
  CHECK(counted::alive == 0);
}

TEST_CASE("borrowed text is copied with its value") {
  std::string text = "from afar";
  const any_value view{std::string_view(text)};
  const any_value c_string{static_cast<const char*>(text.c_str())};
  const any_value again = view;
  text = "gone with";
  CHECK(*view.as<std::string_view>() == "from afar");
  CHECK(*again.as<std::string_view>() == "from afar");
  CHECK(std::string(*c_string.as<const char*>()) == "from afar");
}

TEST_CASE("contents are compared as deep as they go") {
  using list = std::vector<point>;                                 // has an operator== that does not compile
  CHECK(any_value(list{{1, "a"}, {2, "b"}}) == any_value(list{{1, "a"}, {2, "b"}}));
  CHECK(any_value(list{{1, "a"}}) != any_value(list{{1, "a"}, {2, "b"}}));
  CHECK(any_value(list{{1, "a"}}) != any_value(list{{1, "b"}}));
  using mixed = std::tuple<std::optional<point>, std::pair<int, point>, std::map<int, point>>;
  const mixed m{point{1, "x"}, {2, {3, "y"}}, {{4, {5, "z"}}}};
  mixed other = m;
  CHECK(any_value(m) == any_value(other));
  std::get<2>(other)[4].x = 6;
  CHECK(any_value(m) != any_value(other));
  CHECK(any_value(std::unordered_map<int, int>{{1, 2}, {3, 4}}) == any_value(std::unordered_map<int, int>{{3, 4}, {1, 2}}));
  CHECK(any_value(secret<int>(1)) != any_value(secret<int>(2)));
  const any_value hidden{opaque(1)};
  CHECK(hidden == hidden);
  CHECK(hidden != any_value(hidden));
}

TEST_CASE("a result without a value prints as done, or as its error") {
  CHECK(text_of(result<void, std::string>()) == "done");
  CHECK(text_of(result<void, std::string>(error(std::string("no")))) == "no");
}
