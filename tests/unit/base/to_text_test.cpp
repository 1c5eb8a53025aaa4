// SPDX-License-Identifier: Apache-2.0
#include <coppice/base/to_text.hpp>

#include <doctest/doctest.h>

#include <any>
#include <array>
#include <chrono>
#include <deque>
#include <expected>
#include <filesystem>
#include <functional>
#include <limits>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

using coppice::text_limits;
using coppice::text_of;
using coppice::text_sink;
using namespace std::chrono_literals;

namespace {

struct ch3 {
  std::set<int> idle{1, 2};
};
struct want {};
struct give_back {
  int channel;
  std::string note{};
};
struct nested {
  give_back inner{7, "say \"hi\"\n"};
  std::optional<int> some = 3, none{};
  char letter = 'x';
  bool yes = true;
  double half = 0.5;
  const char* words = "abc";
};

enum class colour { red, green, blue = 40, far = 1000, negative = -1 };
enum plain_enum { alpha, beta };
enum fixed_enum : std::uint8_t { gamma_ray = 3 };
enum class yes_no : bool { no, yes };
namespace deep {
enum class state { open, closed };
}

struct pid {
  unsigned number;
};
std::string to_text(const pid& p) { return "<0." + std::to_string(p.number) + ">"; }

enum class level { low };
std::string_view to_text(level) { return "LOW"; }

struct prints_itself {
  int n;
};
void print(text_sink& out, const prints_itself& p) {
  out.put("#");
  out.put_integer(static_cast<std::int64_t>(p.n));
}

class tied {
 public:
  tied(int a, std::string b) : a_(a), b_(std::move(b)) {}
  auto fields() const { return std::tie(a_, b_); }

 private:
  int a_;
  std::string b_;
};

struct explosive {
  int fuse = 0;
};
std::string to_text(const explosive&) { throw 7; }
struct holds_explosive {
  int before = 1;
  explosive bomb{};
  int after = 2;
};
/// A range whose iteration fails half way.
struct broken_range {
  struct iterator {
    int at;
    int operator*() const { return at; }
    iterator& operator++() {
      if (++at == 2) throw std::runtime_error("half way");
      return *this;
    }
    bool operator!=(const iterator& other) const { return at != other.at; }
    bool operator==(const iterator& other) const { return at == other.at; }
  };
  iterator begin() const { return {0}; }
  iterator end() const { return {5}; }
};

struct tree {
  int value = 0;
  std::vector<tree> children{};
};
class opaque {
 public:
  opaque() {}
};
struct holds_opaque {
  opaque it{};
  std::any any{};
};
union either {
  int a;
  float b;
};
struct base {
  int x;
};
struct derived : base {
  int y;
};

}  // namespace

TEST_CASE("to_text: numbers, truth and characters") {
  CHECK(text_of(42) == "42");
  CHECK(text_of(std::numeric_limits<std::int64_t>::min()) == "-9223372036854775808");
  CHECK(text_of(std::numeric_limits<std::uint64_t>::max()) == "18446744073709551615");
  CHECK(text_of(std::uint8_t{200}) == "200");
  CHECK(text_of(std::int8_t{-3}) == "-3");
  CHECK(text_of(true) == "true");
  CHECK(text_of('x') == "x");
  CHECK(text_of(0.1) == "0.1");
  CHECK(text_of(0.1f) == "0.10000000149011612");
  CHECK(text_of(1e300) == "1e+300");
  CHECK(text_of(std::numeric_limits<double>::infinity()) == "inf");
  CHECK(text_of(nullptr) == "null");
}

TEST_CASE("to_text: strings stand as they are alone and quoted inside") {
  CHECK(text_of(std::string("a\"b\n")) == "a\"b\n");
  CHECK(text_of(std::string_view("abc")) == "abc");
  CHECK(text_of("literal") == "literal");
  const char* none = nullptr;
  CHECK(text_of(none) == "null");
  CHECK(text_of(std::vector<std::string>{"a\"b", "c\\d", "e\n\t\r", std::string("f\x01\x7f\0", 4), "grün"}) ==
        R"({"a\"b", "c\\d", "e\n\t\r", "f\x01\x7f\x00", "grün"})");
  CHECK(text_of(std::vector<char>{'a', '\'', '\n'}) == R"({'a', '\'', '\n'})");
}

