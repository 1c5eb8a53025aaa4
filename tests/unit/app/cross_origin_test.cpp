// SPDX-License-Identifier: Apache-2.0
//
// Which pages may ask, and what the others get.
#include <coppice/app/cross_origin.hpp>
#include <coppice/app/websocket.hpp>

#include <doctest/doctest.h>

#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

using namespace coppice;

namespace {

struct asked {
  std::string_view host = "example.com";
  std::vector<std::string_view> origins{};
  bool secure = false;
  http_method method = http_method::post;
  std::vector<http_field> fields() const {
    std::vector<http_field> all;
    if (!host.empty()) all.push_back({"host", host});
    for (const std::string_view o : origins) all.push_back({"origin", o});
    return all;
  }
};

bool is_refused(const asked& a, const std::vector<std::string>& allowed = {}) {
  const auto fields = a.fields();
  return is_cross_origin(http_request({.method = a.method, .fields = fields, .is_secure = a.secure}), allowed);
}

int status_of(const asked& a, const router& app) {
  const auto fields = a.fields();
  return app(http_request({.method = a.method, .fields = fields, .is_secure = a.secure})).status;
}

}  // namespace

TEST_CASE("who names no origin is no page") {
  CHECK_FALSE(is_refused({}));
  CHECK_FALSE(is_refused({.host = ""}));
}

TEST_CASE("a page of the same scheme, host and port is ours") {
  CHECK_FALSE(is_refused({.origins = {"http://example.com"}}));
  CHECK_FALSE(is_refused({.origins = {"http://EXAMPLE.com:80"}}));
  CHECK_FALSE(is_refused({.host = "example.com:80", .origins = {"http://example.com"}}));
  CHECK_FALSE(is_refused({.host = "localhost:8888", .origins = {"http://localhost:8888"}}));
  CHECK_FALSE(is_refused({.host = "[::1]:8888", .origins = {"http://[::1]:8888"}}));
  CHECK_FALSE(is_refused({.origins = {"https://example.com"}, .secure = true}));
  CHECK_FALSE(is_refused({.host = "example.com:443", .origins = {"https://example.com"}, .secure = true}));
  CHECK_FALSE(is_refused({.origins = {"https://example.com"}}));  // a proxy may have taken the TLS away
}

TEST_CASE("any other page is of another origin") {
  for (const char* page : {"http://evil.com", "http://example.com.evil.com", "http://evil.com/example.com", "http://sub.example.com", "http://example.co",
                           "http://example.com:8080", "http://example.com:443", "https://example.com:80", "null", "", "example.com", "//example.com", "file://",
                           "http://", "http://example.com:", "http://example.com:x", "http://example.com/", "http://user@example.com", "ftp://example.com",
                           "http://evil.com example.com", "http://example.com, http://evil.com", "http://[::1", "http://example.com@evil.com"})
    CHECK_MESSAGE(is_refused({.origins = {page}}), page);
  CHECK(is_refused({.origins = {"http://example.com"}, .secure = true}));  // whoever has the network may have made that page
  CHECK(is_refused({.host = "example.com:8888", .origins = {"http://example.com"}}));
  CHECK(is_refused({.host = "", .origins = {"http://example.com"}}));
  CHECK(is_refused({.origins = {"http://example.com", "http://evil.com"}}));
  CHECK(is_refused({.origins = {"http://example.com", "http://example.com"}}));
}

TEST_CASE("other origins may be allowed") {
  const std::vector<std::string> allowed{"https://app.example.com", "http://localhost:3000"};
  CHECK_FALSE(is_refused({.origins = {"https://app.example.com"}}, allowed));
  CHECK_FALSE(is_refused({.origins = {"https://APP.example.com:443"}, .secure = true}, allowed));
  CHECK_FALSE(is_refused({.origins = {"http://localhost:3000"}, .secure = true}, allowed));
  CHECK_FALSE(is_refused({.origins = {"http://example.com"}}, allowed));
  CHECK(is_refused({.origins = {"http://app.example.com"}}, allowed));
  CHECK(is_refused({.origins = {"http://localhost"}}, allowed));
  CHECK(is_refused({.origins = {"null"}}, allowed));
  CHECK_FALSE(is_refused({.origins = {"null"}}, {"*"}));
  for (const char* none : {"example.com", "https://example.com/", "null", "", "https://", "https://*.example.com:x"}) {
    CHECK_THROWS_AS(refuse_cross_origin({none}), std::invalid_argument);
    CHECK_THROWS_AS(websocket("/", [](ws_connection&) {}, {.allowed_origins = {none}}), std::invalid_argument);
  }
}

TEST_CASE("the middleware refuses what may change something, and nothing else") {
  const auto answers = [] { return status(204); };
  const router app{use(refuse_cross_origin({"https://app.example.com"})), get("/", answers), post("/", answers), put("/", answers), del("/", answers),
                   patch("/", answers)};
  for (const http_method m : {http_method::post, http_method::put, http_method::del, http_method::patch}) {
    CHECK(status_of({.origins = {"http://evil.com"}, .method = m}, app) == 403);
    CHECK(status_of({.origins = {"http://example.com"}, .method = m}, app) == 204);
    CHECK(status_of({.origins = {"https://app.example.com"}, .method = m}, app) == 204);
    CHECK(status_of({.method = m}, app) == 204);
  }
  CHECK(status_of({.origins = {"http://evil.com"}, .method = http_method::other}, app) == 403);
  for (const http_method m : {http_method::get, http_method::head, http_method::options})
    CHECK(status_of({.origins = {"http://evil.com"}, .method = m}, app) == 204);
  const router own{use(refuse_cross_origin({}, json("{}", 418))), post("/", answers)};
  CHECK(status_of({.origins = {"null"}}, own) == 418);
}
