// SPDX-License-Identifier: Apache-2.0
//
// Selective receive: PR-58, PR-59, OL-56 to OL-60.
#include "spec/process/world.hpp"

#include <coppice/process/process_info.hpp>
#include <coppice/process/timer.hpp>

#include <stdexcept>
#include <thread>

using namespace coppice;
using namespace coppice::testing;

namespace {

struct ping { int id; };
struct pong { int id; };

template <class... Ms>
void to_me(Ms... ms) {
  (send(self(), ms), ...);
}

}  // namespace

TEST_CASE("PR-58 OL-56 OL-57 OL-58 the first message in arrival order that a clause takes is taken; the others stay in order") {
  world w;
  in_process([] {
    to_me(1, 2, 3, 4);
    int got = 0;
    receive(when([](int n) { return n == 3; }, [&](int n) { got = n; }));
    CHECK(got == 3);
    CHECK(process_info(self())->queue_length == 3);
    for (const int n : {1, 2, 4}) CHECK(receive<int>() == n);
    // First in arrival order, not in the order of the clauses.
    to_me(ping{1}, pong{2});
    int which = 0;
    receive([&](pong) { which = 2; }, [&](ping) { which = 1; });
    CHECK(which == 1);
    CHECK(receive<pong>().id == 2);
    // Of two clauses that take it, the first.
    to_me(7);
    receive(when([](int n) { return n > 10; }, [&](int) { which = 10; }), [&](int) { which = 11; }, [&](message&) { which = 12; });
    CHECK(which == 11);
  });
}

TEST_CASE("PR-58 taking first, middle and last leaves the rest whole") {
  world w;
  in_process([] {
    for (int out = 0; out < 5; ++out) {
      to_me(0, 1, 2, 3, 4);
      receive(when([&](int n) { return n == out; }, [](int) {}));
      to_me(5);
      for (int n = 0; n <= 5; ++n)
        if (n != out) CHECK(receive<int>() == n);
      CHECK(flush() == 0);
    }
  });
}

TEST_CASE("PR-58 OL-59 a timeout of 0 means only what is already there, and looks at all of it") {
  world w;
  in_process([] {
    for (int i = 0; i < 100; ++i) to_me(ping{i});
    to_me(pong{1});
    const auto last = receive<pong>(duration{0});
    CHECK(last.has_value());
    CHECK_FALSE(receive<pong>(duration{0}).has_value());
    bool ran = false;
    const bool took = receive([](pong) {}, after(duration{0}, [&] { ran = true; }));
    CHECK_FALSE(took);
    CHECK(ran);
    CHECK(process_info(self())->queue_length == 100);
    CHECK_FALSE(receive<pong>(duration{-5}).has_value());
  });
}

TEST_CASE("PR-58 OL-59 after a time without a message the after clause runs, not earlier; messages that fit nothing do not count") {
  world w;
  in_process([] {
    const auto begin = std::chrono::steady_clock::now();
    const pid me = self();
    const pid noise = spawn([me] {
      for (;;) {
        send(me, 1);
        sleep_for(std::chrono::milliseconds(1));
      }
    });
    bool ran = false;
    const bool took = receive([](pong) {}, after(std::chrono::milliseconds(20), [&] { ran = true; }));
    CHECK_FALSE(took);
    CHECK(ran);
    CHECK(std::chrono::steady_clock::now() - begin >= std::chrono::milliseconds(20));
    exit(noise, exit_reason::kill);
  });
  // The same for a plain thread.
  const auto begin = std::chrono::steady_clock::now();
  CHECK_FALSE(receive<pong>(std::chrono::milliseconds(20)).has_value());
  CHECK(std::chrono::steady_clock::now() - begin >= std::chrono::milliseconds(20));
}

TEST_CASE("PR-58 OL-59 without a timeout it waits forever, and with infinity as well: a message ends the wait") {
  world w;
  const pid test = self();
  const pid p = spawn([=] {
    receive([](ping) {}, after(infinity, [] {}));
    receive([](pong) {});
    send(test, 1);
  });
  for (int i = 0; i < 10; ++i) send(p, i);          // fit nothing
  send(p, ping{1});
  send(p, pong{1});
  CHECK(receive<int>() == 1);
}