TEST_CASE("to_text: structs show the names of their fields") {
  CHECK(text_of(ch3()) == "ch3{idle: {1, 2}}");
  CHECK(text_of(want()) == "want{}");
  CHECK(text_of(give_back{2}) == "give_back{channel: 2, note: \"\"}");
  CHECK(
      text_of(nested()) ==
      R"(nested{inner: give_back{channel: 7, note: "say \"hi\"\n"}, some: 3, none: none, letter: 'x', yes: true, half: 0.5, words: "abc"})");
  CHECK(text_of(tied(3, "x")) == "tied{3, \"x\"}");
}

TEST_CASE("to_text: containers, maps and tuples") {
  CHECK(text_of(std::vector<int>{}) == "{}");
  CHECK(text_of(std::list<int>{1, 2, 3}) == "{1, 2, 3}");
  CHECK(text_of(std::array<int, 2>{1, 2}) == "{1, 2}");
  CHECK(text_of(std::vector<bool>{true, false}) == "{true, false}");
  CHECK(text_of(std::map<int, std::string>{{1, "a"}, {2, "b"}}) == "{1: \"a\", 2: \"b\"}");
  CHECK(text_of(std::unordered_map<std::string, int>{{"k", 1}}) == "{\"k\": 1}");
  CHECK(text_of(std::pair(1, 2.5)) == "{1, 2.5}");
  CHECK(text_of(std::tuple(1, 'a', std::string("b"))) == "{1, 'a', \"b\"}");
  CHECK(text_of(std::tuple<>()) == "{}");
  const int array[] = {1, 2, 3};
  CHECK(text_of(array) == "{1, 2, 3}");
}

TEST_CASE("to_text: optional, variant, expected and pointers") {
  CHECK(text_of(std::optional<int>()) == "none");
  CHECK(text_of(std::optional(3)) == "3");
  CHECK(text_of(std::variant<int, std::string>("x")) == "x");
  CHECK(text_of(std::variant<std::monostate, int>()) == "monostate{}");
  CHECK(text_of(std::expected<int, std::string>(3)) == "3");
  CHECK(text_of(std::expected<int, std::string>(std::unexpected("why"))) == "why");
  int n = 3;
  CHECK(text_of(&n) == "<ptr>");
  CHECK(text_of(static_cast<int*>(nullptr)) == "null");
  CHECK(text_of(std::make_unique<int>(3)) == "<ptr>");
  CHECK(text_of(std::shared_ptr<opaque>()) == "null");
}

