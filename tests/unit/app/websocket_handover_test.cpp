// SPDX-License-Identifier: Apache-2.0
//
// WebSockets whose handlers allow it go on with another handler when the server is restarted: the client sees one conversation.
#include <coppice/app/event_stream.hpp>
#include <coppice/app/websocket.hpp>
#include <coppice/process/process.hpp>
#include <coppice/process/timer.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/eventually.hpp"
#include "support/http/http_world.hpp"
#include "support/http/ws_client.hpp"
#include "support/http/ws_deflate.hpp"

using namespace coppice;
using namespace coppice::testing;

namespace {

struct tick { int number; };
struct never_sent {};

std::atomic<int> running = 0;
std::atomic<int> entered = 0;
std::atomic<bool> gate = false;
std::atomic<int> at_gate = 0;
std::atomic<bool> late_gate = false;
std::atomic<int> at_late_gate = 0;
pid subscriber;

struct counted {
  counted() { ++running, ++entered; }
  ~counted() { --running; }
};

const websocket_options goes_on{.hand_over = true};

/// Says which handler answers, and counts messages across handlers.
void chat(ws_connection& ws, int generation) {
  const counted c;
  int said = ws.is_resumed() ? std::stoi(std::string(ws.passed_on())) : 0;
  while (const auto m = ws.read()) ws.send(std::to_string(generation) + " " + std::to_string(++said) + " " + m->data);
  CHECK_FALSE(ws.is_open());
  ws.pass_on(std::to_string(said));
}

void feed(ws_connection& ws, int generation) {
  const counted c;
  if (generation == 1) {
    subscriber = self();
    ++at_gate;
  }
  while (ws.receive([&](const ws_message& m) { ws.send("peer " + m.data); },
                    [&](const tick& t) { ws.send("tick " + std::to_string(t.number)); },
                    [](never_sent) { CHECK(false); })) {}
  CHECK_THROWS_AS(static_cast<void>(ws.read()), ws_closed);  // it was told already
  CHECK_THROWS_AS(static_cast<void>(ws.receive([](const ws_message&) {})), ws_closed);
  if (ws.is_handed_over()) ws.send("good-bye from " + std::to_string(generation));
}

router app(int generation, const websocket_options& o = goes_on) {
  const auto with = [generation](void (*f)(ws_connection&, int)) { return [=](ws_connection& ws) { f(ws, generation); }; };
  websocket_options strict = o;
  strict.hand_over = generation == 1;
  websocket_options versioned = o;
  versioned.protocols = {generation == 1 ? "v1" : "v2", "v0"};
  return router{
      get("/", [generation] { return text(std::to_string(generation)); }),
      websocket("/chat", with(&chat), o),
      websocket("/feed", with(&feed), o),
      websocket("/strict", with(&chat), strict),
      websocket("/versioned", with(&chat), versioned),
      // The route names another part of the path now.
      websocket(generation == 1 ? "/rooms/:room" : "/:kind/:number<int>",
                [generation](ws_connection& ws) {
                  const counted c;
                  while (ws.read())
                    ws.send(ws.request().parameter(generation == 1 ? "room" : "number") + " " + std::string(ws.request().header("X-Test").value_or("none")) +
                            " " + ws.request().query("as").value_or(""));
                }, o),
      websocket("/closes",
                [](ws_connection& ws) {
                  const counted c;
                  while (ws.read()) {}
                  if (ws.is_handed_over()) ws.close(static_cast<ws_close_code>(4000), "no");
                  CHECK_FALSE(ws.is_handed_over());
                }, o),
      websocket("/busy",
                [generation](ws_connection& ws) {
                  const counted c;
                  while (const auto m = ws.read()) {
                    for (++at_gate; !gate;) sleep_for(1ms);
                    ws.send(m->data + std::to_string(generation));
                  }
                }, o),
      websocket("/while_open",
                [generation](ws_connection& ws) {
                  const counted c;
                  while (ws.is_open())
                    if (const auto m = ws.read(1ms)) ws.send(m->data + std::to_string(generation));
                }, o),
      websocket("/regardless",                     // does not ask whether it has anything to read any more
                [generation](ws_connection& ws) {
                  const counted c;
                  for (;;)
                    if (const auto m = ws.read(1ms)) ws.send(m->data + std::to_string(generation));
                }, o),
      // The second handler comes late, and is to be skipped.
      group("/late", use([generation](const http_request& r, const http_handler& next) {
              if (generation == 2)
                for (++at_late_gate; !late_gate;) sleep_for(1ms);
              return next(r);
            }),
            websocket("/chat", with(&chat), o),
            websocket("/busy",
                      [generation](ws_connection& ws) {
                        const counted c;
                        if (ws.is_resumed()) ws.send("resumed by " + std::to_string(generation));
                        while (const auto m = ws.read()) {
                          for (++at_gate; !gate;) sleep_for(1ms);
                          ws.send(m->data + std::to_string(generation));
                        }
                      }, o)),
      websocket("/fails",
                [](ws_connection& ws) {
                  const counted c;
                  if (ws.is_resumed()) throw std::runtime_error("on purpose");
                  while (ws.read()) {}
                }, o),
      websocket("/misuse",
                [](ws_connection& ws) {
                  CHECK_THROWS_AS(ws.pass_on(std::string(4097, 'x')), std::invalid_argument);
                  CHECK_FALSE(ws.is_resumed());
                  CHECK(ws.passed_on().empty());
                  CHECK_FALSE(ws.is_handed_over());
                }, o),
      group(generation == 1 ? "/old" : "/none", websocket("/route", with(&chat), o)),
      generation == 1 ? websocket("/becomes/page", with(&chat), o) : get("/becomes/page", [] { return text("a page"); }),
      generation == 1 ? websocket("/becomes/events", with(&chat), o)
                      : get("/becomes/events", [] { return stream_events([](event_stream& out) { out.send({.data = "x"}); }); }),
      generation == 1 ? websocket("/becomes/crash", with(&chat), o)
                      : get("/becomes/crash", []() -> http_response { throw std::runtime_error("on purpose"); }),
      generation == 1 ? websocket("/becomes/other", with(&chat), o) : get("/becomes/other", [] {
        return http_response{.status = 101, .stream = [](response_writer& out) { out.write("no frame"); }};
      }),
  };
}

struct ws_world : http_world {
  explicit ws_world(const websocket_options& w = goes_on, http_server_options o = {}) : http_world(app(1, w), std::move(o)) {
    gate = late_gate = false;
    at_gate = at_late_gate = 0;
    entered = 0;
  }
  ws_client connect(std::string_view path, std::string_view lines = {}, std::string_view behind = {}) const {
    return ws_client(server.port(), path, lines, behind);
  }
  std::size_t restart(int generation = 2, duration limit = 1min) { return server.restart(app(generation), limit).cut_off; }
  bool all_is_quiet() const {
    return eventually([&] { return running == 0 && server.statistics().connections == 0; });
  }
};

}  // namespace

