// SPDX-License-Identifier: Apache-2.0
#include "app/byte_range.hpp"

#include "app/http_text.hpp"

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

byte_range last_bytes(std::uint64_t wanted, std::uint64_t size) noexcept {
  if (wanted == 0 || size == 0) return {byte_range::unsatisfiable};
  return {byte_range::part, wanted < size ? size - wanted : 0, size - 1};
}

}  // namespace

byte_range parse_byte_range(std::string_view text, std::uint64_t size) noexcept {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos || !equal_ignoring_case(trimmed(text.substr(0, equals)), "bytes")) return {};
  const std::string_view spec = trimmed(text.substr(equals + 1));
  const std::size_t dash = spec.find('-');
  if (dash == std::string_view::npos) return {};
  const std::string_view from = trimmed(spec.substr(0, dash));
  const std::string_view to = trimmed(spec.substr(dash + 1));
  if (from.empty()) {
    const auto wanted = position(to);
    return wanted ? last_bytes(*wanted, size) : byte_range{};
  }
  const auto first = position(from);
  if (!first) return {};
  std::uint64_t last = size > 0 ? size - 1 : 0;
  if (!to.empty()) {
    const auto end = position(to);
    if (!end || *end < *first) return {};
    if (*end < last) last = *end;
  }
  if (*first >= size) return {byte_range::unsatisfiable};
  return {byte_range::part, *first, last};
}

}  // namespace coppice::internal
