// SPDX-License-Identifier: Apache-2.0
//
// A target, a host and an origin of a stranger, one in a line, before a router and what stands in front of it. Whatever they are: what a
// handler finds as a parameter is what its pattern says, and who is let in has a name that is allowed.
#include <coppice/app/allowed_hosts.hpp>
#include <coppice/app/cross_origin.hpp>
#include <coppice/app/router.hpp>

#include <algorithm>
#include <string>
#include <string_view>

#include "fuzz/fuzz.hpp"

using namespace coppice;
using testing::require;

namespace {

std::string_view take_line(std::string_view& text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  text.remove_prefix(std::min(text.size(), line.size() + 1));
  return line;
}

http_response number(const http_request& r) {
  const std::string text = r.parameter("number");
  require(!text.empty() && text.find_first_not_of("-0123456789") == std::string::npos, "a whole number is one");
  (void)r.parameter<int>("number");                // or it is an http_error
  return status(201);
}
http_response name(const http_request& r) {
  require(r.path().starts_with("/names/") && !r.path().substr(7).empty() && r.path().substr(7).find('/') == std::string_view::npos, "a name is one segment");
  (void)r.parameter("name");
  return status(202);
}
http_response rest(const http_request& r) {
  require(r.path().starts_with("/files/"), "the rest is behind its beginning");
  (void)r.parameter("*");
  (void)r.query("a");
  return status(203);
}

const router& app() {
  static const router all{get("/", [] { return status(200); }), get("/numbers/:number<int>", &number), get("/names/:name", &name), get("/files/*", &rest),
                          post("/names/:name", &name)};
  return all;
}

/// Whether `host` is one of those that `is_let_in` allows, by another way than the library's.
bool is_ours(std::string host) {
  std::ranges::transform(host, host.begin(), [](unsigned char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : static_cast<char>(c); });
  if (const std::size_t colon = host.rfind(':'); colon != std::string::npos && !host.ends_with(']')) host.resize(colon);
  if (host.starts_with('[')) return host.ends_with("1]");
  if (host.ends_with('.')) host.pop_back();
  return host == "localhost" || host.ends_with(".localhost") || host == "127.0.0.1";
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::string_view target = take_line(text);
  const http_field fields[] = {{"Host", take_line(text)}, {"Origin", take_line(text)}};
  const bool from_page = !fields[1].value.empty();
  const http_request asked({.method = text.empty() ? http_method::get : http_method::post, .target = target, .fields = {fields, from_page ? 2u : 1u}});
  int said = 0;
  try {
    said = app()(asked).status;
  } catch (const http_error& e) {
    said = e.status();
  }
  require(std::ranges::count(std::initializer_list<int>{200, 201, 202, 203, 400, 404, 405}, said) == 1, "one of the answers there are");
  require(target.starts_with('/') || said == 404, "what is no path has no route");
  if (is_allowed_host(asked, loopback_hosts())) require(is_ours(std::string(fields[0].value)), "who is let in has a name of ours");
  if (from_page && !is_cross_origin(asked)) require(fields[1].value.find("://") != std::string_view::npos, "a page of ours has an origin");
  return 0;
}
