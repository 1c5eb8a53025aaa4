// SPDX-License-Identifier: Apache-2.0
//
// A real server on 127.0.0.1 that gets any bytes, in two pieces (the first byte says where they part), from a client that then
// only listens. Whatever comes: the answers are HTTP, no handler fails, and the connection ends.
#include <coppice/app/http_server.hpp>
#include <coppice/base/log_sink.hpp>
#include <coppice/process/runtime.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>

#include "fuzz/fuzz.hpp"

using namespace coppice;
using testing::require;

namespace {

/// Nothing that a client sent is sent back, so what looks like a status line is one.
router app() {
  return router{get("/", [] { return text("hello"); }),
                get("/path/:name", [](const http_request& r) { return text(std::to_string(r.parameter("name").size())); }),
                get("/query", [](const http_request& r) { return text(std::to_string(r.query("a").value_or("").size())); }),
                post("/body", [](const http_request& r) { return text(std::to_string(r.body().size())); })};
}

struct world {
  runtime rt{{.workers = 2}};
  http_server server = run_server(app(), {.port = 0, .max_head_bytes = 1024, .max_body_bytes = 512, .in = &rt});
};

world& the_world() {
  static world& w = *new world;   // the program ends without asking anybody
  return w;
}

int connect_to(int port) {
  const int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{.sin_family = AF_INET, .sin_port = htons(static_cast<std::uint16_t>(port)), .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  require(s >= 0 && connect(s, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0, "the server takes connections");
  const int on = 1;
  setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const timeval patience{.tv_sec = 15, .tv_usec = 0};
  setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const linger reset{.l_onoff = 1, .l_linger = 0};  // leaves no port behind in TIME_WAIT
  setsockopt(s, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  return s;
}

/// False: the server has closed already, which it may.
bool send_all(int s, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = send(s, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

std::string read_all(int s) {
  std::string got;
  char piece[4096];
  for (;;) {
    const ssize_t n = recv(s, piece, sizeof piece, 0);
    if (n > 0) got.append(piece, static_cast<std::size_t>(n));
    else if (n == 0 || errno == ECONNRESET) return got;
    else require(errno == EINTR, "the server answers or closes");
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t first = input.size() * data[0] / 256;
  world& w = the_world();
  const int s = connect_to(w.server.port());
  if (send_all(s, input.substr(0, first))) send_all(s, input.substr(first));
  shutdown(s, SHUT_WR);
  const std::string said = read_all(s);
  close(s);
  require(said.empty() || said.starts_with("HTTP/1.1 "), "the answer is HTTP");
  for (const char* failed : {"HTTP/1.1 500", "HTTP/1.1 503", "HTTP/1.1 408"}) require(said.find(failed) == std::string::npos, failed);
  require(w.server.statistics().failed == 0, "no handler failed");
  return 0;
}
