// SPDX-License-Identifier: Apache-2.0
//
// A server that passes its listener and its connections to another one, over the socket that it would use between OS processes, and what
// becomes of that when the other one is somebody else, is slow, or dies. System tests do it with two programs.
#include <coppice/app/app_server.hpp>
#include <coppice/app/http_server.hpp>
#include <coppice/app/websocket.hpp>
#include <coppice/process/process.hpp>
#include <coppice/process/receive.hpp>

#include <doctest/doctest.h>

#include "support/eventually.hpp"
#include "support/http/http_world.hpp"
#include "support/http/ws_client.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
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

/// A directory of our own, and the path of a socket in it.
struct place {
  place() {
    REQUIRE(::mkdtemp(directory.data()) != nullptr);
    path = directory + "/socket";
  }
  ~place() {
    ::unlink(path.c_str());
    ::rmdir(directory.c_str());
  }
  bool exists() const { return ::access(path.c_str(), F_OK) == 0; }
  std::string directory{"/tmp/coppice_take_over_XXXXXX"};
  std::string path;
};

std::atomic<bool> gate = false;
std::atomic<int> at_gate = 0;

auto handler(int generation) {
  return [generation](const http_request& r) {
    if (r.path() == "/gate")
      for (++at_gate; !gate;) sleep_for(1ms);
    return text(std::to_string(generation));
  };
}

http_server_options standing_at(const place& at, http_server_options o) {
  o.take_over = at.path;
  return o;
}

struct world : http_world {
  world(int generation, const place& at, const http_server_options& o) : http_world(handler(generation), standing_at(at, o)) {}
  /// Whether another one has taken over: its door has ended, and says so.
  bool is_taken_over() {
    const runtime_scope here(rt);
    return !alive(server.door());
  }
};

std::unique_ptr<world> taken_over_in_time(const http_world& first, const place& at) {
  auto second = testing::successor_in_time(first, [&] { return std::make_unique<world>(2, at, http_server_options{.port = 0}); });
  REQUIRE(second != nullptr);
  return second;
}

/// A successor that says what the test wants.
class stranger {
 public:
  explicit stranger(const place& at) : fd_(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
    sockaddr_un a{};
    a.sun_family = AF_UNIX;
    std::strcpy(a.sun_path, at.path.c_str());
    REQUIRE(::connect(fd_, reinterpret_cast<const sockaddr*>(&a), sizeof a) == 0);
  }
  ~stranger() {
    close();
    for (const int fd : got) ::close(fd);
  }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  void say(std::string_view what) { REQUIRE(::send(fd_, what.data(), what.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(what.size())); }
  /// The next message; its descriptor is kept in `got`.
  std::string hear() {
    char bytes[4096];
    alignas(cmsghdr) char room[256];
    iovec data{bytes, sizeof bytes};
    msghdr m{};
    m.msg_iov = &data;
    m.msg_iovlen = 1;
    m.msg_control = room;
    m.msg_controllen = sizeof room;
    const ssize_t n = ::recvmsg(fd_, &m, MSG_CMSG_CLOEXEC);
    if (const cmsghdr* c = CMSG_FIRSTHDR(&m); n > 0 && c != nullptr) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(c), sizeof fd);
      got.push_back(fd);
    }
    return n > 0 ? std::string(bytes, static_cast<std::size_t>(n)) : "";
  }
  std::vector<int> got;

 private:
  int fd_;
};

/// One message with a descriptor.
void send_packet(int to, std::string_view bytes, int fd) {
  alignas(cmsghdr) char room[CMSG_SPACE(sizeof fd)] = {};
  iovec data{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr m{};
  m.msg_iov = &data;
  m.msg_iovlen = 1;
  m.msg_control = room;
  m.msg_controllen = sizeof room;
  cmsghdr* c = CMSG_FIRSTHDR(&m);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof fd);
  std::memcpy(CMSG_DATA(c), &fd, sizeof fd);
  CHECK(::sendmsg(to, &m, MSG_NOSIGNAL) == static_cast<ssize_t>(bytes.size()));
}

http_server_error::kind why(world& w, const place& at, http_server_options o) {
  o.in = &w.rt;
  const auto r = try_run_server(handler(0), standing_at(at, o));
  REQUIRE_FALSE(r.has_value());
  return r.error().why();
}

}  // namespace

