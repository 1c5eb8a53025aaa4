// SPDX-License-Identifier: Apache-2.0
#include <coppice/app/router.hpp>

#include <doctest/doctest.h>

#include <stdexcept>

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
  CHECK(r.headers[0].value == "GET, HEAD, POST, OPTIONS");
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

TEST_CASE("OPTIONS says what a path knows, unless a route answers it") {
  const http_response r = ask(app, http_method::options, "/channels");
  CHECK(r.status == 204);
  CHECK(r.headers.at(0).value == "GET, HEAD, POST, OPTIONS");
  CHECK(ask(app, http_method::options, "/nothing").status == 404);
  CHECK(ask(app, http_method::options, "*").headers.at(0).value == "GET, HEAD, POST, DELETE, OPTIONS");
  const router own{route{http_method::options, "/", [] { return text("mine"); }}};
  CHECK(ask(own, http_method::options, "/").body == "mine");
}

TEST_CASE("a parameter may be a whole number, in the path and for the handler") {
  const router numbers{
      get("/n/:n<int>", [](const http_request& r) { return text("int " + std::to_string(r.parameter<int>("n"))); }),
      get("/n/:n", [](const http_request& r) { return text("any " + r.parameter("n")); }),
      get("/u/:n", [](const http_request& r) { return text(std::to_string(r.parameter<std::uint8_t>("n"))); }),
      get("/q", [](const http_request& r) { return text(std::to_string(r.query<int>("n").value_or(7))); }),
  };
  CHECK(ask(numbers, http_method::get, "/n/12").body == "int 12");
  CHECK(ask(numbers, http_method::get, "/n/-12").body == "int -12");
  CHECK(ask(numbers, http_method::get, "/n/12x").body == "any 12x");
  CHECK(ask(numbers, http_method::get, "/n/-").body == "any -");
  CHECK(ask(numbers, http_method::get, "/u/255").body == "255");
  for (const char* target : {"/n/99999999999", "/n/-99999999999", "/n/99999999999999999999999", "/u/256", "/u/-1", "/u/x", "/u/1.5"}) {
    int said = 0;
    try {
      ask(numbers, http_method::get, target);
    } catch (const http_error& e) {
      said = e.status();
    }
    CHECK_MESSAGE(said == 404, target);
  }
  CHECK(ask(numbers, http_method::get, "/q").body == "7");
  CHECK(ask(numbers, http_method::get, "/q?n=8").body == "8");
  try {
    ask(numbers, http_method::get, "/q?n=");
    FAIL("no number");
  } catch (const http_error& e) {
    CHECK(e.status() == 400);
    CHECK(std::string(e.what()) == "n: expected a whole number from -2147483648 to 2147483647");
  }
}

TEST_CASE("a path that is none is refused when the router is made") {
  for (const char* path : {"", "channels", "/a/*/b", "/:", "/:n<float>", "/:<int>", "/:1/:2/:3/:4/:5/:6/:7/:8/:9"})
    CHECK_THROWS_AS(router{get(path, [] { return status(200); })}, std::invalid_argument);
  for (const char* prefix : {"api", "/api/", "/"})
    CHECK_THROWS_AS(group(prefix, get("/", [] { return status(200); })), std::invalid_argument);
}

namespace {

/// A middleware that shows where it was.
http_middleware mark(std::string name) {
  return [name](const http_request& r, const http_handler& next) {
    http_response a = next(r);
    a.body = name + "(" + a.body + ")";
    return a;
  };
}

http_response need_token(const http_request& r, const http_handler& next) {
  return r.query("token") == "yes" ? next(r) : plain_answer(401);
}

}  // namespace

TEST_CASE("groups have a prefix, and middlewares of their own around their routes") {
  const router grouped{
      use(mark("outer"), mark("inner")),
      get("/", [] { return text("root"); }),
      group("/api", get("/", [] { return text("api"); }), use(mark("group"), &need_token),
            group("/v1", use(mark("v1")), get("/channels/:n", [](const http_request& r) { return text(r.parameter("n")); }))),
      group("/open", get("/door", [] { return text("door"); })),
  };
  CHECK(ask(grouped, http_method::get, "/").body == "outer(inner(root))");
  CHECK(ask(grouped, http_method::get, "/api?token=yes").body == "outer(inner(group(api)))");
  CHECK(ask(grouped, http_method::get, "/api").status == 401);
  CHECK(ask(grouped, http_method::get, "/api/v1/channels/7?token=yes").body == "outer(inner(group(v1(7))))");
  CHECK(ask(grouped, http_method::get, "/api/v1/channels/7").body == "outer(inner(group(401 Unauthorized\n)))");
  CHECK(ask(grouped, http_method::get, "/open/door").body == "outer(inner(door))");
  CHECK(ask(grouped, http_method::get, "/api/v1/nothing").body == "outer(inner(404 Not Found\n))");
  CHECK(ask(grouped, http_method::post, "/open/door").status == 405);
}

TEST_CASE("any handler may stand behind a middleware, and keeps its rule for bodies") {
  const http_handler plain = wrap(mark("w"), [] { return text("x"); });
  CHECK(plain(http_request({})).body == "w(x)");
  const router pieces{use(mark("all")), group("/in", use(mark("g")), post("/pieces", [](const http_request&, request_body& b) {
                                                return text(std::string(b.read()));
                                              }).with_body_limit(7))};
  const http_request asked({.method = http_method::post, .target = "/in/pieces", .body = "body"});
  CHECK(pieces.rule_for(asked).in_pieces);
  CHECK(pieces.rule_for(asked).max_bytes == 7);
  CHECK(pieces(asked).body == "all(g(body))");
  const http_handler around = wrap(mark("w"), pieces);
  CHECK(around.rule_for(asked).in_pieces);
}
