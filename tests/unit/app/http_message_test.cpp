// SPDX-License-Identifier: Apache-2.0
#include <coppice/app/http_message.hpp>

#include <doctest/doctest.h>

#include "app/http_writer.hpp"

using namespace coppice;

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
  CHECK(internal::append_response(out, text("hello"), {}));
  CHECK(out.starts_with("HTTP/1.1 200 OK\r\nDate: "));
  CHECK(out.find("\r\nContent-Length: 5\r\n") != std::string::npos);
  CHECK(out.find("Connection") == std::string::npos);
  CHECK(out.ends_with("\r\n\r\nhello"));

  out.clear();
  CHECK(internal::append_response(out, text("hello"), {.head_only = true, .close = true}));
  CHECK(out.find("\r\nContent-Length: 5\r\n") != std::string::npos);
  CHECK(out.find("\r\nConnection: close\r\n") != std::string::npos);
  CHECK(out.ends_with("\r\n\r\n"));

  out.clear();
  CHECK(internal::append_response(out, status(204), {}));
  CHECK(out.find("Content-Length") == std::string::npos);
}

TEST_CASE("a response that would end its own head is refused") {
  std::string out;
  CHECK_FALSE(internal::append_response(out, {.headers = {{"Location", "/a\r\nSet-Cookie: x"}}}, {}));
  CHECK_FALSE(internal::append_response(out, {.headers = {{"A: b\r\nC", "x"}}}, {}));
  CHECK_FALSE(internal::append_response(out, {.headers = {{"", "x"}}}, {}));
  CHECK_FALSE(internal::append_response(out, {.content_type = "text/plain\n"}, {}));
  CHECK_FALSE(internal::append_response(out, status(99), {}));
  CHECK_FALSE(internal::append_response(out, status(1000), {}));
  CHECK(out.empty());
}

TEST_CASE("the date has the form that HTTP asks for") {
  std::string out;
  internal::append_date(out);
  REQUIRE(out.size() == 29);
  CHECK(out.substr(3, 2) == ", ");
  CHECK(out.ends_with(" GMT"));
  CHECK(out[19] == ':');
}
