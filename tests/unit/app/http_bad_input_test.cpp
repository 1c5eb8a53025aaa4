// SPDX-License-Identifier: Apache-2.0
//
// Clients that want to be understood in two ways, that never end, that take and give nothing.
#include <coppice/app/http_server.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "support/eventually.hpp"
#include "support/http/http_world.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace coppice;
using namespace coppice::testing;
using std::string_view_literals::operator""sv;

namespace {

std::atomic<int> smuggled = 0;

router app() {
  return router{get("/", [] { return text("hello"); }),
                get("/smuggled", [] { return ++smuggled, text("got through"); }),
                post("/", [](const http_request& r) { return text(std::to_string(r.body().size())); }),
                post("/pieces", [](const http_request&, request_body& b) {
                  while (!b.read().empty()) {}
                  return text(std::to_string(b.bytes_read()));
                })};
}

constexpr std::string_view behind = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";

/// But for the rings that workers make when they first read many sockets at once, and keep.
std::size_t open_descriptors() {
  std::size_t n = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    n += std::filesystem::read_symlink(entry, gone) != "anon_inode:[io_uring]";
  }
  return n;
}

}  // namespace

TEST_CASE("what two readers could take for two things is refused, and nothing behind it is looked at") {
  http_world w(app());
  smuggled = 0;
  // The lines between Host and the empty line, and what follows.
  const std::pair<std::string_view, std::string_view> shapes[] = {
      {"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"},
      {"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n", "0\r\n\r\n"},
      {"Content-Length: 0\r\nContent-Length: 5\r\n", ""},
      {"Content-Length: 5\r\nContent-Length: 0\r\n", ""},
      {"Content-Length: 0, 5\r\n", ""},
      {"Content-Length: +0\r\n", ""},
      {"Content-Length: 0x0\r\n", ""},
      {"Content-Length: -1\r\n", ""},
      {"Content-Length: 18446744073709551616\r\n", ""},
      {"Content-Length: 0 0\r\n", ""},
      {"Content-Length:\r\n", ""},
      {"Content-Length : 0\r\n", ""},
      {"Content Length: 0\r\n", ""},
      {"\tContent-Length: 0\r\n", ""},
      {"A: b\r\n Content-Length: 5\r\n", ""},
      {"A: b\r\n\tTransfer-Encoding: chunked\r\n", "0\r\n\r\n"},
      {"A: b\nContent-Length: 5\r\n", ""},
      {"A: b\rContent-Length: 5\r\n", ""},
      {"A: b\0c\r\n"sv, ""},
      {"A\0: b\r\n"sv, ""},
      {": b\r\n", ""},
      {"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"},
      {"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"},
      {"Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"},
      {"Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"},
      {"Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"},
      {"Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"},
      {"Transfer-Encoding: \vchunked\r\n", "0\r\n\r\n"},
      {"Transfer-Encoding : chunked\r\n", "0\r\n\r\n"},
      {"Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"},
      {"Transfer-Encoding: chunked\r\n", "0\n\n"},
      {"Transfer-Encoding: chunked\r\n", "5\nhello\n0\n\n"},
      {"Transfer-Encoding: chunked\r\n", "5\r\nhelloXX0\r\n\r\n"},
      {"Transfer-Encoding: chunked\r\n", "+0\r\n\r\n"},
      {"Transfer-Encoding: chunked\r\n", "-1\r\n\r\n"},
      {"Transfer-Encoding: chunked\r\n", "0x0\r\n\r\n"},
      {"Transfer-Encoding: chunked\r\n", " 0\r\n\r\n"},
      {"Transfer-Encoding: chunked\r\n", "0\r\n: b\r\n\r\n"},
      {"Transfer-Encoding: chunked\r\n", "0\r\nA: b\nC: d\r\n\r\n"},
      {"Transfer-Encoding: chunked\r\n", "10000000000000000\r\n\r\n"},
      {"Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\nx\r\n"},
      {"Transfer-Encoding: chunked\r\n", "00000000000000000000000000000000005;\r\n"},
  };
  for (const auto& [lines, body] : shapes)
    for (const char* path : {"/", "/pieces"}) {
      http_client c = w.client();
      c.send("POST " + std::string(path) + " HTTP/1.1\r\nHost: x\r\n" + std::string(lines) + "\r\n" +
             std::string(body) + std::string(behind));
      const http_answer a = c.read();
      CHECK_MESSAGE(a.status >= 400, std::string(lines), std::string(body));
      CHECK_MESSAGE(a.header("Connection") == "close", std::string(lines), std::string(body));
      CHECK_MESSAGE(c.is_closed(), std::string(lines), std::string(body));
    }
  CHECK(smuggled == 0);
  CHECK(http_world::crashes() == 0);
}

