// SPDX-License-Identifier: Apache-2.0
//
// WebSockets: a real server, and clients that speak the protocol frame by frame.
#include <coppice/app/websocket.hpp>
#include <coppice/process/timer.hpp>

#include <doctest/doctest.h>

#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>

#include "support/eventually.hpp"
#include "support/http/http_world.hpp"
#include "support/http/ws_client.hpp"
#include "support/http/ws_deflate.hpp"

using namespace coppice;
using namespace coppice::testing;

namespace {

struct tick {
  int number;
};
struct never_sent {};

std::atomic<int> running = 0;
std::atomic<int> entered = 0;
std::atomic<int> closed_with = 0;
std::atomic<bool> subscribed = false;
std::atomic<int> timeouts = 0;
pid subscriber;
std::mutex said_lock;
std::string said_at_close;

/// In a handler: how many run, and how it ended for the last one.
struct watched {
  explicit watched(ws_connection& w) : ws(w) { ++running, ++entered; }
  ~watched() {
    closed_with = static_cast<int>(ws.close_code());
    {
      std::lock_guard held(said_lock);
      said_at_close = ws.close_reason();
    }
    --running;
  }
  ws_connection& ws;
};

void subscribe() {
  subscriber = self();
  subscribed = true;
}
void wait_for_subscriber() {
  CHECK(eventually([] { return subscribed.load(); }));
  subscribed = false;
}

void echo(ws_connection& ws) {
  const watched w(ws);
  while (const auto m = ws.read()) m->is_binary ? ws.send_binary(m->data) : ws.send(m->data);
}

void feed(ws_connection& ws) {
  const watched w(ws);
  send(self(), never_sent{});  // what no clause takes stays where it is
  subscribe();
  while (ws.receive([&](const ws_message& m) { ws.send("peer " + m.data); },
                    [&](const tick& t) { ws.send("tick " + std::to_string(t.number)); })) {}
  const bool kept = receive<never_sent>(0s).has_value();
  CHECK(kept);
}

router app(const websocket_options& o = {}) {
  return router{
      get("/", [] { return text("hello"); }),
      websocket("/echo", &echo, o),
      websocket("/feed", &feed, o),
      websocket("/rooms/:room",
                [](ws_connection& ws) {
                  ws.send(ws.request().parameter("room") + " " + ws.request().query("as").value_or("") + " " +
                          std::string(ws.request().header("X-Test").value_or("")) + " " + std::string(ws.protocol()));
                  ws.read();
                  ws.send(std::string(ws.request().path()));
                },
                {.protocols = {"chat.v2", "chat.v1"}}),
      websocket("/hangs_up", [](ws_connection& ws) { ws.close(ws_close_code::policy_error, "not here"); },
                {.close_timeout = 50ms}),
      websocket("/returns", [](ws_connection&) {}),
      websocket("/throws", [](ws_connection&) { throw std::runtime_error("no"); }),
      websocket("/sleeps",
                [](ws_connection& ws) {
                  const watched w(ws);
                  sleep_for(1h);
                }),
      websocket("/patient",
                [](ws_connection& ws) {
                  CHECK_FALSE(ws.read(1ms).has_value());
                  CHECK(ws.is_open());
                  ws.receive([](const ws_message&) {}, after(1ms, [] { ++timeouts; }));
                  CHECK(ws.is_open());
                  ws.send("now");
                  CHECK(ws.read()->data == "late");
                }),
      websocket("/misuse",
                [](ws_connection& ws) {
                  CHECK_THROWS_AS(ws.send("\xff"), std::invalid_argument);
                  CHECK_THROWS_AS(ws.ping(std::string(126, 'x')), std::invalid_argument);
                  CHECK_THROWS_AS(ws.close(ws_close_code::abnormal), std::invalid_argument);
                  CHECK_THROWS_AS(ws.close(ws_close_code::normal, std::string(124, 'x')), std::invalid_argument);
                  ws.ping("hi");
                  ws.close(static_cast<ws_close_code>(4000));
                  CHECK_FALSE(ws.read().has_value());
                  CHECK_FALSE(ws.try_send("x").has_value());
                  CHECK_THROWS_AS(ws.send("x"), ws_closed);
                  CHECK(ws.close_code() == static_cast<ws_close_code>(4000));
                  ws.close();
                }),
      websocket("/floods",
                [](ws_connection& ws) {
                  const watched w(ws);
                  const std::string piece(100'000, 'x');
                  for (;;) ws.send(piece);
                }),
  };
}

struct ws_world : http_world {
  explicit ws_world(const websocket_options& w = {}, http_server_options o = {}) : http_world(app(w), std::move(o)) {}
  ws_client connect(std::string_view path, std::string_view lines = {}, std::string_view behind = {}) const {
    return ws_client(server.port(), path, lines, behind);
  }
  bool all_is_quiet() const {
    return eventually([&] { return running == 0 && server.statistics().connections == 0; });
  }
};

}  // namespace

TEST_CASE("what a client sends comes back, text and binary, of any size") {
  ws_world w;
  ws_client c = w.connect("/echo");
  for (const std::size_t size : {0, 1, 125, 126, 65535, 65536, 1'000'000}) {
    const std::string payload(size, 'x');
    c.send(payload);
    CHECK((c.read() == payload));
  }
  c.send_frame(ws_binary, "\xff\x00\x01");
  CHECK(c.read_frame().opcode == ws_binary);
  c.send("Grüße");
  CHECK(c.read() == "Grüße");
  c.send_close(1000, "bye");
  CHECK(c.read_frame().close_code() == 1000);
  CHECK(c.http.is_closed());
  CHECK(eventually([] { return running == 0; }));
  CHECK(closed_with == 1000);
  CHECK(said_at_close == "bye");
}

TEST_CASE("messages that come together are all handled, whatever parts they are read in") {
  ws_world w;
  for (const std::size_t size : {500u, 1528u, 4088u, 16368u}) {  // with its frame, 1536 is what Beast reads at a time
    ws_client c = w.connect("/echo");
    const std::string message(size, 'm');
    std::string burst;
    for (int i = 0; i < 12; ++i) burst += ws_bytes(0x81, message);
    c.http.send(burst);
    for (int i = 0; i < 12; ++i) REQUIRE(c.read() == message);
  }
}

TEST_CASE("frames may come behind the request, in pieces, byte by byte") {
  ws_world w;
  ws_client c = w.connect("/echo", {}, ws_bytes(0x81, "one") + ws_bytes(0x81, "two") + ws_bytes(0x01, "th"));
  CHECK(c.read() == "one");
  CHECK(c.read() == "two");
  c.http.send(ws_bytes(0x89, "ping") + ws_bytes(0x00, "r"));
  const ws_frame pong = c.read_frame();
  CHECK(pong.opcode == ws_pong);
  CHECK(pong.payload == "ping");
  c.http.send(ws_bytes(0x80, "ee"));
  CHECK(c.read() == "three");
  for (const char byte :
       ws_bytes(0x01, "fo") + ws_bytes(0x89, "p") + ws_bytes(0x80, "ur") + ws_bytes(0x81, std::string(200, 'x')))
    c.http.send({&byte, 1});
  CHECK(c.read_frame().opcode == ws_pong);
  CHECK(c.read() == "four");
  CHECK(c.read() == std::string(200, 'x'));
}

TEST_CASE("a message behind the request is found wherever the one before it ends") {
  ws_world w({.idle_timeout = 5s});
  for (const std::size_t size : {504u, 512u, 520u, 1520u, 1528u, 1536u, 1544u, 4088u, 4096u, 4104u}) {
    const std::string first(size - 8, 'x');         // with a head of eight bytes
    ws_client c = w.connect("/feed", {}, ws_bytes(0x81, first) + ws_bytes(0x81, "second"));
    CHECK(c.read() == "peer " + first);
    CHECK(c.read() == "peer second");
  }
  subscribed = false;
}

TEST_CASE("a request that is none for a WebSocket is told so") {
  ws_world w;
  const http_answer plain = w.ask(get_request("/echo"));
  CHECK(plain.status == 426);
  CHECK(plain.header("Upgrade") == "websocket");
  CHECK(plain.header("Sec-WebSocket-Version") == "13");
  const std::string upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
  const std::string key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
  CHECK(w.ask(get_request("/echo", upgrade + key + "Sec-WebSocket-Version: 8\r\n")).status == 426);
  CHECK(w.ask(get_request("/echo", upgrade + key)).status == 426);
  CHECK(w.ask(get_request("/echo", upgrade + "Sec-WebSocket-Version: 13\r\n")).status == 400);
  CHECK(w.ask(get_request("/echo", upgrade + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n")).status == 400);
  CHECK(w.ask(get_request("/echo", upgrade + key + key + "Sec-WebSocket-Version: 13\r\n")).status == 400);
  CHECK(w.ask("POST /echo HTTP/1.1\r\nHost: x\r\n\r\n").status == 405);
  CHECK(w.ask(ws_request("/")).body == "hello");
  CHECK(w.ask(ws_request("/nowhere")).status == 404);
}

TEST_CASE("a page of another site cannot connect, unless it is allowed to") {
  ws_world w;
  const std::string scheme = certificates_of_worlds().empty() ? "http" : "https";
  const std::string port = std::to_string(w.server.port());
  const auto status_for = [&](const ws_world& of, std::string_view origin) {
    http_client c = of.client();
    c.send("GET /echo HTTP/1.1\r\nHost: localhost:" + port + "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + std::string(origin) + "\r\n");
    return c.read(true).status;
  };
  CHECK(status_for(w, "") == 101);
  CHECK(status_for(w, "Origin: " + scheme + "://localhost:" + port + "\r\n") == 101);
  for (const char* page : {"http://evil.com", "null", "http://localhost", "https://localhost:1"})
    CHECK_MESSAGE(status_for(w, "Origin: " + std::string(page) + "\r\n") == 403, page);
  const ws_world open({.allowed_origins = {"http://friend.example"}});
  CHECK(status_for(open, "Origin: http://friend.example\r\n") == 101);
  CHECK(status_for(open, "Origin: http://evil.com\r\n") == 403);
  CHECK(w.all_is_quiet());
}

TEST_CASE("the request stays with the handler, and a subprotocol is agreed on") {
  ws_world w;
  ws_client c = w.connect("/rooms/a%20b?as=me", "X-Test: yes\r\nSec-WebSocket-Protocol: chat.v1, chat.v2\r\n");
  CHECK(c.handshake.header("Sec-WebSocket-Protocol") == "chat.v2");
  CHECK(c.handshake.header("Server") == "coppice");
  CHECK(c.read() == "a b me yes chat.v2");
  c.send("x");
  CHECK(c.read() == "/rooms/a%20b");
  CHECK(c.read_close() == 1000);
  ws_client other = w.connect("/rooms/b", "Sec-WebSocket-Protocol: smoke.signals\r\n");
  CHECK(other.handshake.header("Sec-WebSocket-Protocol").empty());
  CHECK(other.read() == "b   ");
}

TEST_CASE("what the protocol forbids is answered with the code for it") {
  ws_world w({.max_message_bytes = 1000});
  const std::pair<std::string, int> cases[] = {
      {ws_bytes(0x81, "unmasked", false), 1002},
      {ws_bytes(0x83, "reserved opcode"), 1002},
      {ws_bytes(0x8b, "reserved control"), 1002},
      {ws_bytes(0xc1, "compressed, which was not agreed on"), 1002},
      {ws_bytes(0x80, "a continuation of nothing"), 1002},
      {ws_bytes(0x01, "a") + ws_bytes(0x81, "a new message inside of one"), 1002},
      {ws_bytes(0x09, "a ping in pieces"), 1002},
      {ws_bytes(0x89, std::string(126, 'x')), 1002},
      {ws_bytes(0x88, "x"), 1002},
      {ws_bytes(0x88, "\x03\xed"), 1002},
      {ws_bytes(0x88, "\x03\xe8\xff"), 1002},
      {ws_bytes(0x81, "\xff"), 1007},
      {ws_bytes(0x81, "\xed\xa0\x80"), 1007},
      {ws_bytes(0x81, "cut \xe2\x82"), 1007},
      {ws_bytes(0x01, "\xe2\x82") + ws_bytes(0x80, "x"), 1007},
      {ws_bytes(0x81, std::string(1001, 'x')), 1009},
      {ws_bytes(0x01, std::string(600, 'x')) + ws_bytes(0x80, std::string(600, 'x')), 1009},
      {std::string("\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04", 14), 1009},
      {std::string("\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04", 14), 1009},
  };
  for (const auto& [bytes, code] : cases) {
    {
      ws_client c = w.connect("/echo");
      c.http.send(bytes);
      const ws_frame f = c.read_frame();
      CHECK_MESSAGE(f.opcode == ws_close, code);
      CHECK_MESSAGE(f.close_code() == code, bytes.substr(0, 20));
      CHECK(c.http.is_closed());
    }
    CHECK(w.all_is_quiet());
    CHECK(closed_with == code);
  }
  ws_client good = w.connect("/echo");
  good.http.send(ws_bytes(0x01, "\xe2\x82") + ws_bytes(0x80, "\xac"));
  CHECK(good.read() == "€");
  CHECK(http_world::crashes() == 0);
}

TEST_CASE("messages of the client and of other processes reach the handler alike") {
  ws_world w;
  ws_client c = w.connect("/feed");
  wait_for_subscriber();
  for (int i = 0; i < 50; ++i) {
    send(subscriber, tick{i});
    CHECK(c.read() == "tick " + std::to_string(i));
    c.send(std::to_string(i));
    CHECK(c.read() == "peer " + std::to_string(i));
  }
  std::thread other([] {
    for (int i = 0; i < 1000; ++i) send(subscriber, tick{i});
  });
  for (int i = 0; i < 1000; ++i) c.send(std::to_string(i));
  int ticks = 0;
  int peers = 0;
  while (ticks + peers < 2000) {
    const std::string got = c.read();
    if (got.starts_with("tick"))
      CHECK(got == "tick " + std::to_string(ticks++));
    else
      CHECK(got == "peer " + std::to_string(peers++));
  }
  other.join();
  c.send_close(4242, "enough");
  CHECK(c.read_frame().close_code() == 4242);
  CHECK(eventually([] { return running == 0; }));
  CHECK(closed_with == 4242);
}

TEST_CASE("a message from another process may come between any two bytes of the client's") {
  ws_world w;
  ws_client c = w.connect("/feed");
  wait_for_subscriber();
  int ticks = 0;
  std::string pongs;
  std::string peers;
  const auto next = [&] {
    const ws_frame f = c.read_frame();
    REQUIRE(f.opcode >= 0);
    if (f.opcode == ws_pong) return pongs += f.payload, false;
    if (!f.payload.starts_with("tick")) return peers += f.payload + ";", false;
    CHECK(f.payload == "tick " + std::to_string(ticks++));
    return true;
  };
  int sent = 0;
  // `held_up`: up to this byte of a frame the mailbox waits, too, in the middle of a message.
  const auto drip = [&](const std::string& bytes, std::size_t held_up = 0) {
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      c.http.send({&bytes[i], 1});
      send(subscriber, tick{sent++});
      if (i + 1 < held_up) continue;
      while (ticks < sent) next();
    }
  };
  constexpr std::size_t head = 6;
  drip(ws_bytes(0x81, "whole"));
  drip(ws_bytes(0x89, "ping"));
  drip(ws_bytes(0x01, "fir"));
  drip(ws_bytes(0x89, "pong"), head + 4);
  drip(ws_bytes(0x00, "s"), head);
  drip(ws_bytes(0x00, ""), head);
  drip(ws_bytes(0x80, "t"), head);
  drip(ws_bytes(0x81, std::string(130, 'x')));
  drip(ws_bytes(0x81, ""));
  c.send("end");
  while (!peers.ends_with("end;")) next();
  CHECK(peers == "peer whole;peer first;peer " + std::string(130, 'x') + ";peer ;peer end;");
  CHECK(pongs == "pingpong");
}

TEST_CASE("waiting for a message may have a limit") {
  ws_world w;
  timeouts = 0;
  ws_client c = w.connect("/patient");
  CHECK(c.read() == "now");
  CHECK(timeouts == 1);
  c.send("late");
  CHECK(c.read_close() == 1000);
}

TEST_CASE("a handler closes in its own words, and waits for the client's only so long") {
  ws_world w;
  ws_client c = w.connect("/hangs_up");
  const ws_frame f = c.read_frame();
  CHECK(f.close_code() == 1008);
  CHECK(f.payload.substr(2) == "not here");
  CHECK(c.http.is_closed());  // without an answer
  CHECK(w.connect("/returns").read_close() == 1000);
  CHECK(http_world::crashes() == 0);
  CHECK(w.connect("/throws").read_close() == 1011);
  CHECK(eventually([] { return http_world::crashes() == 1; }));
}

TEST_CASE("what must not be sent is not sent") {
  ws_world w;
  ws_client c = w.connect("/misuse");
  const ws_frame ping = c.read_frame();
  CHECK(ping.opcode == ws_ping);
  CHECK(ping.payload == "hi");
  c.send_frame(ws_pong, "hi");
  CHECK(c.read_close() == 4000);
  CHECK(http_world::crashes() == 0);
}

TEST_CASE("a client that is gone without a word ends the handler's loop") {
  ws_world w;
  {
    ws_client c = w.connect("/echo");
    c.send("x");
    CHECK(c.read() == "x");
  }
  CHECK(w.all_is_quiet());
  CHECK(closed_with == 1006);
  {
    ws_client c = w.connect("/feed");
    wait_for_subscriber();
    c.http.reset();
  }
  CHECK(w.all_is_quiet());
  CHECK(closed_with == 1006);
}

TEST_CASE("an idle client is pinged, and given up if it does not answer") {
  ws_world w({.idle_timeout = 100ms});
  ws_client silent = w.connect("/echo");
  CHECK(silent.read_frame().opcode == ws_ping);
  CHECK(silent.http.is_closed());
  CHECK(eventually([] { return running == 0; }));
  CHECK(closed_with == 1006);
  CHECK(eventually([&] {                           // once it answers in time
    ws_client answers = w.connect("/feed");
    wait_for_subscriber();
    for (int i = 0; i < 5; ++i) {
      if (answers.read_frame().opcode != ws_ping) return false;
      answers.send_frame(ws_pong, "");
    }
    send(subscriber, tick{1});
    for (;;) {
      const ws_frame f = answers.read_frame();
      if (f.opcode != ws_ping) return f.opcode == ws_text && f.payload == "tick 1";
      answers.send_frame(ws_pong, "");
    }
  }));
}

TEST_CASE("a client that reads nothing holds up its own handler, and no longer than the limit") {
  ws_world w({}, {.write_timeout = 100ms});
  const int before = entered;
  ws_client c = w.connect("/floods");
  CHECK(eventually([&] { return entered > before; }));
  CHECK(w.ask(get_request("/")).body == "hello");
  CHECK(eventually([] { return running == 0; }));
  CHECK(closed_with == 1006);
  CHECK(http_world::crashes() == 0);
}

TEST_CASE("a server that stops says good-bye to its clients") {
  ws_world w;
  ws_client reading = w.connect("/echo");
  ws_client receiving = w.connect("/feed");
  wait_for_subscriber();
  ws_client in_the_middle = w.connect("/echo");
  in_the_middle.http.send(ws_bytes(0x01, "half of a mess"));
  in_the_middle.http.send(ws_bytes(0x89, ""));
  CHECK(in_the_middle.read_frame().opcode == ws_pong);
  std::thread stopper([&] { CHECK(w.server.stop(1min).cut_off == 0); });
  CHECK(reading.read_close() == 1001);
  CHECK(receiving.read_close() == 1001);
  CHECK(in_the_middle.read_close() == 1001);
  stopper.join();
  CHECK(running == 0);
  CHECK(closed_with == 1001);
}

TEST_CASE("a server that stops cuts off a handler that does not look at its client") {
  ws_world w;
  ws_client c = w.connect("/sleeps");
  CHECK(eventually([] { return running == 1; }));
  CHECK(w.server.stop(20ms).cut_off == 1);
  CHECK(c.http.is_closed());
  CHECK(eventually([] { return running == 0; }));
}

TEST_CASE("a restart lets WebSockets go on until its limit, then says so") {
  ws_world w;
  ws_client c = w.connect("/feed");
  wait_for_subscriber();
  ws_client asleep = w.connect("/sleeps");
  CHECK(eventually([] { return running == 2; }));
  std::thread restarter([&] {                      // the two, and perhaps a request that came just before
    const std::size_t cut_off = w.server.restart([] { return text("new"); }, 100ms).cut_off;
    CHECK((cut_off == 2 || cut_off == 3));
  });
  CHECK(eventually([&] { return w.ask(get_request("/")).body == "new"; }));
  c.send("still here?");
  const ws_frame f = c.read_frame();
  if (f.opcode == ws_text)
    CHECK(c.read_close() == 1012);
  else
    CHECK(f.close_code() == 1012);
  restarter.join();
  CHECK(asleep.http.is_closed());
  CHECK(eventually([] { return running == 0; }));
}

TEST_CASE("messages are compressed where both want it") {
  ws_world w({.max_message_bytes = 50'000, .deflate = true});
  const std::string offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
  ws_client plain = w.connect("/echo");
  CHECK(plain.handshake.header("Sec-WebSocket-Extensions").empty());
  plain.send("plain");
  CHECK(plain.read() == "plain");
  ws_client c = w.connect("/feed", offer);
  wait_for_subscriber();
  CHECK(c.handshake.header("Sec-WebSocket-Extensions").starts_with("permessage-deflate"));
  const std::string hello("\xf2\x48\xcd\xc9\xc9\x07\x00", 7);  // RFC 7692, 7.2.3.1
  c.http.send(ws_bytes(0xc1, hello));
  const ws_frame f = c.read_frame();
  CHECK(f.is_compressed);
  CHECK(inflater()(f.payload) == "peer Hello");
  const std::string pieces = ws_bytes(0x41, hello.substr(0, 3)) + ws_bytes(0x80, hello.substr(3));
  for (const char byte : pieces) {
    c.http.send({&byte, 1});
    send(subscriber, tick{7});
  }
  int ticks = 0;
  bool peer = false;
  while (ticks < static_cast<int>(pieces.size()) || !peer) {
    const ws_frame g = c.read_frame();
    REQUIRE(g.opcode == ws_text);
    // The server's window goes on from message to message: only the length tells, here.
    (g.payload.size() <= 2 + std::string("tick 7").size() && ticks < static_cast<int>(pieces.size()))
        ? ++ticks
        : (peer = true, 0);
  }
  CHECK(ticks == static_cast<int>(pieces.size()));
  ws_client bomb = w.connect("/echo", offer);
  const std::string small = deflated(std::string(60'000, 'x'));
  CHECK(small.size() < 1000);
  bomb.http.send(ws_bytes(0xc1, small));
  CHECK(bomb.read_frame().close_code() == 1009);
  ws_client nonsense = w.connect("/echo", offer);
  nonsense.http.send(ws_bytes(0xc1, "\xff\xff\xff\xff\xff"));
  CHECK(nonsense.read_frame().opcode != ws_text);
  CHECK(w.connect("/echo").http.send(""));
}

TEST_CASE("WebSockets that come and go leave nothing behind") {
  ws_world w;
  for (int round = 0; round < testing::rounds(3, 20); ++round) {
    std::vector<ws_client> all;
    for (int i = 0; i < 60; ++i) {
      all.push_back(w.connect(i % 3 == 0 ? "/feed" : "/echo"));
      if (i % 4 == 1) all.back().send("x");
      if (i % 4 == 2) all.back().http.send(ws_bytes(0x81, "half").substr(0, 5));
      if (i % 4 == 3) all.back().send_close(1000);
      if (i % 5 == 0) all.back().http.reset();
    }
  }
  CHECK(w.ask(get_request("/")).body == "hello");
  CHECK(w.all_is_quiet());
  CHECK(http_world::crashes() == 0);
  subscribed = false;
}