TEST_CASE("a server that is taken over passes on its port and its connections") {
  const place at;
  world first(1, at, {.port = 0});
  http_client idle = first.client();
  CHECK(idle.ask(get_request("/")).body == "1");
  http_client half = first.client();
  half.send("GET / HTTP/1.1\r\nHo");
  CHECK(eventually([&] { return first.server.statistics().connections == 2; }));

  world second(2, at, {.port = first.server.port()});
  CHECK(second.server.port() == first.server.port());
  CHECK(eventually([&] { return first.is_taken_over(); }));
  CHECK(first.server.statistics().connections == 0);
  CHECK(idle.ask(get_request("/")).body == "2");
  half.send("st: x\r\n\r\n");
  CHECK(half.read().body == "2");
  CHECK(second.client().ask(get_request("/")).body == "2");
  CHECK(second.server.statistics().accepted == 3);

  CHECK(first.server.stop(1min).cut_off == 0);
  first.server = {};
  CHECK(at.exists());                              // it is the second one's now
  CHECK(idle.ask(get_request("/")).body == "2");
  second.server.stop(1min);
  CHECK_FALSE(at.exists());
  CHECK_FALSE(testing::accepts(second.server.port()));
}

TEST_CASE("a request under way ends where it began, then its connection goes over") {
  gate = false;
  at_gate = 0;
  const place at;
  world first(1, at, {.port = 0});
  http_client slow = first.client();
  slow.send(get_request("/gate") + get_request("/"));
  CHECK(eventually([] { return at_gate == 1; }));
  world second(2, at, {.port = 0});
  CHECK(eventually([&] { return second.client().ask(get_request("/")).body == "2"; }));  // the first one accepted for a moment more
  CHECK_FALSE(first.is_taken_over());
  gate = true;
  CHECK(slow.read().body == "1");
  CHECK(slow.read().status == 200);                // of the pipeline: by the one or the other
  CHECK(eventually([&] { return first.is_taken_over(); }));
  CHECK(slow.ask(get_request("/")).body == "2");
}

TEST_CASE("what does not end in time is cut off") {
  gate = false;
  at_gate = 0;
  const place at;
  world first(1, at, {.port = 0, .take_over_timeout = 500ms});
  http_client slow = first.client();
  slow.send(get_request("/gate"));
  CHECK(eventually([] { return at_gate == 1; }));
  const auto second = taken_over_in_time(first, at);
  const int status = slow.read().status;
  CHECK((status == 503 || status == 0));
  CHECK(second->client().ask(get_request("/")).body == "2");
}

TEST_CASE("who is taken over says so to those who monitor its door") {
  const place at;
  auto first = std::make_unique<world>(1, at, http_server_options{.port = 0});
  const runtime_scope here(first->rt);
  const reference ref = monitor(first->server.door());
  world second(2, at, {.port = 0});
  exit_reason end;
  receive(when([&](const down& d) { return d.ref == ref; }, [&](const down& d) { end = d.reason; }));
  CHECK(end.is_quiet());
  CHECK(to_text(end).find("taken over") != std::string::npos);
}

TEST_CASE("WebSockets that stay go on during a take-over, until they end or its time is up") {
  const place at;
  http_world first(router{websocket("/echo", [](ws_connection& ws) { while (const auto m = ws.read()) ws.send(m->data); })},
                   standing_at(at, {.take_over_timeout = infinity}));
  testing::ws_client c(first.server.port(), "/echo");
  world second(2, at, {.port = 0});
  CHECK(eventually([&] { return second.client().ask(get_request("/")).body == "2"; }));
  c.send("still");
  CHECK(c.read() == "still");
  CHECK_FALSE(first.server.is_taken_over());
  c.send_close(1000);
  CHECK(c.read_close(false) == 1000);
  CHECK(eventually([&] { return first.server.is_taken_over(); }));
}

TEST_CASE("WebSockets are told to come again when the time for a take-over is up") {
  const place at;
  http_world first(router{websocket("/echo", [](ws_connection& ws) { while (const auto m = ws.read()) ws.send(m->data); })},
                   standing_at(at, {.take_over_timeout = 300ms}));
  testing::ws_client c(first.server.port(), "/echo");
  c.send("still");
  CHECK(c.read() == "still");
  const auto second = taken_over_in_time(first, at);
  CHECK(c.read_close() == 1012);
  CHECK(eventually([&] { return first.server.is_taken_over() && first.server.statistics().connections == 0; }));
  CHECK_FALSE(second->server.is_taken_over());
}

