// SPDX-License-Identifier: Apache-2.0
#include <coppice/base/fields.hpp>
#include <coppice/base/secret.hpp>

#include <doctest/doctest.h>

#include <any>
#include <array>
#include <chrono>
#include <deque>
#include <exception>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

using coppice::field_count;
using coppice::field_name;
using coppice::field_names;
using coppice::layout_hash;
using coppice::reflectable;
using coppice::visit_fields;

namespace {

struct empty {};
struct pair_of_ints {
  int a, b;
};
struct only_moved {
  only_moved() = default;
  only_moved(only_moved&&) = default;
};
struct never_moved {
  never_moved() = default;
  never_moved(never_moved&&) = delete;
};
struct no_default {
  explicit no_default(int) {}
};
struct from_anything {
  template <class T>
  from_anything(T&&) {}
  from_anything(const from_anything&) = default;
};
enum class colour { red };

template <class T>
struct alone {
  T it;
};
template <class T>
struct between {
  int first;
  T it;
  int last;
};

/// A field of each of these types counts as one, alone and between others.
template <class... T>
void each_counts_as_one() {
  (
      [] {
        INFO(coppice::type_name<T>());
        CHECK(field_count<alone<T>> == 1);
        CHECK(field_count<between<T>> == 3);
        CHECK(field_names<between<T>>() == "first,it,last,");
      }(),
      ...);
}

struct thirty_two {
  int a0, a1, a2, a3, a4, a5, a6, a7, b0, b1, b2, b3, b4, b5, b6, b7;
  std::string c0, c1, c2, c3, c4, c5, c6, c7;
  double d0, d1, d2, d3, d4, d5, d6, d7;
};
struct thirty_three {
  char a0, a1, a2, a3, a4, a5, a6, a7, b0, b1, b2, b3, b4, b5, b6, b7, c0, c1, c2, c3, c4, c5, c6, c7, d0, d1, d2, d3,
      d4, d5, d6, d7, e0;
};
struct with_defaults {
  int size = 3;
  std::set<int> idle{1, 2, 3};
  std::string name = "ch3";
};
struct with_arrays {
  int n;
  char text[16];
  int grid[2][2];
  std::string s;
  long one[1];
};
struct with_bits {
  unsigned low : 3;
  unsigned high : 5;
};
struct with_references {
  int& a;
  const std::string& b;
};
int somewhere = 0;
struct with_default_reference {
  int a;
  int& b = somewhere;
};
struct base {
  int x;
};
struct derived : base {
  int y;
};
struct derived_from_empty : empty {
  int y;
};
class tied {
 public:
  tied(int a, std::string b) : a_(a), b_(std::move(b)) {}
  auto fields() const { return std::tie(a_, b_); }

 private:
  int a_;
  std::string b_;
};
struct tied_in_part {
  int shown, hidden;
  auto fields() const { return std::tie(shown); }
};
union either {
  int a;
  float b;
};

}  // namespace

TEST_CASE("fields: numbers, text and enumerations count") {
  each_counts_as_one<int, bool, double, colour, std::string, std::string_view>();
}

TEST_CASE("fields: structs inside count as one") {
  each_counts_as_one<empty, pair_of_ints, alone<alone<int>>, with_defaults>();
}

TEST_CASE("fields: standard containers count as one") {
  each_counts_as_one<std::vector<int>, std::vector<std::any>, std::set<int>, std::map<int, std::string>,
                     std::deque<std::string>, std::array<int, 3>, std::array<pair_of_ints, 3>,
                     std::array<std::string, 2>, std::span<const int>>();
}

TEST_CASE("fields: vocabulary types that convert from anything count as one") {
  each_counts_as_one<std::any, std::function<void()>, std::optional<int>, std::optional<std::any>,
                     std::optional<std::optional<int>>, std::variant<int>, std::variant<std::any, int>,
                     std::variant<std::monostate, int>, std::tuple<>, std::tuple<int>, std::tuple<std::any>,
                     std::pair<int, int>, std::expected<int, std::string>, coppice::secret<std::string>,
                     from_anything>();
}

