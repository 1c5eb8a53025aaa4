// SPDX-License-Identifier: Apache-2.0
//
// More clients than there is room for: they wait in the kernel's queue. Under TLS they would wait for the handshake, which a test that
// does one thing after the other cannot.
#include <coppice/app/http_server.hpp>

#include <doctest/doctest.h>

#include <vector>

#include "support/eventually.hpp"
#include "support/http/http_world.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

using namespace coppice;
using namespace coppice::testing;

namespace {
router app() {
  return router{get("/", [] { return text("hello"); })};
}
}  // namespace

TEST_CASE("above the limit of connections, new ones wait for a place") {
  http_world w(app(), {.max_connections = 2});
  http_client a = w.client();
  CHECK(a.ask(get_request("/")).status == 200);
  {
    http_client b = w.client();
    CHECK(b.ask(get_request("/")).status == 200);
    http_client waiting = w.client();
    waiting.send(get_request("/"));
    CHECK(w.server.statistics().connections == 2);
    { http_client leaving = std::move(b); }
    CHECK(waiting.read().body == "hello");
  }
}

TEST_CASE("without descriptors the server says so once, waits, and goes on") {
  http_world w(app());
  constexpr int clients = 20;
  rlimit usual{};
  ::getrlimit(RLIMIT_NOFILE, &usual);
  std::vector<int> waiting;
  for (int i = 0; i < clients; ++i) waiting.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const rlimit low{.rlim_cur = static_cast<rlim_t>(waiting.back()) + 20, .rlim_max = usual.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &low);
  std::vector<int> fillers;
  for (int fd = 0; (fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;) fillers.push_back(fd);
  for (int i = 0; i < 2; ++i) {  // room for two connections
    ::close(fillers.back());
    fillers.pop_back();
  }
  std::vector<http_client> all;
  for (const int fd : waiting) all.push_back(http_client::connected(fd, w.server.port()));
  for (http_client& c : all) c.send(get_request("/", "Connection: close\r\n"));
  CHECK(eventually([] { return http_world::warnings() == 1; }));
  for (http_client& c : all) CHECK(c.read().body == "hello");
  CHECK(http_world::warnings() == 1);
  for (const int fd : fillers) ::close(fd);
  ::setrlimit(RLIMIT_NOFILE, &usual);
  all.clear();
  CHECK(w.ask(get_request("/")).status == 200);
}
