// SPDX-License-Identifier: Apache-2.0
#include <coppice/app/allowed_hosts.hpp>

#include "app/authority.hpp"

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>

#include <arpa/inet.h>

namespace coppice {

namespace {

using internal::equal_ignoring_case;

constexpr std::string_view of_names =
    "abcdefghijklmnopqrstuvwxyz"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "0123456789-._";

/// Labels with a dot between them; IPv4 addresses are written so, too.
bool is_name(std::string_view text) noexcept {
  return !text.empty() && text.find_first_not_of(of_names) == std::string_view::npos && !text.starts_with('.') && !text.ends_with('.') &&
         text.find("..") == std::string_view::npos;
}

/// What is written `[…]`.
std::optional<in6_addr> ipv6_address(std::string_view text) {
  in6_addr address{};
  if (text.size() < 2 || !text.starts_with('[') || !text.ends_with(']')) return std::nullopt;
  const std::string inside(text.substr(1, text.size() - 2));
  return inet_pton(AF_INET6, inside.c_str(), &address) == 1 ? std::optional(address) : std::nullopt;
}

bool is_same(const in6_addr& a, const in6_addr& b) noexcept { return std::ranges::equal(a.s6_addr, b.s6_addr); }

/// `example.com` of `example.com.`, which is the same name.
std::string_view without_root(std::string_view name) noexcept { return name.substr(0, name.size() - (name.ends_with('.') ? 1 : 0)); }

bool is_wildcard(std::string_view allowed) noexcept { return allowed.starts_with("*."); }

/// Whether `name` is below what stands behind the star.
bool is_below(std::string_view name, std::string_view wildcard) noexcept {
  const std::string_view end = wildcard.substr(1);
  return name.size() > end.size() && equal_ignoring_case(name.substr(name.size() - end.size()), end);
}

bool is_named(std::string_view name, std::string_view allowed) noexcept {
  allowed = without_root(allowed);
  return is_wildcard(allowed) ? is_below(name, allowed) : equal_ignoring_case(name, allowed);
}

bool can_be_allowed(std::string_view text) {
  if (text == "*" || ipv6_address(text)) return true;
  text = without_root(text);
  return is_name(text.substr(is_wildcard(text) ? 2 : 0));
}

void check_hosts(std::span<const std::string> allowed) {
  if (allowed.empty()) throw std::invalid_argument("no host is allowed: nobody could be answered");
  for (const std::string& one : allowed)
    if (!can_be_allowed(one))
      throw std::invalid_argument("\"" + one + "\" is not a host: expected example.com, *.example.com, 192.0.2.1, [2001:db8::1], or *, without a port");
}

}  // namespace

std::vector<std::string> loopback_hosts() { return {"localhost", "*.localhost", "127.0.0.1", "[::1]"}; }

bool is_allowed_host(const http_request& r, std::span<const std::string> allowed) {
  if (std::ranges::find(allowed, "*") != allowed.end()) return true;
  const auto asked = internal::parse_authority(r.header("Host").value_or(""));
  if (!asked) return false;
  if (const auto address = ipv6_address(asked->host))
    return std::ranges::any_of(allowed, [&](const std::string& a) {
      const auto one = ipv6_address(a);
      return one && is_same(*one, *address);
    });
  const std::string_view name = without_root(asked->host);
  return is_name(name) && std::ranges::any_of(allowed, [name](const std::string& a) { return is_named(name, a); });
}

http_middleware refuse_other_hosts(std::vector<std::string> allowed, http_response answer) {
  check_hosts(allowed);
  return [allowed = std::move(allowed), answer = std::move(answer)](const http_request& r, const http_handler& next) {
    return is_allowed_host(r, allowed) ? next(r) : answer;
  };
}

}  // namespace coppice
