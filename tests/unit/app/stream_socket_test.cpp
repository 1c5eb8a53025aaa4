// SPDX-License-Identifier: Apache-2.0
//
// Sockets that suspend a process, or a plain thread; owners that are told; processes that die while they wait.
#include "process/stream_socket.hpp"

#include <coppice/process/process.hpp>
#include <coppice/process/receive.hpp>

#include <doctest/doctest.h>

#include "process/system.hpp"
#include "support/eventually.hpp"

#include <sys/socket.h>

#include <atomic>
#include <cerrno>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

using namespace coppice;
using internal::io_ready;
using internal::io_result;
using internal::stream_socket;
using testing::eventually;

namespace {

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t never = detail::sync::never;

struct world {
  explicit world(unsigned workers = 2) : rt({.workers = workers}) {}
  /// Two ends of one connection; `owner` is told of the first one.
  std::pair<stream_socket, stream_socket> pair(pid owner = {}) {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    return {stream_socket(in, ends[0], owner), stream_socket(in, ends[1])};
  }
  std::uint64_t open() { return internal::poller_of(in).open_descriptors(); }

  runtime rt;
  runtime_scope scope{rt};
  internal::system& in = rt.impl();
};

std::string read_exactly(stream_socket& s, std::size_t size) {
  std::string all;
  char room[4096];
  while (all.size() < size) {
    const io_result got = s.read_some(room, 60 * second);
    if (got.bytes == 0) break;
    all.append(room, got.bytes);
  }
  return all;
}

}  // namespace