TEST_CASE("fields: pointers, owners and times count as one") {
  each_counts_as_one<int*, void (*)(), std::unique_ptr<int>, std::shared_ptr<int>, std::exception_ptr,
                     std::chrono::nanoseconds, std::chrono::system_clock::time_point>();
}

TEST_CASE("fields: types that resist count as one") {
  each_counts_as_one<only_moved, never_moved, no_default, const int, const std::string>();
}

TEST_CASE("fields: thirty-two of them are walked, more are not") {
  CHECK(field_count<thirty_two> == 32);
  CHECK(field_name<thirty_two>(0) == "a0");
  CHECK(field_name<thirty_two>(16) == "c0");
  CHECK(field_name<thirty_two>(31) == "d7");
  CHECK(field_name<thirty_two>(32).empty());
  static_assert(!reflectable<thirty_three>);
}

TEST_CASE("fields: they are visited in order, by reference") {
  with_defaults value;
  visit_fields(value, [](int& size, std::set<int>& idle, std::string& name) {
    size = 7;
    idle.clear();
    name += "!";
  });
  CHECK(value.size == 7);
  CHECK(value.idle.empty());
  CHECK(value.name == "ch3!");
  const with_defaults constant;
  CHECK(visit_fields(constant, [](const int& size, const std::set<int>& idle, const std::string&) {
          return size + *idle.begin();
        }) == 4);
  CHECK(visit_fields(empty(), [](auto&... none) { return sizeof...(none); }) == 0);
}

TEST_CASE("fields: default member initialisers and local types make no difference") {
  struct local {
    int here = 1;
    empty there{};
  };
  CHECK(field_names<with_defaults>() == "size,idle,name,");
  CHECK(field_names<local>() == "here,there,");
  CHECK(field_names<empty>().empty());
}

TEST_CASE("fields: C arrays count as one") {
  CHECK(field_count<with_arrays> == 5);
  CHECK(field_names<with_arrays>() == "n,text,grid,s,one,");
  with_arrays value{.n = 1, .text = "abc", .grid = {{1, 2}, {3, 4}}, .s = "s", .one = {5}};
  visit_fields(value, [](int&, char(&text)[16], int(&grid)[2][2], std::string&, long(&)[1]) {
    CHECK(std::string_view(text) == "abc");
    CHECK(grid[1][0] == 3);
  });
}

TEST_CASE("fields: bit-fields and references are walked but have no names") {
  CHECK(field_count<with_bits> == 2);
  CHECK(field_names<with_bits>().empty());
  CHECK(visit_fields(with_bits{5, 9}, [](const auto&... field) { return (static_cast<int>(field) + ...); }) == 14);
  CHECK(field_count<with_references> == 2);
  CHECK(field_names<with_references>().empty());
  CHECK(field_count<with_default_reference> == 2);
}

TEST_CASE("fields: what has bases, constructors or is no struct is not walked") {
  static_assert(!reflectable<derived>);
  static_assert(!reflectable<derived_from_empty>);
  static_assert(!reflectable<no_default>);
  static_assert(!reflectable<either>);
  static_assert(!reflectable<int>);
  static_assert(!reflectable<std::string>);
  static_assert(reflectable<const pair_of_ints&>);
}

TEST_CASE("fields: a member fields() wins") {
  const tied value(3, "x");
  CHECK(field_count<tied> == 2);
  CHECK(field_names<tied>().empty());
  CHECK(visit_fields(value, [](const int& a, const std::string& b) { return a + static_cast<int>(b.size()); }) == 4);
  CHECK(field_count<tied_in_part> == 1);
}

// --- Layout ----------------------------------------------------------------------------------------------------------

