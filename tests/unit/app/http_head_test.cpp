// SPDX-License-Identifier: Apache-2.0
//
// What heads say in rarer ways: a target without a path, and a handler that speaks of the connection.
#include <coppice/app/http_server.hpp>
#include <coppice/app/response_writer.hpp>
#include <coppice/app/router.hpp>

#include <doctest/doctest.h>

#include "support/http/http_world.hpp"

#include <string>

using namespace coppice;
using testing::get_request;
using testing::http_answer;
using testing::http_client;
using testing::http_world;

namespace {

/// How often the head has a line of this name.
int lines(const http_answer& a, const std::string& name) {
  int n = 0;
  for (std::size_t at = 0; (at = a.head.find("\r\n" + name + ":", at)) != std::string::npos; ++at) ++n;
  return n;
}

router says(const std::string& value) {
  http_response r = text("hello");
  r.headers.push_back({"connection", value});
  return router{get("/", [r] { return r; }),
                get("/streamed", [value] {
                  http_response s = streamed([](response_writer& out) { out.write("hello"); });
                  s.headers.push_back({"Connection", value});
                  return s;
                })};
}

}  // namespace

TEST_CASE("a target that names a host and no path is the root's, with its query") {
  http_world w(router{get("/", [](const http_request& r) {
    return text(std::string(r.path()) + " " + r.query("a").value_or("none") + " " + r.query("b").value_or("none"));
  })});
  CHECK(w.ask("GET http://x?a=1&b=2 HTTP/1.1\r\nHost: x\r\n\r\n").body == "/ 1 2");
  CHECK(w.ask("GET http://x? HTTP/1.1\r\nHost: x\r\n\r\n").body == "/ none none");
  CHECK(w.ask("GET http://x HTTP/1.1\r\nHost: x\r\n\r\n").body == "/ none none");
  CHECK(w.ask("GET http://x/?a=1 HTTP/1.1\r\nHost: x\r\n\r\n").body == "/ 1 none");
  CHECK(w.ask(get_request("/?a=&b=2")).body == "/  2");
}

TEST_CASE("a handler may ask for the connection's end by a line; what else it says of the connection is left out") {
  for (const char* path : {"/", "/streamed"}) {
    http_world ends(says("Close"));
    http_client c = ends.client();
    const http_answer last = c.ask(get_request(path));
    CHECK(last.body == "hello");
    CHECK(last.header("Connection") == "close");
    CHECK(lines(last, "Connection") + lines(last, "connection") == 1);
    CHECK(c.is_closed());
    http_world goes_on(says("keep-alive, X-Mine"));
    http_client kept = goes_on.client();
    for (int i = 0; i < 2; ++i) {
      const http_answer a = kept.ask(get_request(path));
      CHECK(a.body == "hello");
      CHECK(lines(a, "Connection") + lines(a, "connection") == 0);
    }
  }
}
