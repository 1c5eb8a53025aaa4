// SPDX-License-Identifier: Apache-2.0
//
// A server whose handler is replaced while it is used, and one whose listener is killed: no client may notice.
#include <coppice/app/event_stream.hpp>
#include <coppice/app/http_server.hpp>
#include <coppice/app/request_body.hpp>
#include <coppice/app/response_writer.hpp>
#include <coppice/process/process.hpp>
#include <coppice/process/process_info.hpp>

#include <doctest/doctest.h>

#include "support/eventually.hpp"
#include "support/http/http_world.hpp"

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using namespace coppice;
using testing::eventually;
using testing::get_request;
using testing::http_answer;
using testing::http_client;
using testing::http_world;

namespace {

std::atomic<int> alive_handlers = 0;
struct counted {
  counted() { ++alive_handlers; }
  counted(const counted&) { ++alive_handlers; }
  ~counted() { --alive_handlers; }
};

std::atomic<bool> gate = false;
std::atomic<int> at_gate = 0;

void wait_at_gate() {
  struct visit {
    visit() { ++at_gate; }
    ~visit() { --at_gate; }
  } here;
  while (!gate) sleep_for(1ms);
}

/// The `generation`th handler: `/` says which one it is, `/gate` does so when the gate is open.
auto handler(int generation) {
  return [generation, c = counted()](const http_request& r) {
    if (r.path() == "/gate") wait_at_gate();
    return text(std::to_string(generation));
  };
}

struct world : http_world {
  world() : http_world(handler(1), {.head_timeout = 1min}) { gate = false; }
  ~world() { gate = true; }
  std::vector<pid> listeners() {
    const runtime_scope here(rt);
    std::vector<pid> found;
    for (const pid who : processes())
      if (const auto info = process_info(who); info && info->name == "http_listener") found.push_back(who);
    return found;
  }
};

}  // namespace

TEST_CASE("from a restart on the new handler answers, on the connections that there are") {
  world w;
  http_client c = w.client();
  for (int generation = 1; generation < 20; ++generation) {
    REQUIRE(c.ask(get_request("/")).body == std::to_string(generation));
    REQUIRE(w.server.restart(handler(generation + 1), infinity).cut_off == 0);
    REQUIRE(alive_handlers == 1);  // the old one is gone when restart returns
  }
  CHECK(w.server.statistics().accepted == 1);
}

TEST_CASE("half a request that a restart finds is answered by the new handler") {
  world w;
  http_client c = w.client();
  c.send("GET / HTTP/1.1\r\nHo");
  CHECK(eventually([&] { return w.server.statistics().connections == 1; }));
  w.server.restart(handler(2));
  c.send("st: x\r\n\r\n");
  CHECK(c.read().body == "2");
}

TEST_CASE("a restart waits for what is under way; others get the new handler meanwhile") {
  world w;
  http_client slow = w.client();
  slow.send(get_request("/gate"));
  REQUIRE(eventually([] { return at_gate == 1; }));
  std::atomic<bool> done = false;
  std::thread restarter([&] {
    CHECK(w.server.restart(handler(2), infinity).cut_off == 0);
    done = true;
  });
  http_client other = w.client();
  CHECK(eventually([&] { return other.ask(get_request("/")).body == "2"; }));
  CHECK_FALSE(done);
  gate = true;
  CHECK(slow.read().body == "1");
  restarter.join();
  CHECK(slow.ask(get_request("/")).body == "2");
}

TEST_CASE("at the limit a restart cuts off what is under way, with 503") {
  world w;
  std::vector<http_client> slow;
  for (int i = 0; i < 20; ++i) {
    slow.push_back(w.client());
    slow.back().send(get_request("/gate"));
  }
  REQUIRE(eventually([] { return at_gate == 20; }));
  CHECK(w.server.restart(handler(2), 1ms).cut_off == 20);
  for (http_client& c : slow) {
    const http_answer a = c.read();
    CHECK(a.status == 503);
    CHECK(a.header("Connection") == "close");
  }
  CHECK(eventually([] { return at_gate == 0 && alive_handlers == 1; }));
  CHECK(w.client().ask(get_request("/")).body == "2");
}

TEST_CASE("a stop cuts off what is under way, with 503 or a close") {
  world w;
  std::vector<http_client> slow;
  for (int i = 0; i < 20; ++i) {
    slow.push_back(w.client());
    slow.back().send(get_request("/gate"));
  }
  REQUIRE(eventually([] { return at_gate == 20; }));
  CHECK(w.server.stop(2ms).cut_off == 20);
  for (http_client& c : slow) {
    const http_answer a = c.read();
    CHECK((a.status == 503 || a.status == 0));
  }
  CHECK(eventually([] { return at_gate == 0; }));
}