namespace v1 {
struct lease {
  int channel;
  double until;
};
struct pool {
  int size;
  std::map<int, lease> taken;
};
struct tree {
  std::vector<tree> children;
  int value;
};
}  // namespace v1
namespace v2 {
struct lease {
  int channel;
  double until;
};
struct another_name {
  int size;
  std::map<int, lease> taken;
};
struct renamed_field {
  int length;
  std::map<int, lease> taken;
};
struct other_order {
  std::map<int, lease> taken;
  int size;
};
struct other_type {
  unsigned size;
  std::map<int, lease> taken;
};
struct one_more {
  int size;
  std::map<int, lease> taken;
  int extra;
};
struct wider_lease {
  int channel;
  double until;
  int renewed;
};
struct changed_inside {
  int size;
  std::map<int, wider_lease> taken;
};
struct tree {
  std::vector<tree> children;
  int value;
};
struct wide_tree {
  std::vector<wide_tree> children;
  long value;
};
}  // namespace v2

namespace {
struct alignas(16) padded {
  int a, b;
};
class opaque {
 public:
  opaque() {}
  int get() const { return a_; }

 private:
  int a_ = 0;
};
class opaque_2 {
 public:
  static constexpr int layout_version = 2;
  opaque_2() {}
  int get() const { return a_; }

 private:
  int a_ = 0;
};
class opaque_3 {
 public:
  static constexpr int layout_version = 3;
  opaque_3() {}
  int get() const { return a_; }

 private:
  int a_ = 0;
};
struct meaning_1 {
  static constexpr int layout_version = 1;
  int a;
};
struct meaning_2 {
  static constexpr int layout_version = 2;
  int a;
};
}  // namespace

TEST_CASE("layout: a mirror struct with the same fields has the same hash, whatever the names of the types") {
  static_assert(layout_hash<v1::pool>() == layout_hash<v2::another_name>());
  static_assert(layout_hash<v1::lease>() == layout_hash<v2::lease>());
  static_assert(layout_hash<const v1::lease>() == layout_hash<v1::lease>());
}

TEST_CASE("layout: another name, order, type, number or nested field of a field changes the hash") {
  static_assert(layout_hash<v1::pool>() != layout_hash<v2::renamed_field>());
  static_assert(layout_hash<v1::pool>() != layout_hash<v2::other_order>());
  static_assert(layout_hash<v1::pool>() != layout_hash<v2::other_type>());
  static_assert(layout_hash<v1::pool>() != layout_hash<v2::one_more>());
  static_assert(layout_hash<v1::pool>() != layout_hash<v2::changed_inside>());
  static_assert(layout_hash<std::vector<v1::lease>>() != layout_hash<std::vector<v2::wider_lease>>());
  static_assert(layout_hash<std::array<v1::lease, 2>>() != layout_hash<std::array<v1::lease, 3>>());
}

TEST_CASE("layout: alignment and padding change the hash") {
  static_assert(layout_hash<pair_of_ints>() != layout_hash<padded>());
}

TEST_CASE("layout: a type that contains itself has a hash, and it depends on the rest") {
  static_assert(layout_hash<v1::tree>() == layout_hash<v2::tree>());
  static_assert(layout_hash<v1::tree>() != layout_hash<v2::wide_tree>());
}

TEST_CASE("layout: what cannot be walked counts by its name and its layout_version") {
  static_assert(layout_hash<opaque>() != layout_hash<opaque_2>());
  static_assert(layout_hash<opaque_2>() != layout_hash<opaque_3>());
  static_assert(layout_hash<meaning_1>() != layout_hash<meaning_2>());
  static_assert(layout_hash<std::string>() != layout_hash<std::vector<char>>());
  static_assert(layout_hash<tied>() != 0);
}

TEST_CASE("layout: the hash does not depend on the compiler") {
  CHECK(layout_hash<v1::pool>() == 0x0324781c32b227aeU);
  CHECK(layout_hash<with_arrays>() == 0xfd387f3d729dafd9U);
}

namespace {
struct cannot_be_copied {
  explicit cannot_be_copied(int v) : value(v) {}
  cannot_be_copied(cannot_be_copied&&) = default;
  int value;
};
struct holder_of_movables {
  int total = 0;
  std::vector<cannot_be_copied> kept{};
};
}  // namespace

TEST_CASE("fields: a container of things that cannot be copied is one field") {
  CHECK(field_count<holder_of_movables> == 2);
}
