// SPDX-License-Identifier: Apache-2.0
#include <coppice/app/json_body.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "support/http/http_world.hpp"

using namespace coppice;
using namespace coppice::testing;

namespace {

struct order {
  std::string item;
  int count = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(order, item, count)

router app() {
  return router{post("/orders",
                     [](const http_request& r) {
                       order o = json_body<order>(r);
                       o.count *= 2;
                       return json_response(o, 201);
                     }),
                post("/any", [](const http_request& r) { return json_response(json_body(r)); }),
                get("/list", [] { return json_response(std::vector<int>{1, 2, 3}); }),
                get("/bytes", [] { return json_response(std::string("a\xff")); })};
}

http_answer post_json(const http_world& w, std::string_view path, std::string_view body,
                      std::string_view type = "application/json") {
  return w.ask("POST " + std::string(path) + " HTTP/1.1\r\nHost: x\r\nContent-Type: " + std::string(type) +
               "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body));
}

std::string nested(int depth) {
  const auto n = static_cast<std::size_t>(depth);
  return std::string(n, '[') + std::string(n, ']');
}

/// Whether `body` is a T.
template <class T>
bool is_taken(std::string_view body) {
  try {
    json_body<T>(http_request({.method = http_method::post, .body = body}));
    return true;
  } catch (const http_error& e) {
    CHECK(e.status() == 422);
    return false;
  }
}

}  // namespace

TEST_CASE("a body becomes a value, a value becomes an answer") {
  http_world w(app());
  const http_answer a = post_json(w, "/orders", R"({"item": "Tee", "count": 2})");
  CHECK(a.status == 201);
  CHECK(a.header("Content-Type") == "application/json");
  CHECK(a.body == R"({"count":4,"item":"Tee"})");
  CHECK(w.ask(get_request("/list")).body == "[1,2,3]");
  CHECK(w.ask(get_request("/bytes")).body == "\"a\xef\xbf\xbd\"");
  CHECK(post_json(w, "/any", "null", "application/problem+json; charset=utf-8").body == "null");
}

TEST_CASE("what is no JSON is 400, another type 415, another shape 422") {
  http_world w(app());
  for (const char* body : {"", "{", "{]", "[1,]", "01", "\"\xff\"", "1e999999", "nul", "{} {}", "\"\\ud800\""})
    CHECK_MESSAGE(post_json(w, "/any", body).status == 400, std::string(body));
  CHECK(post_json(w, "/any", "{}", "text/plain").status == 415);
  CHECK(post_json(w, "/any", "{}", "application/jsonx").status == 415);
  for (const char* body : {"{}", "[]", "7", R"({"item": "Tee"})", R"({"item": 7, "count": 2})", R"({"item": "Tee", "count": "x"})"})
    CHECK_MESSAGE(post_json(w, "/orders", body).status == 422, std::string(body));
  CHECK(http_world::crashes() == 0);
}

TEST_CASE("what is nested too deeply is refused before it can do harm") {
  http_world w(app());
  CHECK(post_json(w, "/any", nested(16)).status == 200);
  CHECK(post_json(w, "/any", nested(18)).status == 400);
  CHECK(post_json(w, "/any", nested(400'000)).status == 400);
  CHECK(post_json(w, "/any", std::string(900'000, '[')).status == 400);
  std::string objects;
  for (int i = 0; i < 100'000; ++i) objects += "{\"a\":";
  CHECK(post_json(w, "/any", objects).status == 400);
}

TEST_CASE("a number that does not fit a whole one is refused, by itself and in containers") {
  for (const char* fits : {"127", "-128", "2.0", "1e2", "-0.0"}) CHECK_MESSAGE(is_taken<std::int8_t>(fits), fits);
  for (const char* does_not : {"128", "-129", "300", "2.5", "1e30", "-1e30", "128.0", "18446744073709551615"})
    CHECK_FALSE_MESSAGE(is_taken<std::int8_t>(does_not), does_not);
  CHECK(json_body<int>(http_request({.body = "1e3"})) == 1000);
  CHECK(is_taken<unsigned>("4294967295"));
  for (const char* does_not : {"-1", "4294967296", "-1.0", "4294967296.0"}) CHECK_FALSE_MESSAGE(is_taken<unsigned>(does_not), does_not);
  CHECK(is_taken<std::int64_t>("-9223372036854775808"));
  for (const char* does_not : {"9223372036854775808", "9223372036854775808.0", "1e19"}) CHECK_FALSE_MESSAGE(is_taken<std::int64_t>(does_not), does_not);
  CHECK(is_taken<std::uint64_t>("18446744073709551615"));
  CHECK_FALSE(is_taken<std::uint64_t>("18446744073709551616"));
  CHECK(is_taken<double>("1e300"));
  CHECK(is_taken<bool>("true"));
  CHECK(is_taken<std::vector<std::vector<int>>>("[[1, 2], []]"));
  CHECK_FALSE(is_taken<std::vector<std::vector<int>>>("[[1, 2], [3, 1e30]]"));
  CHECK(is_taken<std::map<std::string, std::uint8_t>>(R"({"a": 1, "b": 255})"));
  CHECK_FALSE(is_taken<std::map<std::string, std::uint8_t>>(R"({"a": 1, "b": 256})"));
  CHECK_FALSE(is_taken<int>(R"("7")"));
  CHECK(is_taken<std::string>(R"("7")"));
}