TEST_CASE("OL-56 a message that no clause accepts stays and kills nobody") {
  world w;
  const pid p = spawn([] { receive<pong>(); });
  for (int i = 0; i < 5; ++i) send(p, ping{i});
  CHECK(eventually([&] { return process_info(p)->queue_length == 5; }));
  CHECK(alive(p));
  const reference ref = monitor(p);
  send(p, pong{});
  CHECK(reason_of(ref) == exit_reason::normal);
}

TEST_CASE("OL-58 a catch-all clause takes what it sees as a message, with its name and type") {
  world w;
  in_process([] {
    to_me(ping{4});
    std::string name;
    int id = 0;
    bool is_pong = true;
    receive([&](message& m) {
      name = m.name();
      is_pong = m.as<pong>() != nullptr;
      if (const ping* p = m.as<ping>()) id = p->id;
    });
    CHECK(name == "ping");
    CHECK(id == 4);
    CHECK_FALSE(is_pong);
  });
}

TEST_CASE("OL-58 a clause that throws: the message is gone, the others stay") {
  world w;
  int destroyed = 0;
  in_process([&] {
    send(self(), counted(destroyed));
    to_me(1);
    CHECK_THROWS_AS(receive([](counted&) { throw std::runtime_error("no"); }), std::runtime_error);
    CHECK(destroyed == 1);
    CHECK(receive<int>() == 1);
    CHECK(flush() == 0);
    // A condition that throws has taken nothing.
    to_me(2);
    CHECK_THROWS_AS(receive(when([](int) -> bool { throw std::runtime_error("no"); }, [](int) {})), std::runtime_error);
    CHECK(receive<int>() == 2);
  });
}

TEST_CASE("OL-58 a clause may receive in its turn, send and spawn") {
  world w;
  in_process([] {
    to_me(1, 2, 3);
    std::vector<int> order;
    receive([&](int a) {
      order.push_back(a);
      receive([&](int b) { order.push_back(b); });
      const pid me = self();
      await_end(spawn([me] { send(me, 4); }));
    });
    while (const auto n = receive<int>(duration{0})) order.push_back(*n);
    CHECK(order == std::vector<int>{1, 2, 3, 4});
  });
}

TEST_CASE("PR-58 a message that arrives while the wait begins or ends is not lost") {
  world w;
  const int many = rounds(5'000, 500'000);
  const pid p = spawn([=, test = self()] {
    for (int i = 0; i < many; ++i) {
      int got = -1;
      while (!receive([&](int n) { got = n; }, after(std::chrono::microseconds(i % 3), [] {}))) {}
      if (got != i) throw std::runtime_error("out of order");
      send(test, i);
    }
  });
  const reference ref = monitor(p);
  for (int i = 0; i < many; ++i) {
    send(p, i);
    if (i % 7 != 0) CHECK(receive<int>() == i);
    else while (!receive<int>(std::chrono::microseconds(1))) {}
  }
  CHECK(reason_of(ref) == exit_reason::normal);
}

TEST_CASE("PR-59 who waits for an answer does not look at the messages that were there before") {
  world w;
  in_process([] {
    const int many = rounds(50'000, 500'000);
    for (int i = 0; i < many; ++i) to_me(i);
    const pid other = spawn(idle);
    // Questions to another process wait for a reply slot: the mailbox stays as it is.
    for (int i = 0; i < 100; ++i) {
      CHECK(alive(other));
      CHECK(process_info(other).has_value());
    }
    CHECK(process_info(self())->queue_length == static_cast<std::size_t>(many));
    for (int i = 0; i < 1'000; ++i) CHECK(receive<int>() == i);
  });
}

TEST_CASE("OL-60 the queue length seen from outside counts messages that were looked at and left") {
  world w;
  const pid p = spawn([test = self()] {
    receive<ping>();
    send(test, ready{});
    receive<pong>();
  });
  for (int i = 0; i < 10; ++i) send(p, i);
  send(p, ping{});
  await_ready();
  CHECK(eventually([&] { return process_info(p)->queue_length == 10; }));
  for (int i = 0; i < 3; ++i) send(p, i);
  CHECK(eventually([&] { return process_info(p)->queue_length == 13; }));
}
