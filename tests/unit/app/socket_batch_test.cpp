// SPDX-License-Identifier: Apache-2.0
//
// Many sockets read and written by one system call: what was read early, what was posted, and all that may come between.
#include "runtime/socket_batch.hpp"

#include <coppice/process/process.hpp>
#include <coppice/process/receive.hpp>
#include <coppice/runtime/blocking.hpp>

#include <doctest/doctest.h>

#include "process/stream_socket.hpp"
#include "process/system.hpp"

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <string>
#include <vector>

using namespace coppice;
using internal::call_ring;
using internal::counted;
using internal::io_ready;
using internal::stream_socket;
using internal::sum_of;

namespace {

constexpr std::int64_t never = detail::sync::never;
constexpr int several = 8;

/// One worker, so that all that becomes readable while it is held is seen at once; without a monitor thread nobody else looks.
class world {
 public:
  explicit world(bool monitor = false, bool batches = true)
      : system_(new internal::system({.report_faults = false, .batch_sockets = batches}, {.workers = 1, .monitor = monitor})) {
    internal::here().home = system_->number;
    system_->start();
  }
  ~world() {
    while (system_->alive() != 0) detail::sync::relax();  // their clients have gone
    CHECK(system_->sched.stop(never));
    internal::here().home = 0;
    delete system_;
  }
  internal::system& system() { return *system_; }