/// Says which server answers, and counts messages across servers.
router chat(int generation, bool deflate = false) {
  return router{websocket("/chat",
                          [generation](ws_connection& ws) {
                            int said = ws.is_resumed() ? std::stoi(std::string(ws.passed_on())) : 0;
                            while (const auto m = ws.read()) ws.send(std::to_string(generation) + " " + std::to_string(++said) + " " + m->data);
                            ws.pass_on(std::to_string(said));
                          },
                          {.deflate = deflate, .hand_over = true})};
}

TEST_CASE("WebSockets whose handlers allow it go over to another OS process, at the end of a message") {
  const place at;
  auto now = std::make_unique<http_world>(chat(1), standing_at(at, {}));
  testing::ws_client one(now->server.port(), "/chat");
  testing::ws_client other(now->server.port(), "/chat");
  for (int generation = 1; generation < 6; ++generation) {
    const std::string n = std::to_string(generation);
    one.send("x");
    CHECK(one.read() == n + " " + std::to_string(2 * generation - 1) + " x");
    other.http.send(testing::ws_bytes(0x01, "half, ") + testing::ws_bytes(0x89, "?"));
    CHECK(other.read_frame().opcode == testing::ws_pong);
    auto next = std::make_unique<http_world>(chat(generation + 1), standing_at(at, {}));
    one.send("y");                                 // it is read here or there
    CHECK(one.read().ends_with(" " + std::to_string(2 * generation) + " y"));
    CHECK_FALSE(now->server.is_taken_over());
    other.http.send(testing::ws_bytes(0x80, "half"));
    CHECK(other.read() == n + " " + n + " half, half");
    CHECK(eventually([&] { return now->server.is_taken_over() && now->server.statistics().connections == 0; }));
    now = std::move(next);
    CHECK(eventually([&] { return now->server.statistics().connections == 2; }));
  }
  CHECK(http_world::crashes() == 0);
}

TEST_CASE("WebSockets that speak without a pause go from process to process, compressed or not, and lose no message") {
  const place at;
  for (const bool deflate : {false, true}) {
    auto now = std::make_unique<http_world>(chat(1, deflate), standing_at(at, {}));
    std::atomic<bool> stop = false;
    std::atomic<int> answered = 0;
    std::vector<std::thread> clients;
    for (int i = 0; i < 3; ++i)
      clients.emplace_back([&, port = now->server.port(), ahead = 1 + 4 * i] {
        testing::ws_client c(port, "/chat", deflate ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "");
        int sent = 0;
        int read = 0;
        while (!stop || read < sent) {
          while (!stop && sent < read + ahead) c.send(std::to_string(++sent));
          const testing::ws_frame f = c.read_frame();
          REQUIRE(f.opcode == testing::ws_text);
          ++read;
          if (!f.is_compressed) REQUIRE(f.payload.ends_with(" " + std::to_string(read) + " " + std::to_string(read)));
          ++answered;
        }
      });
    for (int generation = 2; generation < testing::rounds(12, 100); ++generation) {
      CHECK(eventually([&, before = answered.load()] { return answered > before; }));
      auto next = std::make_unique<http_world>(chat(generation, deflate), standing_at(at, {}));
      CHECK(eventually([&] { return now->server.is_taken_over(); }));
      now = std::move(next);
    }
    stop = true;
    for (std::thread& t : clients) t.join();
  }
  CHECK(http_world::crashes() == 0);
}

