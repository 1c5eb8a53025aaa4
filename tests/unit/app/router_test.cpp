// SPDX-License-Identifier: Apache-2.0
#include <coppice/app/router.hpp>

#include <doctest/doctest.h>

using namespace coppice;

namespace {

http_response ask(const router& app, http_method method, std::string_view target) {
  return app(http_request({.method = method, .target = target}));
}

const router app{
    get("/", [] { return text("root"); }),
    get("/channels", [] { return text("list"); }),
    post("/channels", [](const http_request& r) { return text("made " + std::string(r.body()), 201); }),
    del("/channels/:number", [](const http_request& r) { return text("gone " + r.parameter("number")); }),
    get("/users/:user/items/:item",
        [](const http_request& r) {
          return text(r.parameter("user") + "," + r.parameter("item") + "," + r.parameter("x"));
        }),
    get("/files/*", [](const http_request& r) { return text(std::string(r.path())); }),
};

}  // namespace

TEST_CASE("the route that fits answers") {
  CHECK(ask(app, http_method::get, "/").body == "root");
  CHECK(ask(app, http_method::get, "/channels?free=1").body == "list");
  CHECK(ask(app, http_method::post, "/channels").status == 201);
  CHECK(ask(app, http_method::get, "/files/a/b").body == "/files/a/b");
}

TEST_CASE("parts of a path have names and are decoded") {
  CHECK(ask(app, http_method::del, "/channels/12").body == "gone 12");
  CHECK(ask(app, http_method::get, "/users/J%20K/items/7%2F8").body == "J K,7/8,");
}

TEST_CASE("a path that no route knows is 404") {
  for (const char* target :
       {"/nothing", "/channels/", "/channels/1/2", "/users//items/1", "*", "", "http://x/channels"})
    CHECK_MESSAGE(ask(app, http_method::get, target).status == 404, target);
}

TEST_CASE("a method that the path does not know is 405 and says which it knows") {
  const http_response r = ask(app, http_method::put, "/channels");
  CHECK(r.status == 405);
  REQUIRE(r.headers.size() == 1);
  CHECK(r.headers[0].name == "Allow");
  CHECK(r.headers[0].value == "GET, HEAD, POST");
}

TEST_CASE("HEAD is answered by the handler of GET") {
  CHECK(ask(app, http_method::head, "/channels").body == "list");
  CHECK(ask(app, http_method::head, "/channels/1").status == 405);
}

TEST_CASE("copies of a router share their routes") {
  router one{get("/", [] { return text("shared"); })};
  const router two = one;
  one = router{};
  CHECK(ask(one, http_method::get, "/").status == 404);
  CHECK(ask(two, http_method::get, "/").body == "shared");
}
