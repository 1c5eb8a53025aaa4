// SPDX-License-Identifier: Apache-2.0
//
// A connection is a process: it is listed, watched, and ended by itself.
#include <coppice/app/event_stream.hpp>
#include <coppice/app/websocket.hpp>
#include <coppice/process/receive.hpp>
#include <coppice/process/timer.hpp>

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <thread>
#include <vector>

#include "support/eventually.hpp"
#include "support/http/http_world.hpp"

using namespace coppice;
using namespace coppice::testing;

namespace {

std::atomic<int> handlers = 0;
struct counted_handler {
  counted_handler() { ++handlers; }
  ~counted_handler() { --handlers; }
};

router app() {
  return router{
      get("/", [](const http_request& r) { return text(to_text(r.peer())); }),
      get("/waits",
          [] {
            const counted_handler c;
            sleep_for(1h);
            return text("no");
          }),
      get("/streams",
          [] {
            return streamed([](response_writer& out) {
              const counted_handler c;
              out.write("x");
              sleep_for(1h);
            });
          }),
      get("/events",
          [] {
            return stream_events([](event_stream&) {
              const counted_handler c;
              sleep_for(1h);
            });
          }),
      post("/pieces",
           [](const http_request&, request_body& body) {
             const counted_handler c;
             body.read();
             return text("no");
           }),
      websocket("/ws",
                [](ws_connection& ws) {
                  const counted_handler c;
                  while (ws.read()) {}
                }),
  };
}

using states = std::map<std::string, int>;
states states_of(const http_world& w) {
  states all;
  for (const http_connection& c : w.server.connections()) ++all[std::string(to_text(c.state))];
  return all;
}

/// One client in each state.
struct crowd {
  explicit crowd(const http_world& w) {
    const auto add = [&](std::string_view bytes) {
      all.push_back(w.client());
      all.back().send(bytes);
      return --all.end();
    };
    add("");
    add(get_request("/"))->read();
    add("GET / HT");
    add(get_request("/waits"));
    add(get_request("/streams"))->read(true);
    add(get_request("/events"))->read(true);
    add("POST /pieces HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n");
    add(get_request("/ws",
                    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"))
        ->read(true);
  }
  std::vector<http_client> all;
};
const states of_crowd{{"idle", 2}, {"head", 1}, {"request", 2}, {"streaming", 1}, {"events", 1}, {"websocket", 1}};

}  // namespace

TEST_CASE("connections are listed with what they are doing") {
  http_world w(app(), {.head_timeout = 5min});
  CHECK(w.server.connections().empty());
  CHECK(http_server().connections().empty());
  const crowd c(w);
  CHECK(eventually([&] { return states_of(w) == of_crowd; }));
  std::uint64_t requests = 0;
  for (const http_connection& one : w.server.connections()) {
    CHECK(alive(one.who));
    CHECK(to_text(one.peer).starts_with("127.0.0.1:"));
    CHECK(one.peer.port != 0);
    CHECK(one.in_state <= one.open_for);
    requests += one.requests;
  }
  CHECK(requests == 4);  // answered, or begun to be
}

TEST_CASE("a handler knows where its client is") {
  http_world w(app());
  http_client c = w.client();
  const std::string peer = c.ask(get_request("/")).body;
  REQUIRE(w.server.connections().size() == 1);
  CHECK(peer == to_text(w.server.connections()[0].peer));
}

TEST_CASE("a connection is closed by the end of its process, whatever it does, and no other one is") {
  http_world w(app(), {.head_timeout = 5min});
  const runtime_scope in(w.rt);
  http_client other = w.client();
  CHECK(other.ask(get_request("/")).status == 200);
  const pid kept = w.server.connections()[0].who;
  crowd c(w);
  CHECK(eventually([&] { return handlers == 5; }));
  for (const http_connection& one : w.server.connections()) {
    if (one.who == kept) continue;
    const reference watched = monitor(one.who);
    exit(one.who, exit_reason::kill);
    const auto ended = receive<down>(1min);
    REQUIRE(ended.has_value());
    CHECK(ended->ref == watched);
    CHECK(ended->reason.is(exit_reason::killed));
  }
  for (http_client& client : c.all) client.read_to_end();
  CHECK(eventually([&] { return handlers == 0 && w.server.connections().size() == 1; }));
  CHECK(other.ask(get_request("/")).status == 200);
  CHECK(http_world::crashes() == 0);
}

TEST_CASE("connections may be listed while they come and go") {
  http_world w(app());
  std::atomic<bool> over = false;
  std::thread lister([&] {
    while (!over)
      for (const http_connection& c : w.server.connections()) CHECK(c.who);
  });
  for (int round = 0; round < testing::rounds(5, 50); ++round) const crowd c(w);
  over = true;
  lister.join();
  w.server.stop(0s);  // a handler that sleeps does not see its client leave
  CHECK(eventually([&] { return handlers == 0 && w.server.connections().empty(); }));
}