TEST_CASE("a WebSocket goes over with its request and what was passed on, and goes on here if the other one ends") {
  const place at;
  http_world first(chat(1), standing_at(at, {}));
  const testing::report_log said;
  testing::ws_client c(first.server.port(), "/chat", "Sec-WebSocket-Protocol: none of ours\r\nContent-Length: 0\r\n");
  c.send("x");
  CHECK(c.read() == "1 1 x");
  testing::ws_client half(first.server.port(), "/chat");
  half.http.send(testing::ws_bytes(0x01, "half, ") + testing::ws_bytes(0x89, "?"));
  CHECK(half.read_frame().opcode == testing::ws_pong);
  {
    stranger s(at);
    s.say("coppice take-over 2");
    CHECK(s.hear() == "listener");
    s.say("ready");
    const std::string moved = s.hear();
    CHECK(moved.starts_with("websocket 1 1GET /chat HTTP/1.1\r\n"));
    CHECK(moved.ends_with("\r\n\r\n"));
    CHECK(moved.find("Content-Length") == std::string::npos);
    CHECK(moved.find("Protocol") == std::string::npos);
    CHECK(s.got.size() == 2);
  }                                                // with the one that it got
  CHECK(c.http.is_closed());
  half.http.send(testing::ws_bytes(0x80, "half"));
  CHECK(half.read() == "1 1 half, half");
  half.send("more");
  CHECK(half.read() == "1 2 more");
  CHECK(eventually([&] { return first.ask(get_request("/nothing")).status == 404; }));
}

namespace {

std::atomic<int> began[3];

/// /feed: stays behind its last read as long as the gate is closed. /gated: stays behind its first message.
router slow_router(int generation) {
  return router{get("/", [generation] { return text(std::to_string(generation)); }),
                websocket("/feed",
                          [generation](ws_connection& ws) {
                            ++began[generation];
                            while (const auto m = ws.read()) ws.send(std::to_string(generation) + m->data);
                            for (++at_gate; !gate;) sleep_for(1ms);
                          },
                          {.hand_over = true}),
                websocket("/gated",
                          [generation](ws_connection& ws) {
                            while (const auto m = ws.read()) {
                              for (++at_gate; !gate;) sleep_for(1ms);
                              ws.send(std::to_string(generation) + " " + std::to_string(m->data.size()));
                            }
                          },
                          {.hand_over = true})};
}

struct slow_world : http_world {
  slow_world(int generation, const place& at, http_server_options o = {}) : http_world(slow_router(generation), standing_at(at, std::move(o))) {
    gate = false;
    at_gate = 0;
    began[generation] = 0;
  }
};

/// It is ready to take over, and does nothing then.
void begin_taking_over(stranger& s) {
  s.say("coppice take-over 2");
  CHECK(s.hear() == "listener");
  s.say("ready");
}

}  // namespace

TEST_CASE("a server that is stopped while its connections move closes those that have not gone yet") {
  const place at;
  slow_world first(1, at);
  const runtime_scope here(first.rt);
  testing::ws_client c(first.server.port(), "/feed");
  testing::ws_client half(first.server.port(), "/feed");
  half.http.send(testing::ws_bytes(0x01, "half of a mess") + testing::ws_bytes(0x89, "?"));
  CHECK(half.read_frame().opcode == testing::ws_pong);
  c.send("x");
  CHECK(c.read() == "1x");
  stranger s(at);
  begin_taking_over(s);
  CHECK(eventually([] { return at_gate == 1; }));  // its handler was told
  std::thread stopper([&] { first.server.stop(1min); });
  CHECK(eventually([&] { return !alive(first.server.door()); }));
  gate = true;
  CHECK(c.read_close(false) == 1001);
  c.http.reset();
  CHECK(half.read_close() == 1001);
  half.http.reset();
  stopper.join();
}

TEST_CASE("a server whose door is killed while its connections move goes on with them, and listens") {
  const place at;
  slow_world first(1, at);
  const runtime_scope here(first.rt);
  testing::ws_client c(first.server.port(), "/feed");
  c.send("x");
  CHECK(c.read() == "1x");
  stranger s(at);
  begin_taking_over(s);
  CHECK(eventually([] { return at_gate == 1; }));
  exit(first.server.door(), exit_reason::kill);
  CHECK(eventually([&] { return !alive(first.server.door()); }));
  gate = true;
  c.send("y");
  CHECK(c.read() == "1y");
  CHECK(began[1] == 2);
  CHECK(first.ask(get_request("/")).body == "1");
}

