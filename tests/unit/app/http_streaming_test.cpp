// SPDX-License-Identifier: Apache-2.0
//
// Answers that are sent while they are made, bodies that are read as they come, server-sent events.
#include <coppice/app/event_stream.hpp>
#include <coppice/app/request_body.hpp>
#include <coppice/app/response_writer.hpp>
#include <coppice/process/receive.hpp>
#include <coppice/process/timer.hpp>

#include <doctest/doctest.h>

#include <cerrno>
#include <stdexcept>
#include <string>
#include <thread>

#include "support/eventually.hpp"
#include "support/http/http_world.hpp"

using namespace coppice;
using testing::eventually;
using testing::get_request;
using testing::http_answer;
using testing::http_client;
using testing::http_world;

namespace {

struct tick {
  int number;
};

std::atomic<int> running_streams = 0;
std::atomic<int> last_error = 0;
std::atomic<std::uint64_t> bytes_written = 0;
pid subscriber;
std::atomic<bool> subscribed = false;

struct counted_stream {
  counted_stream() { ++running_streams; }
  ~counted_stream() { --running_streams; }
};

void subscribe() {
  subscriber = self();
  subscribed = true;
}
void wait_for_subscriber() {
  CHECK(eventually([] { return subscribed.load(); }));
  subscribed = false;
}

router app() {
  return router{
      get("/", [] { return text("hello"); }),
      get("/three",
          [] {
            return streamed(
                [](response_writer& out) {
                  out.write("one ");
                  out.write("");
                  out.write("two ");
                  out.write("three");
                },
                "text/plain");
          }),
      get("/nothing", [] { return streamed([](response_writer&) {}); }),
      get("/sized", [] { return streamed([](response_writer& out) { out.write("12345"); }, "text/plain", 5); }),
      get("/too_long", [] { return streamed([](response_writer& out) { out.write("123456"); }, "text/plain", 5); }),
      get("/too_short", [] { return streamed([](response_writer& out) { out.write("1234"); }, "text/plain", 5); }),
      get("/breaks",
          [] {
            return streamed([](response_writer& out) {
              out.write("half of it");
              throw std::runtime_error("no more");
            });
          }),
      get("/endless",
          [] {
            return streamed([](response_writer& out) {
              const counted_stream c;
              const std::string piece(50'000, 'x');
              for (;;) {
                if (const auto sent = out.try_write(piece); !sent) {
                  last_error = sent.error().error();
                  return;
                }
                bytes_written += piece.size();
              }
            });
          }),
      get("/waits",
          [] {
            return streamed([](response_writer& out) {
              const counted_stream c;
              out.write("begun");
              subscribe();
              const tick t = receive<tick>();
              out.write(std::to_string(t.number));
            });
          }),
      get("/bad_header",
          [] {
            http_response r = streamed([](response_writer&) { ++running_streams; });
            r.headers = {{"A", "b\r\nC: d"}};
            return r;
          }),
      get("/events",
          [] {
            return stream_events([](event_stream& out) {
              const counted_stream c;
              subscribe();
              for (;;) receive([&](const tick& t) { out.send({.event = "tick", .data = std::to_string(t.number)}); });
            });
          }),
      get("/all_of_an_event",
          [] {
            return stream_events([](event_stream& out) {
              out.comment("hello");
              out.send({.event = "a", .data = "one\ntwo\r\nthree\r", .id = "7", .retry = 1500ms});
              out.send({.data = ""});
              out.comment("x\ny");
              CHECK_THROWS_AS(out.send({.event = "a\nb"}), std::invalid_argument);
              CHECK_THROWS_AS(out.send({.id = "a\rb"}), std::invalid_argument);
            });
          }),
      post("/whole", [](const http_request& r) { return text(std::to_string(r.body().size())); }),
      post("/small", [](const http_request& r) { return text(std::to_string(r.body().size())); }).with_body_limit(10),
      post("/count",
           [](const http_request& r, request_body& body) {
             CHECK(r.body().empty());
             std::size_t pieces = 0;
             for (std::string_view p = body.read(); !p.empty(); p = body.read()) ++pieces;
             CHECK(body.read().empty());
             return text(std::to_string(body.bytes_read()) + " bytes" + (pieces > 1 ? " in pieces" : ""));
           })
          .with_body_limit(100'000'000),
      post("/echo",
           [](const http_request&, request_body& body) {
             std::string all;
             for (std::string_view p = body.read(); !p.empty(); p = body.read()) all += p;
             return streamed([all = std::move(all)](response_writer& out) { out.write(all); });
           }),
      post("/ignores", [](const http_request&, request_body&) { return text("not read"); }),
      post("/crashes", [](const http_request&, request_body&) -> http_response { throw std::runtime_error("no"); }),
      post("/hangs",
           [](const http_request&, request_body&) {
             const counted_stream c;
             sleep_for(1h);
             return text("no");
           }),
      post("/excuses",
           [](const http_request&, request_body& body) {
             try {
               while (!body.read().empty()) {}
             } catch (const http_error& e) {
               return text("it was " + std::to_string(e.status()), 422);
             }
             return text("fine");
           }),
  };
}

std::string post_request(std::string_view path, std::string_view lines, std::string_view body = {}) {
  return "POST " + std::string(path) + " HTTP/1.1\r\nHost: test\r\n" + std::string(lines) + "\r\n" + std::string(body);
}

/// Nothing is left of what the clients began.
bool all_is_quiet(const http_world& w) {
  return eventually([&] { return running_streams == 0 && w.server.statistics().connections == 0; });
}

}  // namespace

TEST_CASE("a stream goes out in chunks, and the connection goes on") {
  http_world w(app());
  http_client c = w.client();
  for (int i = 0; i < 10; ++i) {
    c.send(get_request("/three"));
    const http_answer head = c.read(true);
    CHECK(head.status == 200);
    CHECK(head.header("Transfer-Encoding") == "chunked");
    CHECK(head.header("Content-Type") == "text/plain");
    CHECK(head.header("Content-Length").empty());
    CHECK(c.read_chunk() == "one ");
    CHECK(c.read_chunk() == "two ");
    CHECK(c.read_chunk() == "three");
    CHECK(c.read_chunk().empty());
  }
  CHECK(c.ask(get_request("/nothing")).body.empty());
  CHECK(c.ask(get_request("/")).body == "hello");
  CHECK(w.server.statistics().requests == 12);
  CHECK(w.server.statistics().accepted == 1);
}

TEST_CASE("a stream whose length is known says it") {
  http_world w(app());
  http_client c = w.client();
  const http_answer a = c.ask(get_request("/sized"));
  CHECK(a.header("Content-Length") == "5");
  CHECK(a.header("Transfer-Encoding").empty());
  CHECK(a.body == "12345");
  CHECK(c.ask("GET /sized HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").header("Connection") == "keep-alive");
  CHECK(c.ask(get_request("/")).body == "hello");
  CHECK(w.ask(get_request("/too_long")).status == 0);
  CHECK(w.ask(get_request("/too_short")).status == 0);
  CHECK(eventually([] { return http_world::crashes() == 2; }));
}

TEST_CASE("HTTP/1.0 gets a stream up to the end of the connection") {
  http_world w(app());
  http_client c = w.client();
  c.send("GET /three HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const http_answer head = c.read(true);
  CHECK(head.header("Connection") == "close");
  CHECK(head.header("Transfer-Encoding").empty());
  CHECK(c.read_to_end() == "one two three");
}

TEST_CASE("streams, plain answers and a HEAD among pipelined requests come in their order") {
  http_world w(app());
  http_client c = w.client();
  c.send(get_request("/") + get_request("/three") + "HEAD /three HTTP/1.1\r\nHost: x\r\n\r\n" + get_request("/sized") +
         post_request("/echo", "Content-Length: 4\r\n", "body") + get_request("/three"));
  CHECK(c.read().body == "hello");
  CHECK(c.read().body == "one two three");
  const http_answer head = c.read(true);
  CHECK(head.status == 200);
  CHECK(head.header("Transfer-Encoding") == "chunked");
  CHECK(c.read().body == "12345");
  CHECK(c.read().body == "body");
  CHECK(c.read().body == "one two three");
}

TEST_CASE("a stream that fails ends before its end, and is reported") {
  http_world w(app());
  http_client c = w.client();
  c.send(get_request("/breaks"));
  CHECK(c.read(true).status == 200);
  CHECK(c.read_chunk() == "half of it");
  CHECK(c.is_closed());
  CHECK(http_world::crashes() == 1);
  CHECK(eventually([&] { return w.server.statistics().failed == 1; }));
  http_client old = w.client();  // only an error can tell it: there is no length
  old.send("GET /breaks HTTP/1.0\r\n\r\n");
  CHECK(eventually([&] { return w.server.statistics().failed == 2; }));
  CHECK(old.ends_with_reset());
  CHECK(w.ask(get_request("/bad_header")).status == 500);
  CHECK(running_streams == 0);
}

TEST_CASE("a full socket holds up the stream, not the server") {
  http_world w(app());
  bytes_written = 0;
  last_error = 0;
  http_client c = w.client();
  c.send(get_request("/endless"));
  std::uint64_t before = 0;
  CHECK(eventually([&] { return std::exchange(before, bytes_written.load()) == bytes_written && before > 0; }));
  CHECK(w.ask(get_request("/")).body == "hello");
  const std::uint64_t full = bytes_written;
  c.read_exactly(full + 1'000'000);
  CHECK(bytes_written > full);
  c.reset();
  CHECK(all_is_quiet(w));
  CHECK(eventually([&] {                           // once it hears of that before it is told to end
    if (last_error != 0) return last_error == EPIPE || last_error == ECONNRESET;
    http_client again = w.client();
    again.send(get_request("/endless"));
    again.read(true);
    again.reset();
    CHECK(all_is_quiet(w));
    return false;
  }));
}

TEST_CASE("a client that takes nothing for too long is told of to the stream") {
  http_world w(app(), {.write_timeout = 100ms});
  http_client c = w.client();
  c.send(get_request("/endless"));
  CHECK(c.read(true).status == 200);
  CHECK(all_is_quiet(w));
  CHECK(last_error == ETIMEDOUT);
}

TEST_CASE("a stream that waits for something ends when its client is gone") {
  http_world w(app());
  {
    http_client c = w.client();
    c.send(get_request("/waits"));
    CHECK(c.read(true).status == 200);
    wait_for_subscriber();
    c.reset();
  }
  CHECK(all_is_quiet(w));
  CHECK(http_world::crashes() == 0);
  http_client listens = w.client();  // but one that only sends no more still listens
  listens.send(get_request("/waits"));
  listens.end_writing();
  CHECK(listens.read(true).status == 200);
  wait_for_subscriber();
  send(subscriber, tick{7});
  CHECK(listens.read_chunk() == "begun");
  CHECK(listens.read_chunk() == "7");
}

TEST_CASE("events reach the client as they are sent") {
  http_world w(app());
  http_client c = w.client();
  c.send(get_request("/events"));
  const http_answer head = c.read(true);
  CHECK(head.header("Content-Type") == "text/event-stream");
  CHECK(head.header("Cache-Control") == "no-store");
  wait_for_subscriber();
  for (int i = 0; i < 100; ++i) {
    send(subscriber, tick{i});
    CHECK(c.read_chunk() == "event: tick\ndata: " + std::to_string(i) + "\n\n");
  }
}

TEST_CASE("an event may have a type, lines, an id and a time to come back") {
  http_world w(app());
  CHECK(w.ask(get_request("/all_of_an_event")).body ==
        ": hello\n\n"
        "event: a\nid: 7\nretry: 1500\ndata: one\ndata: two\ndata: three\ndata: \n\n"
        "data: \n\n"
        ": x\n: y\n\n");
}

TEST_CASE("a stream of events ends with its client") {
  http_world w(app());
  {
    std::vector<http_client> all;
    for (int i = 0; i < 20; ++i) {
      all.push_back(w.client());
      all.back().send(get_request("/events"));
      CHECK(all.back().read(true).status == 200);
      if (i % 2 == 0) all.back().send(get_request("/"));  // waits for its turn, which never comes
    }
    CHECK(eventually([] { return running_streams == 20; }));
  }
  subscribed = false;
  CHECK(all_is_quiet(w));
  CHECK(http_world::crashes() == 0);
}

TEST_CASE("a server that stops ends streams of events and lets other streams end") {
  http_world w(app());
  http_client events = w.client();
  events.send(get_request("/events"));
  CHECK(events.read(true).status == 200);
  wait_for_subscriber();
  http_client stream = w.client();
  stream.send(get_request("/waits"));
  CHECK(stream.read(true).status == 200);
  wait_for_subscriber();
  std::thread stopper([&] { CHECK(w.server.stop(infinity).cut_off == 0); });
  CHECK(events.read_chunk().empty());
  CHECK(events.is_closed());
  send(subscriber, tick{8});
  CHECK(stream.read_chunk() == "begun");
  CHECK(stream.read_chunk() == "8");
  CHECK(stream.read_chunk().empty());
  CHECK(stream.is_closed());
  stopper.join();
  CHECK(running_streams == 0);
}

TEST_CASE("a server that stops cuts off streams that do not end in time") {
  http_world w(app());
  http_client c = w.client();
  c.send(get_request("/waits"));
  CHECK(c.read(true).status == 200);
  wait_for_subscriber();
  CHECK(w.server.stop(10ms).cut_off == 1);
  CHECK(c.read_chunk() == "begun");
  CHECK(c.is_closed());
  CHECK(eventually([] { return running_streams == 0; }));
}

TEST_CASE("a handler reads the body in pieces") {
  http_world w(app(), {.head_timeout = 1min});
  http_client c = w.client();
  const std::string large(3'000'000, 'y');  // the server's own limit is one million
  CHECK(c.ask(post_request("/count", "Content-Length: 3000000\r\n", large)).body == "3000000 bytes in pieces");
  CHECK(c.ask(post_request("/count", "Content-Length: 5\r\n", "hello")).body == "5 bytes");
  CHECK(c.ask(post_request("/count", "Content-Length: 0\r\n")).body == "0 bytes");
  CHECK(c.ask(post_request("/count", "")).body == "0 bytes");
  std::string chunks;
  for (int i = 0; i < 30; ++i) chunks += "186a0\r\n" + large.substr(0, 100'000) + "\r\n";
  CHECK(c.ask(post_request("/count", "Transfer-Encoding: chunked\r\n", chunks + "0\r\n\r\n")).body ==
        "3000000 bytes in pieces");
  for (const char byte :
       post_request("/count", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n1\r\nd\r\n0\r\nA: b\r\n\r\n"))
    c.send({&byte, 1});
  CHECK(c.read().body.starts_with("4 bytes"));
  CHECK(c.ask(get_request("/")).body == "hello");
  CHECK(w.server.statistics().accepted == 1);
}

TEST_CASE("a body may be read in pieces and streamed back") {
  http_world w(app());
  http_client c = w.client();
  for (int i = 1; i < 40; ++i) {
    const std::string body(static_cast<std::size_t>(i) * 1000, static_cast<char>('a' + i % 26));
    CHECK(c.ask(post_request("/echo", "Content-Length: " + std::to_string(body.size()) + "\r\n", body)).body == body);
  }
}

TEST_CASE("the limit of a body may be the route's own") {
  http_world w(app());
  CHECK(w.ask(post_request("/small", "Content-Length: 10\r\n", "0123456789")).body == "10");
  CHECK(w.ask(post_request("/small", "Content-Length: 11\r\n", "0123456789a")).status == 413);
  CHECK(w.ask(post_request("/small", "Transfer-Encoding: chunked\r\n", "a\r\n0123456789\r\n1\r\na\r\n0\r\n\r\n"))
            .status == 413);
  CHECK(w.ask(post_request("/whole", "Content-Length: 1048577\r\n")).status == 413);
  CHECK(w.ask(post_request("/count", "Content-Length: 100000001\r\n")).status == 413);
  CHECK(w.ask(post_request("/count", "Transfer-Encoding: chunked\r\n", "3b9aca00\r\nabc")).status == 413);
  CHECK(w.ask(post_request("/count", "Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\nabc")).status == 400);
}

TEST_CASE("leave to send is given at the first read") {
  http_world w(app());
  http_client c = w.client();
  c.send(post_request("/count", "Content-Length: 5\r\nExpect: 100-continue\r\n"));
  CHECK(c.read().head == "HTTP/1.1 100 Continue\r\n");
  CHECK(c.ask("hello").body == "5 bytes");
  http_client refused = w.client();
  refused.send(post_request("/ignores", "Content-Length: 5\r\nExpect: 100-continue\r\n"));
  const http_answer a = refused.read();
  CHECK(a.body == "not read");
  CHECK(a.header("Connection") == "close");
}

TEST_CASE("a body that is not read ends the connection, but not before the answer is through") {
  http_world w(app());
  http_client c = w.client();
  c.send(post_request("/ignores", "Content-Length: 500000\r\n", std::string(400'000, 'z')));
  CHECK(c.read().body == "not read");
  CHECK(c.is_closed());
}

TEST_CASE("a body that fails is an http_error, which is the answer unless it is caught") {
  http_world w(app(), {.body_timeout = 100ms});
  CHECK(w.ask(post_request("/count", "Transfer-Encoding: chunked\r\n", "nonsense\r\n")).status == 400);
  CHECK(w.ask(post_request("/count", "Content-Length: 5\r\n", "slow")).status == 408);
  CHECK(w.ask(post_request("/excuses", "Content-Length: 5\r\n", "slow")).body == "it was 408");
  http_world patient(app());
  http_client ends = patient.client();
  ends.send(post_request("/excuses", "Content-Length: 5\r\n", "half"));
  ends.end_writing();
  CHECK(ends.read().body == "it was 400");
  CHECK(http_world::crashes() == 0);
}

TEST_CASE("a handler that fails over a body is a 500, one that hangs a 503") {
  http_world patient(app());
  CHECK(patient.ask(post_request("/crashes", "Content-Length: 5\r\n", "hello")).status == 500);
  CHECK(patient.server.statistics().failed == 1);
  http_world w(app(), {.handler_timeout = 50ms});
  CHECK(eventually([&] {                           // it ends within a second, or its client is not told why
    http_client c = w.client();
    const int status = c.ask(post_request("/hangs", "Content-Length: 5\r\n", "hello")).status;
    CHECK((status == 503 || status == 0));
    CHECK(c.is_closed());
    return status == 503;
  }));
  CHECK(eventually([] { return running_streams == 0; }));
  CHECK(w.server.statistics().failed == 1);
}

TEST_CASE("the time of a handler begins anew with each piece it reads") {
  http_world w(app(), {.handler_timeout = 200ms});
  CHECK(eventually([&] {                           // once no piece takes it that long; all together always do
    http_client c = w.client();
    c.send(post_request("/count", "Content-Length: 30\r\n"));
    for (int i = 0; i < 30; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      c.send("x");
    }
    return c.read().body.starts_with("30 bytes");
  }));
}

TEST_CASE("clients that leave in the middle of streams and bodies leave nothing behind") {
  http_world w(app());
  for (int round = 0; round < testing::rounds(5, 30); ++round) {
    std::vector<http_client> all;
    for (int i = 0; i < 30; ++i) {
      all.push_back(w.client());
      if (i % 4 == 0) all.back().send(get_request("/endless"));
      if (i % 4 == 1) all.back().send(get_request("/three") + get_request("/waits"));
      if (i % 4 == 2) all.back().send(post_request("/count", "Content-Length: 50000\r\n", "abc"));
      if (i % 4 == 3) all.back().send(post_request("/echo", "Content-Length: 5\r\n", "hello"));
    }
    for (std::size_t i = 0; i < all.size(); i += 3) all[i].reset();
  }
  CHECK(w.ask(get_request("/")).body == "hello");  // the others were accepted before this one
  CHECK(all_is_quiet(w));
  subscribed = false;
}
