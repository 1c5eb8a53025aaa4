// SPDX-License-Identifier: Apache-2.0
//
// A real server on 127.0.0.1 and clients that mean it well, badly, or not at all.
#include <coppice/app/http_server.hpp>
#include <coppice/process/process.hpp>

#include <doctest/doctest.h>

#include "support/eventually.hpp"
#include "support/http/http_world.hpp"

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

#include <unistd.h>

using namespace coppice;
using testing::eventually;
using testing::get_request;
using testing::http_answer;
using testing::http_client;
using testing::http_world;

namespace {

std::atomic<int> begun = 0;
std::atomic<int> destroyed = 0;
struct counted_in_handler {
  counted_in_handler() { ++begun; }
  ~counted_in_handler() { ++destroyed; }
};
std::atomic<bool> gate = false;

struct world : http_world {
  explicit world(const http_server_options& o = {}) : http_world(app(), o) {}
  static router app() {
    return router{
        get("/", [] { return text("hello"); }),
        get("/path/:name", [](const http_request& r) { return text(r.parameter("name")); }),
        post("/echo", [](const http_request& r) { return text(std::string(r.body())); }),
        get("/large", [] { return text(std::string(4'000'000, 'x')); }),
        get("/throw", []() -> http_response { throw std::runtime_error("no channel 7"); }),
        get("/throw_number", []() -> http_response { throw 7; }),
        get("/exit", []() -> http_response { exit(exit_reason::normal); }),
        get("/killed",
            []() -> http_response {
              exit(self(), exit_reason::kill);
              sleep_for(1h);
              return text("no");
            }),
        get("/hang",
            []() -> http_response {
              counted_in_handler c;
              sleep_for(1h);
              return text("no");
            }),
        get("/gate",
            [] {
              const counted_in_handler c;
              while (!gate) sleep_for(1ms);
              return text("through");
            }),
        get("/nap",
            [] {
              sleep_for(400ms);                    // longer than a stop leaves idle connections alone
              return text("rested");
            }),
        get("/bad_header", [] { return http_response{.headers = {{"A", "b\r\nC: d"}}}; }),
        get("/close",
            [] {
              http_response r = text("bye");
              r.close = true;
              return r;
            }),
    };
  }
  /// What the server says to something it does not understand: the status, after which it closes.
  int refused(std::string_view bytes) const {
    http_client c = client();
    c.send(bytes);
    const http_answer a = c.read();
    CHECK(a.header("Connection") == "close");
    CHECK(c.is_closed());
    return a.status;
  }
};

std::string post_request(std::string_view lines, std::string_view body) {
  return "POST /echo HTTP/1.1\r\nHost: test\r\n" + std::string(lines) + "\r\n" + std::string(body);
}

}  // namespace

TEST_CASE("a connection serves one request after the other") {
  world w;
  http_client c = w.client();
  for (int i = 0; i < 100; ++i) {
    const http_answer a = c.ask(get_request("/"));
    REQUIRE(a.status == 200);
    REQUIRE(a.body == "hello");
  }
  CHECK(w.server.statistics().accepted == 1);
  CHECK(w.server.statistics().requests == 100);
}

TEST_CASE("pipelined requests are answered in their order, a slow one among them") {
  world w;
  http_client c = w.client();
  c.send(get_request("/path/a") + get_request("/nap") + get_request("/path/b") + get_request("/path/c"));
  CHECK(c.read().body == "a");
  CHECK(c.read().body == "rested");
  CHECK(c.read().body == "b");
  CHECK(c.read().body == "c");
}

TEST_CASE("a long pipeline is answered in full") {
  world w;
  http_client c = w.client();
  std::string all;
  for (int i = 0; i < 5000; ++i) all += get_request("/path/" + std::to_string(i));
  std::thread sender([&] { c.send(all); });
  for (int i = 0; i < 5000; ++i) REQUIRE(c.read().body == std::to_string(i));
  sender.join();
}

TEST_CASE("a request may arrive byte by byte") {
  world w({.head_timeout = 1min});
  http_client c = w.client();
  for (const char byte : get_request("/path/slowly")) REQUIRE(c.send({&byte, 1}));
  CHECK(c.read().body == "slowly");
  for (const char byte :
       post_request("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\nTrailer: x\r\n\r\n"))
    REQUIRE(c.send({&byte, 1}));
  CHECK(c.read().body == "abcde");
}

TEST_CASE("HEAD gets the head and no body") {
  world w;
  http_client c = w.client();
  c.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n");
  const http_answer a = c.read(true);
  CHECK(a.status == 200);
  CHECK(a.header("Content-Length") == "5");
  CHECK(c.ask(get_request("/")).body == "hello");
}