TEST_CASE("connections that a successor has not got yet, because it does not look, stay if it is not waited for any more") {
  constexpr int clients = 400;
  const place at;
  world first(1, at, {.port = 0, .head_timeout = infinity});
  const runtime_scope here(first.rt);
  std::vector<http_client> all;
  for (int i = 0; i < clients; ++i) {
    all.push_back(first.client());
    all.back().send("GET / HTTP/1.1\r\nX: " + std::string(2000, 'x'));  // half a head goes along
  }
  CHECK(eventually([&] { return first.server.statistics().connections == clients; }));
  stranger s(at);
  begin_taking_over(s);
  CHECK(eventually([&] { return first.server.statistics().connections == 0; }));
  exit(first.server.door(), exit_reason::kill);
  CHECK(eventually([&] { return first.server.statistics().connections > 0; }));
  int gone = 0;
  while (!s.hear().empty()) ++gone;
  s.close();
  for (const int fd : std::exchange(s.got, {})) ::close(fd);
  CHECK(gone > 0);
  CHECK(gone < clients);
  int answered = 0;
  for (http_client& c : all) {
    c.send("\r\nHost: x\r\nConnection: close\r\n\r\n");
    answered += c.read_to_end().ends_with("\r\n\r\n1") ? 1 : 0;
  }
  CHECK(answered == clients - gone);
}

TEST_CASE("a successor that is stopped begins nothing any more, and the predecessor goes on with what it has left") {
  const place at;
  slow_world first(1, at);
  testing::ws_client c(first.server.port(), "/feed");
  c.http.send(testing::ws_bytes(0x01, "half, ") + testing::ws_bytes(0x89, "?"));
  CHECK(c.read_frame().opcode == testing::ws_pong);
  slow_world second(2, at);
  gate = true;
  CHECK(eventually([&] { return second.ask(get_request("/")).body == "2"; }));
  second.server.stop(1min);
  c.http.send(testing::ws_bytes(0x80, "half"));
  CHECK(c.read() == "1half, half");
  c.send("more");
  CHECK(c.read() == "1more");
  CHECK(began[2] == 0);
  CHECK(eventually([&] { return first.ask(get_request("/")).body == "1"; }));
  CHECK_FALSE(first.server.is_taken_over());
}

TEST_CASE("what was read early, behind a head that nearly fills the buffer, goes over, too") {
  constexpr std::size_t buffer = 16'368;
  constexpr std::size_t most_of_head = 14'500;
  constexpr std::size_t message = buffer - most_of_head - 2 - 8;  // its head has eight bytes
  constexpr int clients = 24;                      // what comes together is read early
  const place at;
  const http_server_options o{.max_head_bytes = 15 * 1024, .head_timeout = infinity};
  slow_world first(1, at, o);
  const std::string begin = "GET /gated HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Pad: ";
  std::vector<http_client> all;
  for (int i = 0; i < clients; ++i) {
    all.push_back(first.client());
    all.back().send(begin + std::string(most_of_head - begin.size() - 2, 'x') + "\r\n");
  }
  CHECK(eventually([&] {
    const auto now = first.server.connections();
    return std::ranges::count(now, http_connection_state::head, &http_connection::state) == clients;
  }));
  const std::string rest = "\r\n" + testing::ws_bytes(0x81, std::string(message, 'm')) + testing::ws_bytes(0x81, "last");
  for (http_client& c : all) c.send(rest);
  CHECK(eventually([] { return at_gate == clients; }));
  http_world second(slow_router(2), standing_at(at, o));
  CHECK(eventually([&] { return second.ask(get_request("/")).body == "2"; }));
  gate = true;
  for (http_client& c : all) {
    std::string said = c.read_exactly(4);
    while (!said.ends_with("\r\n\r\n")) said += c.read_exactly(1);
    CHECK(said.starts_with("HTTP/1.1 101 "));
    CHECK(c.read_exactly(8) == "\x81\x06" "1 " + std::to_string(message));
    CHECK(c.read_exactly(5) == "\x81\x03" "2 4");
  }
}