TEST_CASE("a restart waits for streams, too, and ends them at its limit") {
  world w;
  std::atomic<int> reading = 0;
  const auto streams = [&](const http_request& r, request_body& body) -> http_response {
    if (r.path() == "/body") {
      for (++reading; !body.read().empty();) {}
      return text("read");
    }
    if (r.path() == "/events")
      return stream_events([](event_stream& events) {
        events.send({.data = "first"});
        wait_at_gate();
      });
    return streamed([](response_writer& out) {
      out.write("first");
      wait_at_gate();
      out.write("last");
    });
  };
  w.server.restart([&](const http_request& r, request_body& body) { return streams(r, body); });
  {
    http_client c = w.client();
    c.send(get_request("/"));
    CHECK(c.read(true).status == 200);
    CHECK(c.read_chunk() == "first");
    std::atomic<bool> done = false;
    std::thread restarter([&] {
      CHECK(w.server.restart([&](const http_request& r, request_body& body) { return streams(r, body); }, infinity).cut_off == 0);
      done = true;
    });
    CHECK_FALSE(done);
    gate = true;
    CHECK(c.read_chunk() == "last");
    CHECK(c.read_chunk().empty());
    restarter.join();
  }
  gate = false;
  http_client stream = w.client();
  stream.send(get_request("/"));
  CHECK(stream.read(true).status == 200);
  http_client events = w.client();
  events.send(get_request("/events"));
  CHECK(events.read(true).status == 200);
  const auto send_half = [&](http_client c) {
    reading = 0;
    c.send("POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf");
    REQUIRE(eventually([&] { return reading == 1; }));
    return c;
  };
  http_client body = send_half(w.client());
  REQUIRE(eventually([] { return at_gate == 2; }));
  CHECK(w.server.restart(handler(2), 1ms).cut_off >= 3);
  CHECK(stream.read_to_end() == "5\r\nfirst\r\n");               // no end: it was cut off
  CHECK(events.read_to_end().ends_with("\r\n0\r\n\r\n"));       // an end: the client comes again
  int status = body.read().status;
  CHECK(eventually([&] {                           // its handler ends within a second, or it is not told why
    if (status != 0) return status == 503;
    w.server.restart(streams);
    http_client again = send_half(w.client());
    CHECK(w.server.restart(handler(2), 1ms).cut_off >= 1);
    status = again.read().status;
    return false;
  }));
  CHECK(eventually([] { return at_gate == 0; }));
  CHECK(w.client().ask(get_request("/")).body == "2");
}

TEST_CASE("a handler knows that it is one of the server's") {
  world w;
  CHECK_FALSE(w.server.is_answering_here());
  std::atomic<int> here = 0;
  w.server.restart([&] { return here = w.server.is_answering_here() ? 1 : 2, text("x"); });
  CHECK(w.client().ask(get_request("/")).body == "x");
  CHECK(here == 1);
}

TEST_CASE("restarts under load fail no request") {
  world w;
  std::atomic<bool> stop = false;
  std::atomic<int> failed = 0;
  std::atomic<int> answered = 0;
  std::vector<std::thread> clients;
  const auto check = [&](const http_answer& a, int& last) {
    const int generation = a.status == 200 ? std::stoi(a.body) : 0;
    if (generation < last) ++failed;  // a connection never goes back to an old handler
    last = generation;
    ++answered;
  };
  clients.emplace_back([&] {  // one request after the other
    http_client c = w.client();
    for (int last = 1; !stop;) check(c.ask(get_request("/")), last);
  });
  clients.emplace_back([&] {  // pipelines
    http_client c = w.client();
    for (int last = 1; !stop;) {
      std::string ten;
      for (int i = 0; i < 10; ++i) ten += get_request("/");
      c.send(ten);
      for (int i = 0; i < 10; ++i) check(c.read(), last);
    }
  });
  clients.emplace_back([&] {  // a connection for each
    for (int last = 1; !stop;) check(w.client().ask(get_request("/", "Connection: close\r\n")), last);
  });
  const int restarts = testing::rounds(200, 5000);
  for (int generation = 2; generation < restarts + 2; ++generation)
    if (w.server.restart(handler(generation), infinity).cut_off != 0) ++failed;
  CHECK(eventually([&, before = answered.load()] { return answered > before; }));
  stop = true;
  for (std::thread& t : clients) t.join();
  CHECK(failed == 0);
  CHECK(w.server.statistics().failed == 0);
}

TEST_CASE("a listener that is killed is followed by another one with its socket") {
  world w;
  std::atomic<bool> stop = false;
  std::atomic<int> failed = 0;
  std::thread clients([&] {
    while (!stop)
      if (w.client().ask(get_request("/", "Connection: close\r\n")).status != 200) ++failed;
  });
  for (int i = 0; i < 50; ++i) {
    const std::vector<pid> now = w.listeners();
    REQUIRE(now.size() == 1);
    {
      const runtime_scope here(w.rt);
      exit(now.front(), exit_reason::kill);
    }
    REQUIRE(eventually([&] {
      const std::vector<pid> next = w.listeners();
      return next.size() == 1 && next.front() != now.front();
    }));
  }
  stop = true;
  clients.join();
  CHECK(failed == 0);
  CHECK(eventually([] { return testing::report_log::count("http", "another one goes on") == 50; }));
  CHECK(w.server.stop(infinity).cut_off == 0);
  CHECK(eventually([&] { return w.listeners().empty(); }));
  CHECK_FALSE(testing::accepts(w.server.port()));
}