TEST_CASE("a first line that is none is refused, and nothing behind it is looked at") {
  http_world w(app());
  smuggled = 0;
  for (const char* line :
       {"GET  / HTTP/1.1", "GET / HTTP/1.1 ", "GET\t/ HTTP/1.1", " GET / HTTP/1.1", "GET / HTTP/1.1\r",
        "GET / http/1.1", "GET / HTTP/1.", "GET / HTTP/01.1", "GET / HTTP/1.1\r\n", "GET /\x7f HTTP/1.1",
        "GET /a\rb HTTP/1.1", "GET", "GET /", "/ HTTP/1.1", "G(T / HTTP/1.1"}) {
    http_client c = w.client();
    c.send(std::string(line) + "\r\nHost: x\r\n\r\n" + std::string(behind));
    const http_answer a = c.read();
    CHECK_MESSAGE(a.status >= 400, std::string(line));
    CHECK_MESSAGE(c.is_closed(), std::string(line));
    CHECK_MESSAGE(smuggled == 0, std::string(line));
  }
}

TEST_CASE("a Host that is none, or not the one that the target names, is refused") {
  http_world w(app());
  smuggled = 0;
  const std::pair<std::string_view, std::string_view> shapes[] = {
      {"/", "a b"},          {"/", "evil@x"},      {"/", "x, y"},   {"/", "x/y"},   {"/", "x?y"},        {"/", "x:y:1"},
      {"/", "x:y"},          {"/", "[::1"},        {"/", ":80"},    {"/", "x\\y"}, {"http://x/", "y"},  {"http://x/", ""},
      {"http://x:80/", "x"}, {"HTTP://x@y/", "y"}, {"https://x", "y"}};
  for (const auto& [target, host] : shapes) {
    http_client c = w.client();
    c.send("GET " + std::string(target) + " HTTP/1.1\r\nHost: " + std::string(host) + "\r\n\r\n" + std::string(behind));
    CHECK_MESSAGE(c.read().status == 400, std::string(target), " ", std::string(host));
    CHECK_MESSAGE(c.is_closed(), std::string(target), " ", std::string(host));
  }
  CHECK(smuggled == 0);
}

TEST_CASE("a head, a chunk's head or a trailer that never ends comes to its limit") {
  http_world w(app(), {.head_timeout = 1min});
  const auto endless = [&](std::string begin, const std::string& more) {
    http_client c = w.client();
    c.send(begin);
    int sent = 0;
    while (sent < 20'000 && c.send(more)) ++sent;
    const int status = c.read().status;
    c.read_to_end();
    return status;
  };
  const std::string head = "POST / HTTP/1.1\r\nHost: x\r\n";
  const std::string chunked = head + "Transfer-Encoding: chunked\r\n\r\n";
  CHECK(endless("GET /", std::string(1000, 'a')) == 414);
  CHECK(endless(head, "A: b\r\n") == 431);
  CHECK(endless(head + "A: ", std::string(1000, 'b')) == 431);
  const int extension = endless(chunked + "1;", std::string(1000, 'e'));
  CHECK((extension == 413 || extension == 400));
  const int trailer = endless(chunked + "0\r\n", "A: b\r\n");
  CHECK((trailer == 413 || trailer == 431 || trailer == 400));
  CHECK(endless(chunked, "1000\r\n" + std::string(4096, 'x') + "\r\n") == 413);
  const int zeros = endless(chunked, "0000000000000000000000000000000000");
  CHECK((zeros == 413 || zeros == 400));
}

TEST_CASE("a body that comes too slowly is given up, in pieces as well") {
  http_world w(app(), {.body_timeout = 100ms});
  for (const char* path : {"/", "/pieces"}) {
    http_client c = w.client();
    c.send("POST " + std::string(path) + " HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
    std::atomic<bool> over = false;
    std::thread drip([&] {
      while (!over && c.send("x")) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    });
    CHECK(c.read().status == 408);
    over = true;
    drip.join();
  }
}

TEST_CASE("connections that are opened and dropped leave no descriptor and no process") {
  http_world w(app());
  const std::size_t before = open_descriptors();
  const int many = testing::rounds(3'000, 100'000);
  for (int i = 0; i < many; ++i) {
    http_client c = w.client();
    if (i % 3 == 1) c.send("GET");
    if (i % 3 == 2) c.send(get_request("/"));
    c.reset();
  }
  CHECK(w.ask(get_request("/")).status == 200);
  CHECK(eventually([&] { return w.server.statistics().connections == 0 && open_descriptors() <= before; }));
}