TEST_CASE("an app_server that was taken over does not run any more, and may take back") {
  gate = false;
  at_gate = 0;
  const place at;
  runtime rt{{.workers = 2}};
  app_server first(handler(1), standing_at(at, {.port = 0, .in = &rt}));
  app_server second(handler(2), standing_at(at, {.port = 0, .in = &rt}));
  std::vector<app_instance::phase_of> phases;
  std::mutex phases_lock;
  first.instance().add_watch("test", [&](std::string_view, const auto&, const app_instance&, const app_instance& now) {
    const std::lock_guard held(phases_lock);
    phases.push_back(now.phase);
  });
  const int port = first.start();
  http_client slow(static_cast<std::uint16_t>(port));
  slow.send(get_request("/gate"));
  CHECK(eventually([] { return at_gate == 1; }));
  CHECK(second.start() == port);
  http_client kept(static_cast<std::uint16_t>(port));
  CHECK(first.is_running());                       // a request is under way in it
  gate = true;
  CHECK(slow.read().body == "1");
  CHECK(eventually([&] { return !first.is_running(); }));
  CHECK(first.is_taken_over());
  CHECK(first.port() == port);
  CHECK_FALSE(first.server());
  CHECK(first.try_stop().error().why() == app_server_error::not_running);
  CHECK(first.try_restart().error().why() == app_server_error::taken_over);
  CHECK(kept.ask(get_request("/")).body == "2");
  CHECK(second.is_running());
  {
    const std::lock_guard held(phases_lock);
    CHECK(phases == std::vector{app_instance::starting, app_instance::running, app_instance::taken_over});
  }
  CHECK(first.start() == port);                    // takes back
  CHECK(eventually([&] { return second.is_taken_over(); }));
  CHECK(kept.ask(get_request("/")).body == "1");
  first.stop();
  CHECK(first.instance()->phase == app_instance::none);
  CHECK(second.is_taken_over());
}

TEST_CASE("one after the other takes over under load, and no request fails") {
  const place at;
  auto now = std::make_unique<world>(1, at, http_server_options{.port = 0});
  const std::uint16_t port = now->server.port();
  std::atomic<bool> stop = false;
  std::atomic<int> failed = 0;
  std::atomic<int> answered = 0;
  const auto check = [&](const http_answer& a) {
    if (a.status != 200) ++failed;
    ++answered;
  };
  std::vector<std::thread> clients;
  clients.emplace_back([&] {
    http_client c(port);
    while (!stop) check(c.ask(get_request("/")));
  });
  clients.emplace_back([&] {
    http_client c(port);
    while (!stop) {
      std::string ten;
      for (int i = 0; i < 10; ++i) ten += get_request("/");
      c.send(ten);
      for (int i = 0; i < 10; ++i) check(c.read());
    }
  });
  clients.emplace_back([&] {
    while (!stop) check(http_client(port).ask(get_request("/", "Connection: close\r\n")));
  });
  std::vector<std::unique_ptr<http_client>> idle;
  for (int i = 0; i < 50; ++i) idle.push_back(std::make_unique<http_client>(port));
  const int turns = testing::rounds(20, 300);
  for (int generation = 2; generation < turns + 2; ++generation) {
    auto next = std::make_unique<world>(generation, at, http_server_options{.port = port});
    CHECK(eventually([&] { return now->is_taken_over(); }));
    now = std::move(next);
  }
  CHECK(eventually([&, before = answered.load()] { return answered > before; }));
  stop = true;
  for (std::thread& t : clients) t.join();
  CHECK(failed == 0);
  for (const auto& c : idle) CHECK(c->ask(get_request("/")).body == std::to_string(turns + 1));
}

TEST_CASE("a socket that nobody listens at is replaced") {
  const place at;
  { world gone(1, at, {.port = 0}); }
  const int left = ::socket(AF_UNIX, SOCK_SEQPACKET, 0);
  sockaddr_un a{};
  a.sun_family = AF_UNIX;
  std::strcpy(a.sun_path, at.path.c_str());
  REQUIRE(::bind(left, reinterpret_cast<const sockaddr*>(&a), sizeof a) == 0);
  ::close(left);
  world first(1, at, {.port = 0});
  world second(2, at, {.port = 0});
  CHECK(second.server.port() == first.server.port());
}

TEST_CASE("what cannot be taken over goes on") {
  const place at;
  world first(1, at, {.port = 0});
  CHECK(why(first, at, {.port = first.server.port() == 1 ? 2 : 1}) == http_server_error::take_over_failed);  // another port
  REQUIRE(::chmod(at.directory.c_str(), 0755) == 0);
  {
    place open;
    REQUIRE(::chmod(open.directory.c_str(), 0750) == 0);
    CHECK(why(first, open, {.port = 0}) == http_server_error::take_over_failed);
  }
  REQUIRE(::chmod(at.directory.c_str(), 0700) == 0);
  CHECK_FALSE(first.is_taken_over());
  CHECK(first.client().ask(get_request("/")).body == "1");
}

