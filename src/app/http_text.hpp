// SPDX-License-Identifier: Apache-2.0
//
// http_text: the few things HTTP does with characters.
#pragma once

#include <cstddef>
#include <string_view>

namespace coppice::internal {

constexpr char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

constexpr bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (lower(a[i]) != lower(b[i])) return false;
  return true;
}

}  // namespace coppice::internal