 private:
  internal::system* system_;
};

/// A socket: one end of the test's thread, the other end a process's.
class client {
 public:
  client() {
    int ends[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    mine_ = ends[0];
    others = ends[1];
    const timeval limit{.tv_sec = 60, .tv_usec = 0};
    ::setsockopt(mine_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    const int flags = 1;
    ::ioctl(others, FIONBIO, &flags);
  }
  ~client() { ::close(mine_); }
  client(const client&) = delete;

  void send(std::string_view text) const { REQUIRE(::send(mine_, text.data(), text.size(), 0) == static_cast<ssize_t>(text.size())); }
  std::string receive(std::size_t bytes) const {
    std::string all(bytes, '\0');
    std::size_t have = 0;
    while (have < bytes) {
      const ssize_t n = TEMP_FAILURE_RETRY(::recv(mine_, all.data() + have, bytes - have, 0));
      if (n <= 0) break;
      have += static_cast<std::size_t>(n);
    }
    all.resize(have);
    return all;
  }
  bool has_ended() const {
    char c = 0;
    const ssize_t n = TEMP_FAILURE_RETRY(::recv(mine_, &c, 1, 0));
    return n == 0 || (n < 0 && errno == ECONNRESET);
  }

  int others;

 private:
  int mine_;
};

/// Keeps the only worker busy.
class hold {
 public:
  hold() {
    spawn([this] {
      taken_ = true;
      while (!released_) detail::sync::relax();
      over_ = true;
    });
    while (!taken_) detail::sync::relax();
  }
  void release() {
    released_ = true;
    while (!over_) detail::sync::relax();
  }
  ~hold() {
    if (!released_) release();
  }

 private:
  std::atomic<bool> taken_ = false;
  std::atomic<bool> released_ = false;
  std::atomic<bool> over_ = false;
};

/// A process that owns the socket of `c` and calls `look(socket)` when it is told to. It has invited early reads when this returns.
template <class Look>
pid own(world& w, client& c, Look look) {
  auto ready = std::make_shared<std::atomic<bool>>(false);
  const pid p = spawn([&w, fd = c.others, look, ready] {
    stream_socket s(w.system(), fd, self());
    s.invite();
    *ready = true;
    for (;;) {
      receive<io_ready>();
      s.clear_notice();
      if (s.has_posted() && s.write_posted(never).error != 0) return;
      if (!look(s)) return;
      s.invite();
    }
  });
  while (!*ready) detail::sync::relax();
  return p;
}

/// All there is.
std::string read_all(stream_socket& s) {
  std::string all;
  char room[4096];
  for (;;) {
    const internal::io_result got = s.try_read(room);
    all.append(room, got.bytes);
    if (got.bytes == 0) return all;
  }
}

bool echo_this(stream_socket& s, const std::string& text) {
  if (text.empty()) return !s.hung_up();
  return s.post(text) || s.write_all(text, never).error == 0;
}
bool echo(stream_socket& s) { return echo_this(s, read_all(s)); }

/// An answer comes back: whatever happened before is over.
void ask(const client& c) {
  c.send("?");
  CHECK(c.receive(1) == "?");
}

struct echoes {
  explicit echoes(world& w, int count = several) : clients(static_cast<std::size_t>(count)) {
    for (client& c : clients) own(w, c, echo);
    for (const client& c : clients) ask(c);
    {
      hold worker;
      for (const client& c : clients) c.send("!");
    }
    for (const client& c : clients) CHECK(c.receive(1) == "!");
  }
  std::vector<client> clients;
};

bool is_granted() {
  static const bool granted = call_ring().is_open();
  if (!granted) MESSAGE("this system grants no io_uring: nothing is tested");
  return granted;
}

struct calls_made {
  std::uint64_t batches = sum_of(counted::batches);
  std::uint64_t calls = sum_of(counted::batched_calls);
};

}  // namespace

TEST_CASE("a ring makes its calls in their order, and says of each how it went") {
  call_ring ring;
  if (!is_granted()) return;
  client a;
  client b;
  client gone;
  for (int round = 0; round < 100; ++round) {   // the queues go round
    char into[3][8] = {};
    b.send("to b");
    ring.write(a.others, "to a", 4);
    ring.read(b.others, into[0], 8);
    ring.read(b.others, into[1], 8);
    ring.read(-1, into[2], 8);
    std::int32_t results[4];
    ring.run(results);
    CHECK(a.receive(4) == "to a");
    CHECK(results[0] == 4);
    CHECK(results[1] == 4);
    CHECK(std::string_view(into[0], 4) == "to b");
    CHECK(results[2] == -EAGAIN);
    CHECK(results[3] == -EBADF);
  }
  ::shutdown(gone.others, SHUT_WR);
  std::int32_t result = 0;
  ring.write(gone.others, "x", 1);
  ring.run(&result);
  CHECK(result == -EPIPE);                      // and no signal
  for (const client* c : {&a, &b, &gone}) ::close(c->others);
}

TEST_CASE("sockets that become readable together are read by one call, and their answers written by one") {
  if (!is_granted()) return;
  world w;
  echoes all(w);
  const calls_made before;
  {
    hold worker;
    for (int i = 0; i < several; ++i) all.clients[i].send("hello " + std::to_string(i));
  }
  for (int i = 0; i < several; ++i) CHECK(all.clients[i].receive(7) == "hello " + std::to_string(i));
  const calls_made after;
  CHECK(after.calls - before.calls > several);   // all reads, and the first writes: on a slow machine the last one may be written alone
  CHECK(after.batches - before.batches < after.calls - before.calls);
}

TEST_CASE("what is too much to be read early, or to be posted, comes whole and in order") {
  world w;
  echoes all(w);
  for (const std::size_t size : {internal::early_read::room - 1, internal::early_read::room + 0, internal::early_read::room + 1,
                                 static_cast<unsigned>(internal::socket_batch::largest_post), 5000U, 60'000U}) {
    std::string text;
    for (std::size_t i = 0; text.size() < size; ++i) text += std::to_string(i) + ",";
    {
      hold worker;
      for (client& c : all.clients) c.send(text);
    }
    for (client& c : all.clients) {
      const bool same = c.receive(text.size()) == text;
      CHECK(same);
    }
  }
}

TEST_CASE("what a client does not take is kept, and goes before all that is written later") {
  world w;
  echoes others(w);
  client slow;
  const std::string much(100'000, 'm');
  std::atomic<std::size_t> written = 0;
  own(w, slow, [&](stream_socket& s) {
    const std::string text = read_all(s);
    if (text == "fill") {
      for (;;) {
        const internal::io_result put = s.try_write(much);
        if (put.error != 0) return true;
        written += put.bytes;
      }
    }
    if (text == "more") return s.write_all("more", never).error == 0;
    return echo_this(s, text);
  });
  slow.send("fill");
  while (written == 0) detail::sync::relax();
  { hold until_it_is_full; }
  {
    hold worker;
    for (client& c : others.clients) c.send("last");
    slow.send("last");
  }
  for (client& c : others.clients) CHECK(c.receive(4) == "last");
  const bool all_of_it = slow.receive(written) == std::string(written, 'm');
  CHECK(all_of_it);
  CHECK(slow.receive(4) == "last");
  slow.send("more");
  CHECK(slow.receive(4) == "more");
}

TEST_CASE("a socket that is closed, or ended, with posted bytes sends them first") {
  world w;
  std::vector<client> clients(several);
  for (int i = 0; i < several; ++i)
    own(w, clients[i], [i](stream_socket& s) {
      const std::string text = read_all(s);
      if (text.empty()) return true;             // a notice is a hint
      if (text == "?") return s.write_all(text, never).error == 0;
      if (!s.post(text)) s.write_all(text, never);
      if (i % 2 == 0) s.end_writing();
      return false;
    });
  for (const client& c : clients) ask(c);
  {
    hold worker;
    for (client& c : clients) c.send("goodbye");
  }
  for (client& c : clients) {
    CHECK(c.receive(7) == "goodbye");
    CHECK(c.has_ended());
  }
}

TEST_CASE("owners that are killed leave the room of what was read for them") {
  world w;
  for (int round = 0; round < 40; ++round) {     // more than there is room for
    std::vector<client> clients(several);
    std::vector<pid> owners;
    for (client& c : clients) owners.push_back(own(w, c, [](stream_socket&) { return true; }));
    {
      hold worker;
      for (client& c : clients) c.send("x");
      for (const pid p : owners) exit(p, exit_reason::kill);
    }
    for (client& c : clients) CHECK(c.has_ended());
  }
  echoes all(w);
  const calls_made before;
  {
    hold worker;
    for (client& c : all.clients) c.send("y");
  }
  for (client& c : all.clients) CHECK(c.receive(1) == "y");
  if (is_granted()) CHECK(calls_made().calls - before.calls > several);
}

TEST_CASE("posted bytes do not wait for a worker that is stuck, or says that it will be away") {
  for (const bool announced : {false, true}) {
    world w(!announced);
    echoes all(w);
    client asker;
    std::atomic<bool> received = false;
    std::atomic<bool> posted = false;
    own(w, asker, [&](stream_socket& s) {
      if (read_all(s).empty()) return true;
      for (int i = 0; i < 3; ++i) spawn([] {});  // the worker has something else to do
      posted = s.post("answer");
      if (!posted) s.write_all("answer", never);
      const auto wait = [&] {
        while (!received) detail::sync::relax();
      };
      if (announced) blocking(wait);
      else wait();
      return false;
    });
    asker.send("x");
    CHECK(asker.receive(6) == "answer");
    received = true;
    CHECK(asker.has_ended());
    if (is_granted() && announced) CHECK(posted);
  }
}

TEST_CASE("a runtime that is told not to batch makes each call by itself") {
  world w(false, false);
  echoes all(w);
  const calls_made before;
  {
    hold worker;
    for (client& c : all.clients) c.send("x");
  }
  for (client& c : all.clients) CHECK(c.receive(1) == "x");
  CHECK(calls_made().calls == before.calls);
}