TEST_CASE("a stranger gets nothing") {
  const place at;
  world first(1, at, {.port = 0});
  stranger(at).close();
  {
    stranger s(at);
    s.say("coppice take-over 1");
    CHECK(s.hear().starts_with("refused"));
    CHECK(s.got.empty());
    CHECK(s.hear().empty());
  }
  CHECK_FALSE(first.is_taken_over());
  world second(2, at, {.port = 0});
  CHECK(eventually([&] { return first.is_taken_over(); }));
}

TEST_CASE("a predecessor that says something else is left alone") {
  const place at;
  const int listener = ::socket(AF_UNIX, SOCK_SEQPACKET, 0);
  sockaddr_un a{};
  a.sun_family = AF_UNIX;
  std::strcpy(a.sun_path, at.path.c_str());
  REQUIRE(::bind(listener, reinterpret_cast<const sockaddr*>(&a), sizeof a) == 0);
  REQUIRE(::listen(listener, 4) == 0);
  for (const char* answer : {"refused: not today", "listener", "what?"}) {
    std::thread other([&] {
      const int c = ::accept(listener, nullptr, nullptr);
      char hello[64];
      CHECK(::recv(c, hello, sizeof hello, 0) > 0);
      CHECK(::send(c, answer, std::strlen(answer), MSG_NOSIGNAL) > 0);
      ::close(c);
    });
    runtime rt({.workers = 1});
    const auto r = try_run_server(handler(1), {.port = 0, .take_over = at.path, .in = &rt});
    other.join();
    REQUIRE_FALSE(r.has_value());
    CHECK(r.error().why() == http_server_error::take_over_failed);
  }
  ::close(listener);
}