TEST_CASE("to_text: durations carry their unit") {
  CHECK(text_of(0ns) == "0 ns");
  CHECK(text_of(999ns) == "999 ns");
  CHECK(text_of(1us) == "1 µs");
  CHECK(text_of(1200us) == "1.2 ms");
  CHECK(text_of(1234567ns) == "1.235 ms");
  CHECK(text_of(999'999'600ns) == "1 s");
  CHECK(text_of(4900ms) == "4.9 s");
  CHECK(text_of(119s) == "119 s");
  CHECK(text_of(120s) == "2 min");
  CHECK(text_of(4min + 30s) == "4.5 min");
  CHECK(text_of(2h) == "2 h");
  CHECK(text_of(std::chrono::days(3)) == "3 d");
  CHECK(text_of(-5s) == "-5 s");
  CHECK(text_of(1.5s) == "1.5 s");
  CHECK(text_of(std::chrono::nanoseconds::max()) == "infinity");
  CHECK(text_of(std::chrono::nanoseconds::min()) == "-106752 d");
  CHECK(text_of(std::chrono::hours::max()) == "infinity");
  CHECK(text_of(std::vector{1s, 2s}) == "{1 s, 2 s}");
  CHECK(coppice::duration_text(5'000'000'000) == "5 s");
}

TEST_CASE("to_text: enumerators show their names, other values their numbers") {
  CHECK(text_of(colour::red) == "red");
  CHECK(text_of(colour::green) == "green");
  CHECK(text_of(colour::blue) == "blue");
  CHECK(text_of(colour(5)) == "colour(5)");
  CHECK(text_of(colour::far) == "colour(1000)");
  CHECK(text_of(colour::negative) == "colour(-1)");
  CHECK(text_of(beta) == "beta");
  CHECK(text_of(gamma_ray) == "gamma_ray");
  CHECK(text_of(fixed_enum(200)) == "fixed_enum(200)");
  CHECK(text_of(yes_no::yes) == "yes");
  CHECK(text_of(deep::state::closed) == "closed");
  CHECK(text_of(std::byte{7}) == "byte(7)");
}

TEST_CASE("to_text: a to_text or print beside the type wins, also inside others") {
  CHECK(text_of(pid{41}) == "<0.41>");
  CHECK(text_of(std::map<int, pid>{{1, pid{57}}, {2, pid{60}}}) == "{1: <0.57>, 2: <0.60>}");
  CHECK(text_of(level::low) == "LOW");
  CHECK(text_of(prints_itself{3}) == "#3");
  CHECK(text_of(std::vector{prints_itself{3}}) == "{#3}");
}

TEST_CASE("to_text: what cannot be printed shows its type") {
  CHECK(text_of(opaque()) == "<{anonymous}::opaque>");
  CHECK(text_of(holds_opaque()) == "holds_opaque{it: <{anonymous}::opaque>, any: <std::any>}");
  CHECK(text_of(std::function<void()>()) == "<std::function<void()>>");
  CHECK(text_of(either{.a = 1}) == "<{anonymous}::either>");
  CHECK(text_of(derived{{1}, 2}) == "<{anonymous}::derived>");
  CHECK(text_of(std::filesystem::path("/etc")) == "<std::filesystem::path>");
}

TEST_CASE("to_text: exceptions show type and text") {
  CHECK(text_of(std::out_of_range("no channel 7")) == "out_of_range: no channel 7");
}

TEST_CASE("to_text: what throws while it is printed does not spoil the rest") {
  CHECK(text_of(explosive()) == "<printing failed>");
  CHECK(text_of(holds_explosive()) == "holds_explosive{before: 1, bomb: <printing failed>, after: 2}");
  CHECK(text_of(broken_range()) == "{0, 1<printing failed>}");
  CHECK(text_of(std::vector{broken_range(), broken_range()}) == "{{0, 1<printing failed>}, {0, 1<printing failed>}}");
}

TEST_CASE("to_text: the whole text is bounded, and cut between characters") {
  CHECK(text_of(std::string(100, 'x'), {.max_bytes = 10}) == "xxxxxxxxxx…");
  CHECK(text_of(std::string("ääää"), {.max_bytes = 5}) == "ää…");
  CHECK(text_of(std::string("ääää"), {.max_bytes = 8}) == "ääää");
  CHECK(text_of(std::vector<int>{1, 2, 3}, {.max_bytes = 5}) == "{1, 2…");
  CHECK(text_of(std::string("x"), {.max_bytes = 0}) == "…");
  CHECK(text_of(std::string(), {.max_bytes = 0}).empty());
}

TEST_CASE("to_text: strings, items and depth inside are bounded") {
  CHECK(text_of(std::vector<std::string>{"äbcdef", "xy"}, {.max_string_bytes = 4}) == "{\"äbc\"…, \"xy\"}");
  CHECK(text_of(std::vector<int>{1, 2, 3, 4}, {.max_items = 2}) == "{1, 2, …}");
  CHECK(text_of(std::vector<std::vector<int>>{{1, 2}, {3, 4}}, {.max_items = 1}) == "{{1, …}, …}");
  CHECK(text_of(std::vector<int>{1, 2}, {.max_items = 2}) == "{1, 2}");
  CHECK(text_of(std::tuple(1, 2, 3, 4), {.max_items = 1}) == "{1, …}");
  tree deep;
  for (int i = 1; i < 6; ++i) deep = tree{i, {std::move(deep)}};
  CHECK(text_of(deep, {.max_depth = 4}) == "tree{value: 5, children: {tree{value: 4, children: {tree{…}}}}}");
  CHECK(text_of(deep, {.max_depth = 0}) == "tree{…}");
  tree bottomless;
  for (int i = 0; i < 1000; ++i) {  // moved in two steps: the old tree lies in the new one's vector
    tree outer;
    outer.children.push_back(std::move(bottomless));
    bottomless = std::move(outer);
  }
  CHECK(text_of(bottomless, {.max_depth = 1'000'000}).size() < 1000);
}

TEST_CASE("to_text: printing a large container costs no more than its limits") {
  std::vector<std::string> large(1'000'000);
  const std::string text = text_of(large, {.max_bytes = 100, .max_items = 1'000'000});
  CHECK(text.size() < 110);
  CHECK(text.ends_with("…"));
}

TEST_CASE("to_text: a sink takes pieces, values and what its user adds") {
  text_sink out;
  out.put("state ");
  print(out, ch3());
  out.put(", queue ");
  print(out, std::vector<pid>{{1}, {2}});
  CHECK(out.view() == "state ch3{idle: {1, 2}}, queue {<0.1>, <0.2>}");
  CHECK_FALSE(out.full());
  CHECK(out.take() == "state ch3{idle: {1, 2}}, queue {<0.1>, <0.2>}");
}
