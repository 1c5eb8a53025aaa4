// SPDX-License-Identifier: Apache-2.0
#include <coppice/app/http_message.hpp>

#include <doctest/doctest.h>

#include <coppice/base/detail/sync.hpp>

#include <chrono>
#include <cstdint>
#include <limits>
#include <string>

#include "app/http_date.hpp"
#include "app/http_writer.hpp"
#include "support/eventually.hpp"

using namespace coppice;

namespace {

std::int64_t now() { return detail::sync::now(); }
/// Since 1970.
std::int64_t wall_second() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

TEST_CASE("a request finds its fields whatever their case") {
  const http_field fields[] = {{"Host", "example"}, {"X-Twice", "first"}, {"x-twice", "second"}, {"Empty", ""}};
  const http_request r({.fields = fields});
  CHECK(r.header("host") == "example");
  CHECK(r.header("X-TWICE") == "first");
  CHECK(r.header("empty") == "");
  CHECK_FALSE(r.header("hos").has_value());
}

TEST_CASE("a request splits its target and decodes the query") {
  const http_request r({.target = "/a/b?x=1&name=J%C3%BCrgen+K&flag&y=%zz&x=2"});
  CHECK(r.path() == "/a/b");
  CHECK(r.query("x") == "1");
  CHECK(r.query("name") == "J\xC3\xBCrgen K");
  CHECK(r.query("flag") == "");
  CHECK(r.query("y") == "%zz");
  CHECK_FALSE(r.query("z").has_value());
  CHECK_FALSE(http_request({.target = "/a"}).query("x").has_value());
  CHECK_FALSE(http_request({.target = "/a?"}).query("x").has_value());
}

TEST_CASE("percent codes are decoded where they are codes") {
  CHECK(decode_percent("a%20b%2Fc") == "a b/c");
  CHECK(decode_percent("100%") == "100%");
  CHECK(decode_percent("%4") == "%4");
  CHECK(decode_percent("a+b") == "a+b");
  CHECK(decode_percent("a+b", true) == "a b");
}

TEST_CASE("a response is written with its length, and kept when it cannot be written") {
  std::string out;
  CHECK(internal::append_response(out, text("hello"), {}, now()));
  CHECK(out.starts_with("HTTP/1.1 200 OK\r\nDate: "));
  CHECK(out.find("\r\nContent-Length: 5\r\n") != std::string::npos);
  CHECK(out.find("Connection") == std::string::npos);
  CHECK(out.ends_with("\r\n\r\nhello"));

  out.clear();
  CHECK(internal::append_response(out, text("hello"), {.head_only = true, .close = true}, now()));
  CHECK(out.find("\r\nContent-Length: 5\r\n") != std::string::npos);
  CHECK(out.find("\r\nConnection: close\r\n") != std::string::npos);
  CHECK(out.ends_with("\r\n\r\n"));

  out.clear();
  CHECK(internal::append_response(out, status(204), {}, now()));
  CHECK(out.find("Content-Length") == std::string::npos);

  out.clear();                                     // as of a handler that hands on what another server has said
  http_response copied = text("hello");
  copied.headers = {{"content-length", "7"}, {"Transfer-encoding", "chunked"}, {"Content-Lengths", "kept"}};
  CHECK(internal::append_response(out, copied, {}, now()));
  CHECK(out.find("content-length: ") == std::string::npos);
  CHECK(out.find("Transfer-encoding") == std::string::npos);
  CHECK(out.find("\r\nContent-Lengths: kept\r\n") != std::string::npos);

  out.clear();
  CHECK(internal::append_response(out, status(299), {}, now()));  // a status without a phrase
  CHECK(out.starts_with("HTTP/1.1 299 \r\nDate: "));
}

TEST_CASE("a response that would end its own head is refused") {
  std::string out;
  CHECK_FALSE(internal::append_response(out, {.headers = {{"Location", "/a\r\nSet-Cookie: x"}}}, {}, now()));
  CHECK_FALSE(internal::append_response(out, {.headers = {{"A: b\r\nC", "x"}}}, {}, now()));
  CHECK_FALSE(internal::append_response(out, {.headers = {{"", "x"}}}, {}, now()));
  CHECK_FALSE(internal::append_response(out, {.content_type = "text/plain\n"}, {}, now()));
  CHECK_FALSE(internal::append_response(out, status(99), {}, now()));
  CHECK_FALSE(internal::append_response(out, status(1000), {}, now()));
  for (const char c : {'\r', '\n', '\0'})
    for (std::size_t at = 0; at < 20; ++at) {
      std::string value(20, 'v');
      value[at] = c;
      CHECK_FALSE(internal::append_response(out, {.headers = {{"X", value}}}, {}, now()));
      CHECK_FALSE(internal::append_response(out, {.content_type = value}, {}, now()));
    }
  CHECK(out.empty());
  CHECK(internal::append_response(out, {.headers = {{"X", "a tab\t, \x01, Gr\u00fc\u00dfe, \x7f"}}}, {}, now()));
  CHECK(out.find("\r\nX: a tab\t, \x01, Gr\u00fc\u00dfe, \x7f\r\n") != std::string::npos);
}

TEST_CASE("the longest head there is fits into its room, and answers are appended one after the other") {
  http_response r{.status = 431, .body = std::string(1000, 'b'), .content_type = std::string(300, 't')};
  for (int i = 0; i < 50; ++i) r.headers.push_back({std::string(100, 'n'), std::string(200, 'v')});
  std::string out;
  for (int i = 0; i < 3; ++i) {
    const std::size_t before = out.size();
    CHECK(internal::append_response(out, r, {.close = true, .old_client = true}, now()));
    CHECK(out.substr(before).starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\nDate: "));
    CHECK(out.size() - before == 163 - 20 + 4 - 5 + 300 + 50 * 304 + 1000);
  }
  std::string head;
  r = {.status = 431, .stream = [](response_writer&) {}, .stream_length = std::numeric_limits<std::uint64_t>::max()};
  internal::append_head(head, r, {.old_client = true}, now());
  CHECK(head.ends_with("\r\nContent-Length: 18446744073709551615\r\nConnection: keep-alive\r\n\r\n"));
}

TEST_CASE("the date has the form that HTTP asks for") {
  std::string out;
  internal::append_date(out, now());
  REQUIRE(out.size() == 29);
  CHECK(out.substr(3, 2) == ", ");
  CHECK(out.ends_with(" GMT"));
  CHECK(out[19] == ':');
  std::string later;
  CHECK(testing::eventually([&] {                  // it is of the second in which it is asked for
    const std::int64_t before = wall_second();
    later.clear();
    internal::append_date(later, now());
    std::string expected;
    internal::append_http_date(expected, before);
    if (wall_second() == before) CHECK(later == expected);
    return later != out;
  }));
}