TEST_CASE("a predecessor whose WebSockets make no sense costs its successor those, and nothing else") {
  const place at;
  const int door = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  sockaddr_un a{};
  a.sun_family = AF_UNIX;
  std::strcpy(a.sun_path, at.path.c_str());
  REQUIRE(::bind(door, reinterpret_cast<const sockaddr*>(&a), sizeof a) == 0);
  REQUIRE(::listen(door, 4) == 0);
  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  REQUIRE(::listen(listener, 64) == 0);
  sockaddr_in where{};
  socklen_t size = sizeof where;
  REQUIRE(::getsockname(listener, reinterpret_cast<sockaddr*>(&where), &size) == 0);
  const std::uint16_t port = ntohs(where.sin_port);

  const std::string head = "GET /chat HTTP/1.1\r\nHost:x\r\nUpgrade:websocket\r\nConnection:Upgrade\r\nSec-WebSocket-Version:13\r\nSec-WebSocket-Key:dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  const std::pair<std::string, bool> said[] = {  // and whether the client is told anything
      {"websocket ", false}, {"websocket x", false}, {"websocket 1", false}, {"websocket -1 " + head, false},
      {"websocket 99999999999999999999 " + head, false}, {"websocket 4097 " + std::string(4097, 'x') + head, false},
      {"websocket 200 short", false}, {"websocket 0 GET /chat HTTP/1.1\r\nHost: x\r\n\r\n", true}, {"websocket 0 nonsense\r\n\r\n", true},
      {"websocket 0 POST /chat HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", true}, {"websocket 0 " + head + std::string(30'000, 'x'), false}, {"websocket 2 41" + head, true}};
  std::vector<http_client> clients;
  std::vector<int> accepted;
  for (std::size_t i = 0; i < std::size(said); ++i) {
    clients.push_back(http_client::plain(port));
    accepted.push_back(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    REQUIRE(accepted.back() >= 0);
  }
  int other = -1;
  std::thread predecessor([&] {
    other = ::accept(door, nullptr, nullptr);
    char hello[64];
    CHECK(::recv(other, hello, sizeof hello, 0) > 0);
    send_packet(other, "listener", listener);
    CHECK(::recv(other, hello, sizeof hello, 0) > 0);
    for (std::size_t i = 0; i < std::size(said); ++i) {
      send_packet(other, said[i].first, accepted[i]);
      ::close(accepted[i]);
    }
  });
  http_world second(chat(2), standing_at(at, {}));
  predecessor.join();
  const int last = static_cast<int>(std::size(said)) - 1;
  for (int i = 0; i < last; ++i) {
    const std::string told = clients[static_cast<std::size_t>(i)].read_to_end();
    CHECK_MESSAGE(told.starts_with("\x88\x1a\x03\xf4") == said[i].second, said[i].first.substr(0, 50));
    CHECK_MESSAGE(told.empty() != said[i].second, said[i].first.substr(0, 50));
  }
  http_client& good = clients.back();
  good.send(testing::ws_bytes(0x81, "x"));
  CHECK(good.read_exactly(8) == "\x81\x06" "2 42 x");
  CHECK(second.ask(get_request("/")).status == 404);
  ::close(other);
  CHECK(eventually([&] { return http_world::warnings() == 1; }));  // how many were lost
  ::close(door);
  ::close(listener);
}

TEST_CASE("a successor that ends before it is ready, or is not ready in time, changes nothing") {
  const place at;
  world first(1, at, {.port = 0, .take_over_timeout = 50ms});
  http_client c = first.client();
  CHECK(c.ask(get_request("/")).body == "1");
  {
    stranger s(at);
    s.say("coppice take-over 2");
    CHECK(s.hear() == "listener");
    REQUIRE(s.got.size() == 1);
    s.close();
    CHECK(c.ask(get_request("/")).body == "1");
  }
  {
    stranger s(at);
    s.say("coppice take-over 2");
    CHECK(s.hear() == "listener");
    CHECK(s.hear().empty());                       // the old one has lost its patience
  }
  CHECK(first.client().ask(get_request("/")).body == "1");
  CHECK(c.ask(get_request("/")).body == "1");
  CHECK_FALSE(first.is_taken_over());
}

TEST_CASE("a server can be taken over after a successor that put its door there and ended") {
  const place at;
  world first(1, at, {.port = 0});
  {
    stranger s(at);
    s.say("coppice take-over 2");
    CHECK(s.hear() == "listener");
    REQUIRE(::unlink(at.path.c_str()) == 0);
  }
  REQUIRE(eventually([&] { return at.exists(); }));
  world second(2, at, {.port = 0});
  CHECK(eventually([&] { return first.is_taken_over(); }));
}

TEST_CASE("a successor that ends while connections move takes along only those that it has got") {
  const place at;
  world first(1, at, {.port = 0});
  std::vector<http_client> all;
  for (int i = 0; i < 3; ++i) {
    all.push_back(first.client());
    CHECK(all.back().ask(get_request("/")).body == "1");
  }
  gate = false;
  at_gate = 0;
  http_client slow = first.client();               // it would move, but later than the successor lives
  slow.send(get_request("/gate"));
  CHECK(eventually([] { return at_gate == 1; }));
  {
    stranger s(at);
    s.say("coppice take-over 2");
    CHECK(s.hear() == "listener");
    s.say("ready");
    for (int i = 0; i < 3; ++i) CHECK(s.hear() == "connection ");
    CHECK(s.got.size() == 4);
  }
  CHECK(first.client().ask(get_request("/")).body == "1");  // it listens again, though nothing else happens
  gate = true;
  CHECK(slow.read().body == "1");
  CHECK(eventually([&] { return slow.ask(get_request("/")).body == "1"; }));
  CHECK_FALSE(first.is_taken_over());
  for (http_client& c : all) CHECK(c.is_closed());
  world second(2, at, {.port = 0});                // and can be taken over by another one
  CHECK(eventually([&] { return first.is_taken_over(); }));
  CHECK(slow.ask(get_request("/")).body == "2");
}

TEST_CASE("a server may be given a socket that listens") {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&a), sizeof a) == 0);
  runtime rt({.workers = 2});
  CHECK(try_run_server(handler(1), {.listen_fd = fd, .in = &rt}).error().why() == http_server_error::bad_address);
  REQUIRE(::listen(fd, 16) == 0);
  const http_server server = run_server(handler(1), {.port = 1, .listen_fd = fd, .in = &rt});
  CHECK(http_client(server.port()).ask(get_request("/")).body == "1");
  server.stop(1min);
  CHECK_FALSE(testing::accepts(server.port()));
  CHECK(try_run_server(handler(1), {.listen_fd = 9999, .in = &rt}).error().why() == http_server_error::bad_address);
}