TEST_CASE("a restart hands WebSockets over to the new handlers, with what the old ones pass on") {
  ws_world w;
  ws_client c = w.connect("/chat");
  ws_client silent = w.connect("/chat");           // is handed over before its first message
  CHECK(eventually([] { return running == 2; }));
  for (int generation = 1; generation < 20; ++generation) {
    c.send("hello");
    const std::string n = std::to_string(generation);
    REQUIRE(c.read() == n + " " + n + " hello");
    REQUIRE(w.restart(generation + 1) == 0);
  }
  silent.send("so late");
  CHECK(silent.read() == "20 1 so late");
  CHECK(w.server.statistics().accepted == 2);
  CHECK(eventually([] { return running == 2; }));
  c.send_close(1000);
  CHECK(c.read_close(false) == 1000);
  CHECK(silent.send_close(1000));
  CHECK(silent.read_close(false) == 1000);
  CHECK(w.all_is_quiet());
  CHECK(http_world::crashes() == 0);
}

TEST_CASE("a client that has long been silent is handed over at once") {
  websocket_options o = goes_on;
  o.idle_timeout = infinity;
  ws_world w(o);
  ws_client c = w.connect("/chat");
  // After a second of silence its handler has put things in order, and nothing but a client or a restart will wake it.
  CHECK(eventually([&] {
    const auto all = w.server.connections();
    return all.size() == 1 && all.front().state == http_connection_state::websocket && all.front().in_state > 1500ms;
  }));
  CHECK(w.server.restart(app(2, o), 1min).cut_off == 0);
  c.send("x");
  CHECK(c.read() == "2 1 x");
}

TEST_CASE("the new handler gets the request as its own route reads it") {
  ws_world w;
  ws_client c = w.connect("/rooms/7?as=x", "X-Test: kept\r\nContent-Length: 0\r\n");
  c.send("?");
  CHECK(c.read() == "7 kept x");
  CHECK(w.restart() == 0);
  c.send("?");
  CHECK(c.read() == "7 kept x");
  CHECK(entered == 2);
}

