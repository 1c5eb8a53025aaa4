// SPDX-License-Identifier: Apache-2.0
//
// What is no business of the grammar: in which pieces a body arrives.
#include "app/http_parser.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

using namespace coppice::internal;

namespace {

struct arrived {
  int status;
  bool complete;
  std::string body;
  friend bool operator==(const arrived&, const arrived&) = default;
};

/// As a connection does it: what was not taken stays in front of what comes next.
arrived body_in_pieces(std::string_view bytes, std::size_t piece) {
  http_parser parser({.body_bytes = 100});
  REQUIRE_FALSE(parser.take_head("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"));
  std::string rest;
  while (!bytes.empty() && !parser.is_complete()) {
    rest += bytes.substr(0, piece);
    bytes.remove_prefix(std::min(piece, bytes.size()));
    std::size_t taken = 99;
    if (const refusal why = parser.take_body(rest, taken)) return {why.status, false, {}};
    REQUIRE(taken <= rest.size());
    rest.erase(0, taken);
  }
  return {0, parser.is_complete(), std::string(parser.body())};
}

}  // namespace

TEST_CASE("a target as one writes it to a proxy is the path of the host that it names") {
  const auto target_of = [](const std::string& target, const std::string& host = "example.com:80") {
    http_parser parser({});
    const std::string head = "GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n";
    if (const refusal why = parser.take_head(head)) return std::to_string(why.status);
    return std::string(parser.parts().target);
  };
  CHECK(target_of("http://example.com:80/a/b?c=http://d/") == "/a/b?c=http://d/");
  CHECK(target_of("HTTPS://EXAMPLE.com:80/") == "/");
  CHECK(target_of("http://example.com:80") == "/");
  CHECK(target_of("http://[::1]/x", "[::1]") == "/x");
  CHECK(target_of("http://evil.com/a") == "400");
  CHECK(target_of("http://example.com/a") == "400");   // Host says more
  CHECK(target_of("ftp://example.com:80/a") == "ftp://example.com:80/a");
  CHECK(target_of("/a?b=http://evil.com/") == "/a?b=http://evil.com/");
  CHECK(target_of("*") == "*");
  CHECK(target_of("/", "example.com:") == "/");        // the usual port
  CHECK(target_of("/", "example.com:x") == "400");
  CHECK(target_of("/", "") == "/");                    // of who has no name for us
}

TEST_CASE("a body in chunks may arrive in any pieces") {
  const std::pair<std::string_view, arrived> cases[] = {
      {"0\r\n\r\n", {0, true, ""}},
      {"0\r\nA: b\r\n\r\n", {0, true, ""}},
      {"000;a=b\r\n\r\n", {0, true, ""}},
      {"1\r\na\r\n0\r\n\r\n", {0, true, "a"}},
      {"3;a=\"b\"\r\nabc\r\n2\r\nde\r\n0\r\nA: b\r\n\r\n", {0, true, "abcde"}},
      {"0\r\n", {0, false, ""}},
      {"1\r\nab\r\n0\r\n\r\n", {400, false, ""}},
      {"x\r\n\r\n", {400, false, ""}},
      {"65\r\n", {0, false, ""}},   // too few bytes to look at
      {"65\r\na", {413, false, ""}},
  };
  for (const auto& [bytes, expected] : cases)
    for (std::size_t piece = 1; piece <= bytes.size(); ++piece)
      CHECK_MESSAGE(body_in_pieces(bytes, piece) == expected, std::string(bytes), " by ", piece);
}