TEST_CASE("bodies come with a length or in chunks") {
  world w;
  http_client c = w.client();
  CHECK(c.ask(post_request("Content-Length: 5\r\n", "hello")).body == "hello");
  CHECK(c.ask(post_request("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")).body ==
        "hello world");
  CHECK(c.ask(post_request("Content-Length: 0\r\n", "")).body.empty());
  const std::string large(1'000'000, 'y');
  CHECK(c.ask(post_request("Content-Length: 1000000\r\n", large)).body == large);
  std::string chunks;
  for (int i = 0; i < 10; ++i) chunks += "186a0\r\n" + large.substr(0, 100'000) + "\r\n";
  CHECK(c.ask(post_request("Transfer-Encoding: chunked\r\n", chunks + "0\r\n\r\n")).body == large);
}

TEST_CASE("a client that waits for leave to send its body gets it") {
  world w;
  http_client c = w.client();
  c.send(post_request("Content-Length: 5\r\nExpect: 100-continue\r\n", ""));
  CHECK(c.read().head == "HTTP/1.1 100 Continue\r\n");
  CHECK(c.ask("hello").body == "hello");
  CHECK(w.refused(post_request("Content-Length: 5\r\nExpect: a miracle\r\n", "")) == 417);
  CHECK(w.refused(post_request("Content-Length: 99999999\r\nExpect: 100-continue\r\n", "")) == 413);
}

TEST_CASE("HTTP/1.0 and Connection: close end the connection") {
  world w;
  http_client old = w.client();
  CHECK(old.ask("GET / HTTP/1.0\r\n\r\n").header("Connection") == "close");
  CHECK(old.is_closed());
  http_client old_but_lasting = w.client();
  CHECK(old_but_lasting.ask("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").header("Connection") == "keep-alive");
  CHECK(old_but_lasting.ask("GET / HTTP/1.0\r\n\r\n").body == "hello");
  http_client polite = w.client();
  CHECK(polite.ask(get_request("/", "Connection: close\r\n")).header("Connection") == "close");
  CHECK(polite.is_closed());
  http_client told = w.client();
  CHECK(told.ask(get_request("/close")).body == "bye");
  CHECK(told.is_closed());
}

TEST_CASE("what is no request gets 400") {
  world w;
  for (const char* bytes : {
           "\x16\x03\x01\x02\x03\x04 tls?\r\n\r\n",
           "GET\r\n\r\n",
           "GET / HTTP/1.1 more\r\nHost: x\r\n\r\n",
           "GET / JTTP/1.1\r\nHost: x\r\n\r\n",
           "G\x01T / HTTP/1.1\r\nHost: x\r\n\r\n",
           "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
           "GET / HTTP/1.1\nHost: x\n\n",
           "GET / HTTP/1.1\r\nHost x\r\n\r\n",
           "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
           "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n folded\r\n\r\n",
           "GET / HTTP/1.1\r\nHost: x\r\nA: b\x01\r\n\r\n",
           "GET / HTTP/1.1\r\n\r\n",
           "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
           "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
           "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1x\r\n\r\n",
           "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
           "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
           "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
           "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
           "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
           "chunked\r\n\r\n0\r\n\r\n",
           "POST /echo HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
           "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
           "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcde\r\n0\r\n\r\n",
       })
    CHECK_MESSAGE(w.refused(bytes) == 400, std::string(bytes));
}

TEST_CASE("what is a request but not served here gets its own status") {
  world w;
  CHECK(w.refused("BREW / HTTP/1.1\r\nHost: x\r\n\r\n") == 501);
  CHECK(w.refused("GET / HTTP/2.0\r\nHost: x\r\n\r\n") == 505);
  CHECK(w.refused(post_request("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n")) == 501);
  CHECK(w.refused(post_request("Transfer-Encoding: identity\r\n", "")) == 501);
  CHECK(w.ask("PATCH / HTTP/1.1\r\nHost: x\r\n\r\n").status == 405);
  CHECK(w.ask(get_request("/nowhere")).status == 404);
}

TEST_CASE("what is too large is refused") {
  world w;
  CHECK(w.refused(get_request("/" + std::string(20'000, 'a'))) == 414);
  CHECK(w.refused("GET /" + std::string(9'000, 'a')) == 414);
  CHECK(w.refused(get_request("/", "A: " + std::string(9'000, 'b') + "\r\n")) == 431);
  std::string lines;
  for (int i = 0; i < 120; ++i) lines += "A: b\r\n";
  CHECK(w.refused(get_request("/", lines)) == 431);
  CHECK(w.refused(post_request("Content-Length: 1048577\r\n", "")) == 413);
  CHECK(w.refused(post_request("Transfer-Encoding: chunked\r\n", "100001\r\n")) == 413);
  CHECK(w.refused(post_request("Transfer-Encoding: chunked\r\n", "1;" + std::string(40'000, 'x'))) == 413);
  CHECK(w.ask(get_request("/", "A: " + std::string(8'000, 'b') + "\r\n")).status == 200);
}

TEST_CASE("a client that has sent more than was read still gets its answer") {
  world w;
  http_client c = w.client();
  c.send(post_request("Content-Length: 3000000\r\n", std::string(400'000, 'z')));
  CHECK(c.read().status == 413);
}

TEST_CASE("a slow client gets 408, an idle one is let go") {
  // One limit each: none is over while a client comes to what another one is for.
  world for_head({.idle_timeout = 1h, .head_timeout = 100ms});
  http_client slow_head = for_head.shaken();
  slow_head.send("GET / HTTP/1.1\r\nHo");
  world for_body({.body_timeout = 100ms});
  http_client slow_body = for_body.client();
  slow_body.send(post_request("Content-Length: 5\r\n", "he"));
  world for_idle({.idle_timeout = 100ms});
  http_client idle = for_idle.client();
  CHECK(slow_head.read().status == 408);
  CHECK(slow_head.is_closed());
  CHECK(slow_body.read().status == 408);
  CHECK(slow_body.is_closed());
  CHECK(idle.is_closed());
  for (const world* w : {&for_head, &for_body, &for_idle})
    CHECK(eventually([&] { return w->server.statistics().connections == 0; }));
}

TEST_CASE("the time for a head runs from its first byte on, however often a byte arrives") {
  world w({.head_timeout = 200ms});
  http_client c = w.shaken();
  std::atomic<bool> over = false;
  std::thread drip([&] {
    while (!over && c.send("G")) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  });
  CHECK(c.read().status == 408);
  over = true;
  drip.join();
}

TEST_CASE("a client that only listens gets its answers, then the end") {
  world w;
  http_client c = w.client();
  c.send(get_request("/path/a") + get_request("/nap"));
  c.end_writing();
  CHECK(c.read().body == "a");
  CHECK(c.read().body == "rested");
  CHECK(c.is_closed());
}

TEST_CASE("half a request and then the end is not worth an answer") {
  world w;
  http_client head = w.client();
  head.send("GET / HT");
  head.end_writing();
  CHECK(head.is_closed());
  http_client body = w.client();
  body.send(post_request("Content-Length: 50\r\n", "half"));
  body.end_writing();
  CHECK(body.read().status == 400);
  CHECK(body.is_closed());
}

TEST_CASE("a handler that fails is a 500 and a report, and the connection goes on") {
  world w;
  http_client c = w.client();
  CHECK(c.ask(get_request("/throw")).status == 500);
  CHECK(c.ask(get_request("/throw_number")).status == 500);
  CHECK(http_world::crashes() == 2);
  CHECK(testing::report_log::count("crash", "label: GET /throw") == 2);
  CHECK(c.ask(get_request("/exit")).status == 500);
  CHECK(c.ask(get_request("/killed")).status == 500);
  CHECK(c.ask(get_request("/bad_header")).status == 500);
  CHECK(c.ask(get_request("/")).body == "hello");
  CHECK(w.server.statistics().failed == 5);
}

TEST_CASE("a handler that takes too long is a 503, and its process is gone") {
  world w({.handler_timeout = 50ms});
  begun = destroyed = 0;
  CHECK(eventually([&] {                           // on a slow machine it may be killed before it begins
    http_client c = w.client();
    CHECK(c.ask(get_request("/hang")).status == 503);
    CHECK(c.is_closed());
    return begun > 0;
  }));
  CHECK(eventually([] { return destroyed == begun; }));
  CHECK(eventually([&] { return w.ask(get_request("/")).body == "hello"; }));  // it has no more time
}

TEST_CASE("a large answer waits for a client that takes its time; one that takes nothing is let go") {
  world patient;
  CHECK(patient.ask(get_request("/large")).body.size() == 4'000'000);
  world w({.write_timeout = 200ms});
  http_client deaf = w.client();
  std::string many;
  for (int i = 0; i < 10; ++i) many += get_request("/large");
  deaf.send(many);
  CHECK(eventually([&] { return w.server.statistics().requests > 0; }));
  CHECK(eventually([&] { return w.server.statistics().connections == 0; }));
}

TEST_CASE("clients that come and go leave nothing behind") {
  world w;
  for (int round = 0; round < testing::rounds(5, 50); ++round) {
    std::vector<http_client> all;
    for (int i = 0; i < 200; ++i) {
      all.push_back(w.client());
      if (i % 3 == 1) all.back().send("GET / HTTP/1.1\r\nHost");
      if (i % 3 == 2) all.back().send(get_request("/nap"));
    }
  }
  CHECK(eventually([&] { return w.server.statistics().connections == 0; }));
  CHECK(w.ask(get_request("/")).body == "hello");
}

TEST_CASE("a server that cannot start says why") {
  world w;
  const auto second = try_run_server(world::app(), {.port = w.server.port(), .in = &w.rt});
  REQUIRE_FALSE(second.has_value());
  CHECK(second.error().why() == http_server_error::port_in_use);
  const std::string why = second.error().what();
  CHECK(why.find("port " + std::to_string(w.server.port())) != std::string::npos);
  CHECK(why.find("(OS process " + std::to_string(::getpid()) + ")") != std::string::npos);
  CHECK(try_run_server(world::app(), {.port = 70'000, .in = &w.rt}).error().why() ==
        http_server_error::port_out_of_range);
  CHECK(try_run_server(world::app(), {.port = -1, .in = &w.rt}).error().why() == http_server_error::port_out_of_range);
  CHECK(try_run_server(world::app(), {.port = 0, .address = "nowhere", .in = &w.rt}).error().why() ==
        http_server_error::bad_address);
  CHECK(try_run_server(world::app(), {.port = 0, .address = "8.8.8.8", .in = &w.rt}).error().why() ==
        http_server_error::bad_address);
  CHECK_THROWS_AS(run_server(world::app(), {.port = 70'000, .in = &w.rt}), http_server_error);
}

TEST_CASE("the port comes from the argument, then from the environment, then from the program") {
  const char* with[] = {"program", "1234"};
  const char* without[] = {"program"};
  const char* wrong[] = {"program", "12x"};
  const char* high[] = {"program", "65536"};
  ::setenv("PORT", "4321", 1);
  CHECK(port_from(2, with) == 1234);
  CHECK(port_from(1, without) == 4321);
  ::unsetenv("PORT");
  CHECK(port_from(1, without) == 8888);
  CHECK_THROWS_AS(port_from(2, wrong), http_server_error);
  CHECK_THROWS_AS(port_from(2, high), http_server_error);
}

TEST_CASE("a server that stops lets what is under way end, and closes what is idle") {
  world w;
  http_client idle = w.client();
  CHECK(idle.ask(get_request("/")).status == 200);
  http_client busy = w.client();
  begun = 0;
  gate = false;
  busy.send(get_request("/gate"));
  CHECK(eventually([] { return begun == 1; }));
  std::thread stopper([&] {
    const http_stop_result stopped = w.server.stop(infinity);
    CHECK(stopped.cut_off == 0);
    CHECK(stopped.idle_closed == 1);
  });
  CHECK(idle.is_closed());
  gate = true;
  const http_answer last = busy.read();
  CHECK(last.body == "through");
  CHECK(last.header("Connection") == "close");
  stopper.join();
  CHECK_FALSE(testing::accepts(w.server.port()));
  CHECK(w.server.stop(infinity).cut_off == 0);
}

TEST_CASE("a server whose stop has all the time there is cuts off nothing") {
  world w;
  http_client busy = w.client();
  busy.send(get_request("/nap"));
  CHECK(eventually([&] { return w.server.statistics().connections == 1; }));
  CHECK(w.server.stop(infinity).cut_off == 0);     // from a plain thread
  CHECK(busy.read().body == "rested");
}

TEST_CASE("a server that stops cuts off what does not end in time") {
  world w;
  begun = destroyed = 0;
  http_client c = w.client();
  c.send(get_request("/hang"));
  CHECK(eventually([] { return begun == 1; }));
  CHECK(w.server.stop(50ms).cut_off == 1);
  const int status = c.read().status;
  CHECK((status == 503 || status == 0));  // an answer or a close
  CHECK(eventually([] { return destroyed == 1; }));
}

TEST_CASE("the last handle of a server stops it") {
  world w;
  const std::uint16_t port = w.server.port();
  http_server copy = w.server;
  w.server = {};
  CHECK(testing::accepts(port));
  copy = {};
  CHECK(eventually([&] { return !testing::accepts(port); }));
}

TEST_CASE("a runtime that stops ends the servers in it") {
  runtime rt({.workers = 2});
  const http_server server = run_server([] { return text("hello"); }, {.port = 0, .in = &rt});
  http_client c = http_client::plain(server.port());
  CHECK(c.ask(get_request("/")).body == "hello");
  CHECK(rt.stop(1min).complete());
  CHECK(c.is_closed());
}

TEST_CASE("a process may run and stop a server") {
  runtime rt({.workers = 2});
  const runtime_scope in(rt);
  const auto done = spawn_monitor([] {
    const http_server server = run_server([] { return text("hello"); }, {.port = 0});
    server.stop(1s);
  });
  CHECK(done.who);
  CHECK(eventually([&] { return !alive(done.who); }));
}