TEST_CASE("a process and a plain thread talk over a socket") {
  world w;
  auto [mine, other] = w.pair();
  const pid echo = spawn([s = std::move(other)]() mutable {
    char room[4096];
    for (;;) {
      const io_result got = s.read_some(room, never);
      if (got.bytes == 0) return;
      s.write_all({room, got.bytes}, never);
    }
  });
  for (int i = 0; i < testing::rounds(2000, 100'000); ++i) {
    const std::string text = std::to_string(i);
    REQUIRE(mine.write_all(text, never).error == 0);
    REQUIRE(read_exactly(mine, text.size()) == text);
  }
  mine.close();
  CHECK(eventually([&] { return !alive(echo); }));
  CHECK(w.open() == 0);
}

TEST_CASE("a writer waits for a slow reader and nothing is lost") {
  world w;
  auto [mine, other] = w.pair();
  spawn([s = std::move(other)]() mutable {
    std::string line;
    for (int i = 0; i < 300'000; ++i) line = std::to_string(i) + ",", s.write_all(line, never);
  });
  std::string expected;
  for (int i = 0; i < 300'000; ++i) expected += std::to_string(i) + ",";
  CHECK(read_exactly(mine, expected.size()) == expected);
}

TEST_CASE("a wait ends at its time, in a process and in a plain thread") {
  world w;
  auto [mine, other] = w.pair();
  char room[16];
  CHECK(mine.read_some(room, 1'000'000).error == ETIMEDOUT);
  std::atomic<int> seen = 0;
  spawn([&seen, s = std::move(other)]() mutable {
    char inner[16];
    seen = s.read_some(inner, 1'000'000).error;
    const std::string much(10'000'000, 'x');
    if (s.write_all(much, 1'000'000).error == ETIMEDOUT) seen = -1;
  });
  CHECK(eventually([&] { return seen == -1; }));
}

TEST_CASE("a process that is killed while it waits on a socket closes it") {
  world w;
  for (int i = 0; i < testing::rounds(200, 20'000); ++i) {
    auto [mine, other] = w.pair();
    const pid victim = spawn([s = std::move(other)]() mutable {
      char room[16];
      s.write_all("a", never);
      s.read_some(room, never);
    });
    if (i % 2 == 0) REQUIRE(read_exactly(mine, 1) == "a");
    exit(victim, exit_reason::kill);
    while (true) {
      char room[16];
      const io_result got = mine.read_some(room, 60 * second);
      REQUIRE(got.error != ETIMEDOUT);
      if (got.bytes == 0) break;
    }
  }
  CHECK(eventually([&] { return w.open() == 0; }));
}

TEST_CASE("an owner is told once, however much arrives, and again after it has looked") {
  world w;
  std::atomic<int> told = 0;
  std::atomic<bool> look = false;
  std::atomic<bool> ready = false;
  stream_socket mine;
  const pid owner = spawn([&] {
    ready = true;
    for (;;) {
      receive<io_ready>();
      ++told;
      while (!look.exchange(false)) sleep_for(100us);
      mine.clear_notice();
      char room[4096];
      while (mine.try_read(room).bytes > 0) {}
    }
  });
  auto ends = w.pair(owner);
  mine = std::move(ends.first);
  CHECK(eventually([&] { return ready.load(); }));
  ends.second.write_all("one", never);
  CHECK(eventually([&] { return told == 1; }));
  for (int i = 0; i < 100; ++i) ends.second.write_all("more", never);
  CHECK(told == 1);
  look = true;
  CHECK(eventually([&] {  // what came before it looked is not told again
    ends.second.try_write("again");
    return told == 2;
  }));
  exit(owner, exit_reason::kill);
  CHECK(eventually([&] { return !alive(owner); }));
}

TEST_CASE("an owner is told when its deadline comes, and not when it was moved away") {
  world w;
  std::atomic<int> told = 0;
  const pid owner = spawn([&] {
    for (;;) receive<io_ready>(), ++told;
  });
  auto ends = w.pair(owner);
  ends.first.set_deadline(detail::sync::now() + 3'600 * second);
  ends.first.set_deadline(detail::sync::now() + 1'000'000);
  CHECK(eventually([&] { return told == 1; }));
  ends.first.clear_notice();
  ends.first.set_deadline(detail::sync::now() + 20'000'000);
  ends.first.set_deadline(never);
  ends.second.write_all("x", never);
  CHECK(eventually([&] { return told == 2; }));
}

TEST_CASE("descriptors are used again, and old timers and events do no harm") {
  world w;
  for (int i = 0; i < testing::rounds(2000, 200'000); ++i) {
    auto ends = w.pair(self());
    ends.first.set_deadline(detail::sync::now() + (i % 3) * 100'000);
    ends.second.write_all("x", never);
    if (i % 2 == 0) ends.second.close();
  }
  CHECK(eventually([&] { return w.open() == 0; }));
}

TEST_CASE("connecting works, and says why when it does not") {
  world w;
  stream_socket door = stream_socket::listen(w.in, "127.0.0.1", 0, 10);
  const std::uint16_t port = door.local_port();
  stream_socket here = stream_socket::connect(w.in, "127.0.0.1", port, 60 * second);
  internal::socket_peer from;
  int accepted = -1;
  REQUIRE(eventually([&] { return (accepted = door.try_accept(from)) >= 0; }));
  stream_socket there(w.in, accepted);
  CHECK(there.write_all("hello", second).error == 0);
  CHECK(read_exactly(here, 5) == "hello");
  CHECK_THROWS_AS(stream_socket::listen(w.in, "127.0.0.1", port, 10), std::system_error);
  door.close();
  CHECK_THROWS_AS(stream_socket::connect(w.in, "127.0.0.1", port, second), std::system_error);
  CHECK_THROWS_AS(stream_socket::connect(w.in, "localhost", port, second), std::system_error);
}

TEST_CASE("a worker that computes does not hold up the sockets of others") {
  world w(1);
  auto [mine, other] = w.pair();
  spawn([s = std::move(other)]() mutable {
    char room[16];
    for (;;) {
      const io_result got = s.read_some(room, never);
      if (got.bytes == 0) return;
      s.write_all({room, got.bytes}, never);
    }
  });
  std::atomic<bool> over = false;
  std::atomic<bool> computing = false;
  spawn([&] {
    computing = true;
    while (!over) std::this_thread::yield();  // never gives the worker back
  });
  CHECK(eventually([&] { return computing.load(); }));
  for (int i = 0; i < 20; ++i) {
    REQUIRE(mine.write_all("x", second).error == 0);
    REQUIRE(read_exactly(mine, 1) == "x");
  }
  over = true;
}