TEST_CASE("a message whose parts come before and behind a restart is the old handler's, what follows is the new one's") {
  ws_world w;
  ws_client c = w.connect("/chat");
  c.http.send(ws_bytes(0x01, "first half, "));
  c.http.send(ws_bytes(0x89, "?"));
  CHECK(c.read_frame().opcode == ws_pong);         // all of it has been read
  std::thread restarter([&] { CHECK(w.restart() == 0); });
  CHECK(eventually([&] { return w.ask(get_request("/")).body == "2"; }));
  const std::string rest = ws_bytes(0x89, "??") + ws_bytes(0x80, "second half") + ws_bytes(0x89, "???") + ws_bytes(0x81, "more");
  for (const char byte : rest) c.http.send({&byte, 1});
  CHECK(c.read_frame().payload == "??");
  CHECK(c.read() == "1 1 first half, second half");
  CHECK(c.read_frame().payload == "???");
  CHECK(c.read() == "2 2 more");
  restarter.join();
}

TEST_CASE("a client that is always ahead is handed over at the next message's end, not when it has nothing more to say") {
  ws_world w;
  ws_client c = w.connect("/busy");
  // Frames of 112 bytes behind one of 113: reads of any round size end in the middle of one.
  std::string all = ws_bytes(0x81, "1000" + std::string(103, 'x'));
  for (int i = 1; i < 1000; ++i) all += ws_bytes(0x81, std::to_string(1000 + i) + std::string(102, 'x'));
  c.http.send(all);
  CHECK(eventually([] { return at_gate == 1; }));
  std::thread restarter([&] { CHECK(w.restart() == 0); });
  CHECK(eventually([&] { return w.ask(get_request("/")).body == "2"; }));
  gate = true;
  int of_the_old = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::string answer = c.read();
    REQUIRE(answer.starts_with(std::to_string(1000 + i) + "x"));
    if (answer.ends_with("1")) ++of_the_old;
  }
  CHECK(of_the_old < 50);                          // those that were read already
  restarter.join();
}

