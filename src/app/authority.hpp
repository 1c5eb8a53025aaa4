// SPDX-License-Identifier: Apache-2.0
//
// authority: a host and its port, as the header Host and URLs name them.
#pragma once

#include <algorithm>
#include <optional>
#include <string_view>

#include "app/http_text.hpp"

namespace coppice::internal {

struct authority {
  std::string_view host;
  std::string_view port;  // empty: the usual one

  bool is(const authority& other, std::string_view usual_port) const noexcept {
    return equal_ignoring_case(host, other.host) && (port.empty() ? usual_port : port) == (other.port.empty() ? usual_port : other.port);
  }
};

/// Whether `c` may stand in one: what would make it something else to another reader may not.
constexpr bool may_name_host(char c) noexcept {
  return static_cast<unsigned char>(c) > ' ' && c != '/' && c != '?' && c != '#' && c != '@' && c != '\\' && c != ',' && c != '\x7f';
}

/// Nothing where `text` is neither `host` nor `host:port`, whose port may be left out.
inline std::optional<authority> parse_authority(std::string_view text) noexcept {
  const std::size_t bracket = text.starts_with('[') ? text.find(']') : 0;  // of an IPv6 address
  if (bracket == std::string_view::npos || !std::ranges::all_of(text, &may_name_host)) return std::nullopt;
  const std::size_t colon = text.find(':', bracket);
  const authority a{text.substr(0, colon), colon == std::string_view::npos ? "" : text.substr(colon + 1)};
  const bool is_number = a.port.find_first_not_of("0123456789") == std::string_view::npos;  // none is one, too: `host:`
  return a.host.empty() || !is_number ? std::nullopt : std::optional(a);
}

}  // namespace coppice::internal
