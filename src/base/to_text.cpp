// SPDX-License-Identifier: Apache-2.0
//
// to_text, the compiled core: the bounded sink and the spelling of numbers, strings, durations and enumerators.
#include <coppice/base/to_text.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>

namespace coppice {

namespace {

constexpr std::string_view ellipsis = "…";

constexpr bool is_utf8_continuation(char c) noexcept { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

/// At most `bytes` bytes of `text`, cut between two characters.
std::string_view cut(std::string_view text, std::size_t bytes) noexcept {
  if (text.size() <= bytes) return text;
  while (bytes > 0 && is_utf8_continuation(text[bytes])) --bytes;
  return text.substr(0, bytes);
}

struct number_text {
  char data[64];
  std::size_t size = 0;

  explicit number_text(auto value, auto... how) noexcept {
    auto [end, failure] = std::to_chars(data, data + sizeof data, value, how...);
    size = failure == std::errc() ? static_cast<std::size_t>(end - data) : 0;
  }
  std::string_view view() const noexcept { return {data, size}; }
};

/// How a character stands between quotes; empty if as it is.
struct escape {
  char data[4];
  std::size_t size;
  std::string_view view() const noexcept { return {data, size}; }
};

escape escape_of(char c, char quote) noexcept {
  if (c == quote || c == '\\') return {{'\\', c}, 2};
  if (c == '\n') return {{'\\', 'n'}, 2};
  if (c == '\r') return {{'\\', 'r'}, 2};
  if (c == '\t') return {{'\\', 't'}, 2};
  const auto code = static_cast<unsigned char>(c);
  if (code >= 0x20 && code != 0x7F) return {{}, 0};
  constexpr char digits[] = "0123456789abcdef";
  return {{'\\', 'x', digits[code >> 4], digits[code & 15]}, 4};
}

struct time_unit {
  std::string_view name;
  std::uint64_t nanoseconds;
  std::uint64_t up_to;  // the next unit begins here
  int decimals;
};

constexpr std::uint64_t second = 1'000'000'000;
constexpr time_unit time_units[] = {
    {"ns", 1, 1'000, 0},
    {"µs", 1'000, 1'000'000, 3},
    {"ms", 1'000'000, second, 3},
    {"s", second, 120 * second, 3},
    {"min", 60 * second, 7'200 * second, 1},
    {"h", 3'600 * second, 172'800 * second, 1},
    {"d", 86'400 * second, UINT64_MAX, 1},
};

/// `text` without "000" or "500"'s zeros at the end of its decimals.
std::string_view without_trailing_zeros(std::string_view text) noexcept {
  if (text.find('.') == text.npos) return text;
  while (text.ends_with('0')) text.remove_suffix(1);
  if (text.ends_with('.')) text.remove_suffix(1);
  return text;
}

/// Element number `index` of the list that follows "Values = " in a compiler's signature.
std::string_view element_of(std::string_view signature, std::int64_t index) noexcept {
  constexpr std::string_view mark = "Values = ";
  const std::size_t found = signature.find(mark);
  if (found == signature.npos || index < 0) return {};
  std::string_view list = signature.substr(found + mark.size());
  int depth = 0;
  std::size_t from = 1;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const char c = list[i];
    if (c == '(' || c == '<' || c == '{') ++depth;
    if (c == ')' || c == '>' || c == '}') --depth;
    const bool ends = depth == 0 || (depth == 1 && c == ',');
    if (!ends) continue;
    if (index-- == 0) return list.substr(from, i - from);
    if (depth == 0) break;
    from = i + 2;
  }
  return {};
}

std::string_view last_word(std::string_view text) noexcept {
  std::size_t from = text.size();
  while (from > 0 && detail::is_word(text[from - 1])) --from;
  return text.substr(from);
}

}  // namespace

void text_sink::append(std::string_view text) noexcept {
  try {
    text_.append(text);
  } catch (...) {  // no memory: what stands there must do
    full_ = true;
  }
}

void text_sink::put(std::string_view text) noexcept {
  if (full_) return;
  const std::size_t left = limits_.max_bytes - std::min(limits_.max_bytes, text_.size());
  append(cut(text, left));
  if (text.size() <= left) return;
  append(ellipsis);
  full_ = true;
}

void text_sink::put_string(std::string_view text) noexcept {
  if (depth_ == 0) return put(text);
  const std::string_view shown = cut(text, limits_.max_string_bytes);
  put("\"");
  std::size_t plain = 0;  // where the part begins that needs no escape
  for (std::size_t i = 0; i < shown.size() && !full_; ++i) {
    const escape written = escape_of(shown[i], '"');
    if (written.size == 0) continue;
    put(shown.substr(plain, i - plain));
    put(written.view());
    plain = i + 1;
  }
  put(shown.substr(plain));
  put("\"");
  if (shown.size() < text.size()) put(ellipsis);  // outside: it is not part of the string
}

void text_sink::put_character(char c) noexcept {
  if (depth_ == 0) return put({&c, 1});
  const escape written = escape_of(c, '\'');
  put("'");
  put(written.size != 0 ? written.view() : std::string_view(&c, 1));
  put("'");
}

void text_sink::put_integer(std::int64_t value) noexcept { put(number_text(value).view()); }
void text_sink::put_integer(std::uint64_t value) noexcept { put(number_text(value).view()); }
void text_sink::put_float(double value) noexcept { put(number_text(value).view()); }
void text_sink::put_pointer(const void* pointer) noexcept { put(pointer != nullptr ? "<ptr>" : "null"); }

void text_sink::put_duration(std::int64_t nanoseconds) noexcept {
  if (nanoseconds == INT64_MAX) return put("infinity");
  const bool negative = nanoseconds < 0;
  const std::uint64_t size =
      negative ? 0 - static_cast<std::uint64_t>(nanoseconds) : static_cast<std::uint64_t>(nanoseconds);
  const time_unit* unit = time_units;
  // Not by size alone: 999,999,600 ns would read "1000 ms".
  auto rounds_up = [&] {
    const double scale = std::pow(10.0, unit->decimals) / static_cast<double>(unit->nanoseconds);
    return std::round(static_cast<double>(size) * scale) >= static_cast<double>(unit->up_to) * scale;
  };
  while (unit + 1 < std::end(time_units) && rounds_up()) ++unit;
  if (negative) put("-");
  const double value = static_cast<double>(size) / static_cast<double>(unit->nanoseconds);
  put(without_trailing_zeros(number_text(value, std::chars_format::fixed, unit->decimals).view()));
  put(" ");
  put(unit->name);
}

void text_sink::put_enumerator(std::string_view signature, std::string_view type, std::int64_t value) noexcept {
  const std::string_view name = last_word(element_of(signature, value));
  if (!name.empty() && !detail::is_digit(name.front())) return put(name);
  put(type);
  put("(");
  put_integer(value);
  put(")");
}

bool text_sink::open(std::string_view name) noexcept {
  put(name);
  if (depth_ >= limits_.max_depth || depth_ >= max_nesting) {
    put("{…}");
    return false;
  }
  put("{");
  items_[depth_++] = 0;
  return true;
}

bool text_sink::item(std::string_view name) noexcept {
  if (full_) return false;
  if (depth_ > 0) {
    std::size_t& before = items_[depth_ - 1];
    if (before > limits_.max_items) return false;  // the mark stands there already
    if (before > 0) put(", ");
    if (before++ == limits_.max_items) {
      put(ellipsis);
      return false;
    }
  }
  if (!name.empty()) {
    put(name);
    put(": ");
  }
  return !full_;
}

void text_sink::close() noexcept {
  --depth_;
  put("}");
}

void text_sink::guarded(const void* object, void (*print)(text_sink&, const void*)) noexcept {
  const int depth = depth_;
  try {
    print(*this, object);
  } catch (...) {  // whoever is killed meanwhile hears of it again at the next blocking call
    put("<printing failed>");
    while (depth_ > depth) close();
  }
}

std::string duration_text(std::int64_t nanoseconds) noexcept {
  text_sink out;
  out.put_duration(nanoseconds);
  return out.take();
}

}  // namespace coppice
