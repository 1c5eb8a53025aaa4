// SPDX-License-Identifier: Apache-2.0
//
// By which names a server may be called, and what those get who use another one.
#include <coppice/app/allowed_hosts.hpp>
#include <coppice/app/cross_origin.hpp>
#include <coppice/app/websocket.hpp>

#include <doctest/doctest.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

using namespace coppice;

namespace {

/// A request that names this host; null: none.
struct named_request {
  explicit named_request(const char* host, http_request::parts asked = {}) : fields{{"origin", "http://evil.com:8888"}} {
    if (host != nullptr) fields.push_back({"HOST", host});
    asked.fields = fields;
    request.emplace(asked);
  }
  std::vector<http_field> fields;
  std::optional<http_request> request;
};

bool is_let_in(const char* host, const std::vector<std::string>& allowed = loopback_hosts()) {
  return is_allowed_host(*named_request(host).request, allowed);
}

int status_of(const http_handler& app, const char* host, const http_request::parts& asked) { return app(*named_request(host, asked).request).status; }

}  // namespace

TEST_CASE("by default a server is called what browsers on the same machine call it, by any port") {
  for (const char* host : {"localhost", "localhost:8888", "localhost:", "LocalHost", "localhost.", "localhost.:8888", "a.localhost", "a.b.localhost:1", "127.0.0.1",
                           "127.0.0.1:8888", "[::1]", "[::1]:8888", "[0:0:0:0:0:0:0:1]", "[0000::0001]:8888"})
    CHECK_MESSAGE(is_let_in(host), host);
  for (const char* host : {"evil.com", "evil.com:8888", "localhost.evil.com", "evillocalhost", ".localhost", "a..localhost", "127.0.0.1.evil.com", "127.0.0.2",
                           "0.0.0.0", "192.0.2.1", "[::2]", "[::1", "::1", "[::1]x", "[localhost]", "[127.0.0.1]", "[]", "", ":8888", "localhost:x",
                           "localhost..", ".", "localhost/", "evil.com/.localhost", "evil.com#.localhost", "evil@localhost", "evil.com .localhost",
                           "evil.com,a.localhost", "<b>.localhost", "evil.com\\.localhost", "*.localhost", "*"})
    CHECK_FALSE_MESSAGE(is_let_in(host), host);
  CHECK_FALSE(is_let_in(nullptr));
}

TEST_CASE("names may be given, those below one, addresses, and all") {
  const std::vector<std::string> allowed{"example.com", "*.Example.org.", "192.0.2.1", "[2001:db8::1]", "single"};
  for (const char* host : {"example.com", "EXAMPLE.com.:443", "a.example.org", "a.b.example.ORG:80", "a.example.org.", "192.0.2.1:8080", "[2001:DB8:0::1]", "single"})
    CHECK_MESSAGE(is_let_in(host, allowed), host);
  for (const char* host : {"www.example.com", "example.org", "notexample.org", ".example.org", "localhost", "127.0.0.1", "192.0.2.10", "[2001:db8::2]", "example.co"})
    CHECK_FALSE_MESSAGE(is_let_in(host, allowed), host);
  for (const char* host : {"example.com", "what ever", "", static_cast<const char*>(nullptr)}) CHECK(is_let_in(host, {"*"}));
}

TEST_CASE("what is no host cannot be allowed, nor nobody") {
  for (const char* none : {"", ".", "http://example.com", "example.com:80", "example.com/", "*example.com", "*.", "*.*.example.com", "a.*.com", "::1", "[::1]:80",
                           "[example.com]", "a b", ".example.com", "example..com"})
    CHECK_THROWS_AS_MESSAGE(refuse_other_hosts({none}), std::invalid_argument, none);
  CHECK_THROWS_AS(refuse_other_hosts(std::vector<std::string>{}), std::invalid_argument);
}

TEST_CASE("a page whose name was made to mean this server gets 421 for everything, where its origin alone would let it in") {
  const auto answers = [] { return status(204); };
  const router routes{get("/", answers), post("/", answers), websocket("/feed", [](ws_connection&) {})};
  const router bare{use(refuse_cross_origin()), post("/", answers)};
  CHECK(status_of(bare, "evil.com:8888", {.method = http_method::post, .target = "/"}) == 204);

  const http_handler guarded = wrap(refuse_other_hosts(), routes);
  for (const http_method m : {http_method::get, http_method::head, http_method::options, http_method::post, http_method::del})
    for (const char* path : {"/", "/feed", "/nowhere"}) CHECK(status_of(guarded, "evil.com:8888", {.method = m, .target = path}) == 421);
  CHECK(status_of(guarded, "localhost:8888", {.method = http_method::post, .target = "/"}) == 204);
  CHECK(status_of(guarded, "localhost:8888", {.target = "/nowhere"}) == 404);

  const router in_routes{use(refuse_other_hosts({"example.com"}, json("{}", 418))), get("/", answers)};
  CHECK(status_of(in_routes, "evil.com", {.target = "/"}) == 418);
  CHECK(status_of(in_routes, "evil.com", {.target = "/nowhere"}) == 418);
  CHECK(status_of(in_routes, "example.com", {.target = "/"}) == 204);
  const http_response told = guarded(*named_request("evil.com").request);
  CHECK(told.body == "421 Misdirected Request: it is not called by that name\n");
}

TEST_CASE("a group may be called by any name beside one that may not: a probe knows the address alone") {
  const auto answers = [] { return status(204); };
  const router app{get("/healthz", answers), group("", use(refuse_other_hosts({"example.com"})), get("/page", answers))};
  CHECK(status_of(app, "192.0.2.7", {.target = "/healthz"}) == 204);
  CHECK(status_of(app, nullptr, {.target = "/healthz"}) == 204);
  CHECK(status_of(app, "192.0.2.7", {.target = "/page"}) == 421);
  CHECK(status_of(app, "example.com", {.target = "/page"}) == 204);
}
