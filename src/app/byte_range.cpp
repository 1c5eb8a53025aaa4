// SPDX-License-Identifier: Apache-2.0
#include "app/byte_range.hpp"

#include "app/http_text.hpp"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

namespace coppice::internal {

namespace {

std::string_view trimmed(std::string_view s) noexcept {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

/// A number too large for its type is the largest one: both lie behind the end of every file.
std::optional<std::uint64_t> position(std::string_view digits) noexcept {
  if (digits.empty() || digits.find_first_not_of("0123456789") != std::string_view::npos) return std::nullopt;
  std::uint64_t n = 0;
  if (std::from_chars(digits.data(), digits.data() + digits.size(), n).ec != std::errc{})
    return std::numeric_limits<std::uint64_t>::max();
  return n;
}

/// One of the ranges of a request. False: it is none.
bool parse_one(std::string_view spec, std::uint64_t size, std::optional<byte_range>& out) noexcept {
  const std::size_t dash = spec.find('-');
  if (dash == std::string_view::npos) return false;
  const std::string_view from = trimmed(spec.substr(0, dash));
  const std::string_view to = trimmed(spec.substr(dash + 1));
  const auto first = position(from);
  const auto last = position(to);
  if ((!first && !from.empty()) || (!last && !to.empty()) || (!first && !last) || (first && last && *last < *first)) return false;
  if (!first) {  // the last bytes of the file
    if (*last > 0 && size > 0) out = {*last < size ? size - *last : 0, size - 1};
  } else if (*first < size) {
    out = {*first, last && *last < size ? *last : size - 1};
  }
  return true;
}

bool are_apart(const byte_range& a, const byte_range& b, std::uint64_t gap) noexcept {
  return a.first > b.last ? a.first - b.last - 1 > gap : b.first > a.last && b.first - a.last - 1 > gap;
}

/// Adds `r` to `all`, as one with those that it meets or nearly so, where the first of them stood.
void add(std::vector<byte_range>& all, byte_range r, std::uint64_t gap) {
  auto place = static_cast<std::ptrdiff_t>(all.size());
  for (;;) {
    const auto near = std::ranges::find_if(all, [&](const byte_range& other) { return !are_apart(r, other, gap); });
    if (near == all.end()) break;
    r = {std::min(r.first, near->first), std::max(r.last, near->last)};
    place = std::min(place, near - all.begin());
    all.erase(near);
  }
  all.insert(all.begin() + place, r);
}

bool saves_something(const std::vector<byte_range>& parts, std::uint64_t size, std::uint64_t part_cost) noexcept {
  std::uint64_t left_out = size;
  for (const byte_range& r : parts) left_out -= r.size();
  return left_out > parts.size() * part_cost;
}

}  // namespace

byte_ranges parse_byte_ranges(std::string_view text, std::uint64_t size, std::uint64_t part_cost) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos || !equal_ignoring_case(trimmed(text.substr(0, equals)), "bytes")) return {};
  byte_ranges wanted{.kind = byte_ranges::parts};
  std::size_t count = 0;
  for (std::size_t at = equals; at != std::string_view::npos;) {
    const std::size_t comma = text.find(',', at + 1);
    const std::string_view spec = trimmed(text.substr(at + 1, comma == std::string_view::npos ? comma : comma - at - 1));
    at = comma;
    if (spec.empty()) continue;                    // as in every list of HTTP
    std::optional<byte_range> one;
    if (++count > most_ranges || !parse_one(spec, size, one)) return {};
    if (one) add(wanted.all, *one, part_cost);
  }
  if (count == 0) return {};
  if (wanted.all.empty()) return {.kind = byte_ranges::unsatisfiable};
  if (wanted.all.size() > 1 && !saves_something(wanted.all, size, part_cost)) return {};
  return wanted;
}

}  // namespace coppice::internal