TEST_CASE("of messages that come without a pause none is lost, repeated or out of order") {
  for (const bool deflate : {false, true}) {
    websocket_options o = goes_on;
    o.deflate = deflate;
    ws_world w(o);
    constexpr int clients = 4;
    const int messages = testing::rounds(400, 30'000);
    std::atomic<int> done = 0;
    std::atomic<int> current = 1;
    std::vector<std::thread> all;
    for (int i = 0; i < clients; ++i)
      all.emplace_back([&, i] {
        ws_client c = w.connect("/chat", deflate ? "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n" : "");
        inflater inflate;
        std::thread sender([&] {
          std::string together;
          for (int n = 1; n <= messages; ++n) {
            const std::string text = std::to_string(n) + std::string(static_cast<std::size_t>(n % 7 == 0 ? 1500 : n % 40), 'x');
            together += deflate ? ws_bytes(0xc1, deflated(text)) : ws_bytes(0x81, text);
            if (n % (i + 1) == 0) c.http.send(std::exchange(together, {}));
            if (n == messages / 2) CHECK(eventually([&] { return current > 2; }));  // in the middle at the latest
          }
          c.http.send(together);
        });
        int generation = 0;
        for (int n = 1; n <= messages; ++n) {
          const ws_frame f = c.read_frame();
          REQUIRE(f.opcode == ws_text);
          const std::string answer = f.is_compressed ? inflate(f.payload) : f.payload;
          const std::string number = std::to_string(n);
          const std::size_t space = answer.find(' ');
          REQUIRE(answer.substr(space + 1).starts_with(number + " " + number));
          REQUIRE(std::stoi(answer) >= generation);
          generation = std::stoi(answer);
        }
        sender.join();
        ++done;
      });
    for (int generation = 2; done < clients; ++generation) {
      CHECK(w.server.restart(app(generation, o), 1min).cut_off == 0);
      current = generation;
    }
    for (std::thread& t : all) t.join();
    CHECK(w.all_is_quiet());
  }
  CHECK(http_world::crashes() == 0);
}

TEST_CASE("a compressed connection goes on compressed, also where the new handler would not begin so") {
  websocket_options o = goes_on;
  o.deflate = true;
  ws_world w(o);
  const std::string offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
  ws_client c = w.connect("/chat", offer);
  CHECK(c.handshake.header("Sec-WebSocket-Extensions").find("client_no_context_takeover") != std::string::npos);
  ws_client plain = w.connect("/chat");
  inflater inflate;
  for (int generation = 1; generation < 5; ++generation) {
    const std::string n = std::to_string(generation) + " " + std::to_string(generation) + " ";
    const std::string text = "Hello, Hello, Hello";
    c.http.send(ws_bytes(0xc1, deflated(text)));
    const ws_frame f = c.read_frame();
    REQUIRE(f.is_compressed);
    REQUIRE(inflate(f.payload) == n + text);
    plain.send(text);
    REQUIRE(plain.read() == n + text);
    o.deflate = false;
    REQUIRE(w.server.restart(app(generation + 1, o), 1min).cut_off == 0);
  }
}

TEST_CASE("what is in a handler's mailbox does not keep it, and it can still speak") {
  ws_world w;
  ws_client c = w.connect("/feed");
  CHECK(eventually([] { return at_gate == 1; }));
  const runtime_scope here(w.rt);
  send(subscriber, tick{1});
  CHECK(c.read() == "tick 1");
  CHECK(w.restart() == 0);
  CHECK(c.read() == "good-bye from 1");
  c.send("still here");
  CHECK(c.read() == "peer still here");
  CHECK(eventually([] { return !alive(subscriber); }));  // each handler has a process of its own
}

TEST_CASE("a handler that asks whether it is open, or reads on regardless, makes room for the next one, too") {
  ws_world w;
  for (const char* path : {"/while_open", "/regardless"}) {
    ws_client c = w.connect(path);
    for (int generation = 1; generation < 4; ++generation) {
      c.send("x");
      REQUIRE(c.read() == "x" + std::to_string(generation));
      REQUIRE(w.restart(generation + 1) == 0);
    }
    c.send_close(1000);
    CHECK(c.read_close(false) == 1000);
    CHECK(w.restart(1) == 0);
  }
  CHECK(http_world::crashes() == 0);
}

// What has its limit inside the server is tried again where a slow machine does not come to it in time.

TEST_CASE("who is between two handlers when the next restart has no time for it goes on with the handler of that one") {
  CHECK(eventually([] {
    ws_world w;
    ws_client c = w.connect("/late/chat");
    c.send("x");
    CHECK(c.read() == "1 1 x");
    CHECK(w.restart(2) == 0);
    CHECK(eventually([] { return at_late_gate == 1; }));
    const std::jthread restarter([&] { w.restart(3, 0ms); });
    CHECK(eventually([&] { return w.ask(get_request("/")).body == "3"; }));
    late_gate = true;
    c.send("y");
    return c.read_frame().payload == "3 2 y";
  }));
}

TEST_CASE("who is between two handlers when the server stops is told so") {
  CHECK(eventually([] {
    ws_world w;
    ws_client c = w.connect("/late/chat");
    c.send("x");
    CHECK(c.read() == "1 1 x");
    const std::jthread restarter([&] { w.restart(2); });
    CHECK(eventually([] { return at_late_gate == 1; }));
    const std::jthread stopper([&] { w.server.stop(100ms); });
    const ws_frame f = c.read_frame();
    CHECK(c.http.is_closed());
    c.http.reset();
    late_gate = true;
    return f.opcode == ws_close && f.close_code() == 1001;
  }));
}

TEST_CASE("who passes through a handler that is replaced already may be spoken to by it, and loses no message there") {
  CHECK(eventually([] {
    ws_world w;
    ws_client c = w.connect("/late/busy");
    const auto is_told = [&](std::string_view what) { return c.read_frame().payload == what; };
    c.send("a");
    CHECK(eventually([] { return at_gate == 1; }));
    c.send("b");                                   // the connection reads it, behind the request, for the second handler
    std::thread first([&] { CHECK(w.restart(2) == 0); });
    CHECK(eventually([&] { return w.ask(get_request("/")).body == "2"; }));
    gate = true;
    CHECK(is_told("a1"));
    CHECK(eventually([] { return at_late_gate == 1; }));
    first.join();
    const std::jthread second([&] { w.restart(3, 0ms); });
    CHECK(eventually([&] { return w.ask(get_request("/")).body == "3"; }));
    late_gate = true;
    if (!is_told("resumed by 2") || !is_told("b2") || !is_told("resumed by 3")) return false;
    c.send("c");
    return is_told("c3");
  }));
}

TEST_CASE("who has no handler any more that takes it is told to come again") {
  ws_world w;
  for (const char* path : {"/strict", "/old/route", "/becomes/page", "/becomes/events", "/becomes/crash"}) {
    ws_client c = w.connect(path);
    c.send("x");
    CHECK(c.read() == "1 1 x");
    CHECK(w.restart(2) == 0);
    CHECK_MESSAGE(c.read_close() == 1012, path);
    CHECK(w.restart(1) == 0);
  }
  ws_client other = w.connect("/becomes/other");   // neither frames nor anything else: it ends
  CHECK(w.restart(2) == 0);
  CHECK(other.http.is_closed());
  CHECK(w.all_is_quiet());
  CHECK(eventually([] { return http_world::crashes() == 1; }));
}

TEST_CASE("a subprotocol that was agreed upon stays, or the client is told to come again") {
  ws_world w;
  ws_client old = w.connect("/versioned", "Sec-WebSocket-Protocol: v2, v1, v0\r\n");
  CHECK(old.handshake.header("Sec-WebSocket-Protocol") == "v1");
  ws_client both = w.connect("/versioned", "Sec-WebSocket-Protocol: v0, v2\r\n");
  CHECK(both.handshake.header("Sec-WebSocket-Protocol") == "v0");
  ws_client none = w.connect("/versioned");
  CHECK(eventually([] { return running == 3; }));
  CHECK(w.restart() == 0);
  CHECK(old.read_close() == 1012);
  both.send("x");
  CHECK(both.read() == "2 1 x");
  none.send("x");
  CHECK(none.read() == "2 1 x");
}

TEST_CASE("a handler may close what it would hand over, and one that fails at once closes with 1011") {
  ws_world w;
  ws_client closed = w.connect("/closes");
  ws_client failed = w.connect("/fails");
  w.connect("/misuse");
  CHECK(eventually([] { return running == 2; }));
  std::thread restarter([&] { CHECK(w.restart() == 0); });
  CHECK(closed.read_close() == 4000);
  CHECK(failed.read_close() == 1011);
  restarter.join();
  CHECK(eventually([] { return http_world::crashes() == 1; }));
}

TEST_CASE("who does not come to the end of a message is told so at the limit; a limit of nothing is enough for the others") {
  CHECK(eventually([] {
    ws_world w;
    ws_client busy = w.connect("/busy");
    busy.send("x");
    ws_client half = w.connect("/chat");
    half.http.send(ws_bytes(0x01, "half of a mess") + ws_bytes(0x89, "?"));
    CHECK(half.read_frame().opcode == ws_pong);
    ws_client ready = w.connect("/chat");
    CHECK(eventually([] { return at_gate == 1 && running == 3; }));
    std::thread restarter([&] { CHECK(w.restart(2, 0ms) >= 2); });
    const int told = half.read_frame().close_code();
    half.send_close(1012);
    ready.send("x");
    const std::string answer = ready.read_frame().payload;
    CHECK(half.http.is_closed());
    restarter.join();
    CHECK(busy.http.is_closed());                  // it has had its time, too
    gate = true;
    return told == 1012 && answer == "2 1 x";
  }));
}

TEST_CASE("a server that stops closes those that were handed over, and those that just are") {
  for (int round = 0; round < testing::rounds(8, 500); ++round) {
    ws_world w;
    auto one = std::make_unique<ws_client>(w.connect("/chat"));
    auto other = std::make_unique<ws_client>(w.connect("/chat"));
    std::thread restarter([&] { w.restart(); });
    std::thread stopper([&] { w.server.stop(1min); });
    CHECK(one->read_close() == 1001);
    CHECK(other->read_close() == 1001);
    one.reset();                                   // or the server would wait a second for them to leave
    other.reset();
    restarter.join();
    stopper.join();
    CHECK(running == 0);
  }
}

TEST_CASE("clients that leave, and handlers that are killed, while they are handed over leave nothing behind") {
  ws_world w;
  const runtime_scope here(w.rt);
  std::atomic<bool> over = false;
  std::thread restarter([&] {
    for (int generation = 2; !over; ++generation) w.restart(generation);
  });
  for (int round = 0; round < testing::rounds(5, 50); ++round) {
    std::vector<ws_client> all;
    for (int i = 0; i < 40; ++i) {
      all.push_back(w.connect(i % 3 == 0 ? "/feed" : "/chat"));
      if (i % 4 == 1) all.back().send("x");
      if (i % 4 == 2) all.back().http.send(ws_bytes(0x81, "half").substr(0, 5));
      if (i % 5 == 0) all.back().http.reset();
      if (i % 7 == 0)
        for (const http_connection& c : w.server.connections())
          if (c.state == http_connection_state::websocket && c.requests % 2 == 1) exit(c.who, exit_reason::kill);
    }
  }
  over = true;
  restarter.join();
  CHECK(w.all_is_quiet());
  CHECK(http_world::crashes() == 0);
}
