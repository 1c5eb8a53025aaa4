// SPDX-License-Identifier: Apache-2.0
#include <coppice/app/cross_origin.hpp>

#include "app/allowed_origins.hpp"
#include "app/authority.hpp"
#include "app/http_text.hpp"

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace coppice {

namespace {

using internal::authority;
using internal::equal_ignoring_case;
using internal::parse_authority;

struct origin {
  bool secure;
  authority at;

  std::string_view usual_port() const noexcept { return secure ? "443" : "80"; }
  friend bool operator==(const origin& a, const origin& b) noexcept { return a.secure == b.secure && a.at.is(b.at, a.usual_port()); }
};

std::optional<origin> parse_origin(std::string_view text) noexcept {
  const std::size_t end = text.find("://");
  if (end == std::string_view::npos) return std::nullopt;
  const bool secure = equal_ignoring_case(text.substr(0, end), "https");
  if (!secure && !equal_ignoring_case(text.substr(0, end), "http")) return std::nullopt;
  const auto at = parse_authority(text.substr(end + 3));
  if (text.ends_with(':')) return std::nullopt;    // a host may end so in Host, but in no origin
  return at ? std::optional(origin{secure, *at}) : std::nullopt;
}

/// Whether a page from `page` came from where `r` was sent to.
bool is_ours(const origin& page, const http_request& r) noexcept {
  if (r.is_secure() && !page.secure) return false;
  const auto here = parse_authority(r.header("Host").value_or(""));
  return here && page.at.is(*here, page.usual_port());
}

bool changes_nothing(http_method m) noexcept {
  return m == http_method::get || m == http_method::head || m == http_method::options;
}

}  // namespace

bool is_cross_origin(const http_request& r, std::span<const std::string> allowed) {
  const auto said = r.header("Origin");
  if (!said) return false;
  if (std::ranges::find(allowed, "*") != allowed.end()) return false;
  const auto is_origin = [](const http_field& f) { return equal_ignoring_case(f.name, "Origin"); };
  const auto page = parse_origin(*said);
  if (!page || std::ranges::count_if(r.fields(), is_origin) != 1) return true;
  return !is_ours(*page, r) && std::ranges::none_of(allowed, [&](const std::string& a) { return parse_origin(a) == page; });
}

http_middleware refuse_cross_origin(std::vector<std::string> allowed, http_response answer) {
  internal::check_origins(allowed);
  return [allowed = std::move(allowed), answer = std::move(answer)](const http_request& r, const http_handler& next) {
    return changes_nothing(r.method()) || !is_cross_origin(r, allowed) ? next(r) : answer;
  };
}

namespace internal {

void check_origins(std::span<const std::string> listed) {
  for (const std::string& one : listed)
    if (one != "*" && !parse_origin(one))
      throw std::invalid_argument("\"" + one + "\" is not an origin: expected https://host, http://host:port, or *");
}

}  // namespace internal

}  // namespace coppice
