// SPDX-License-Identifier: Apache-2.0
//
// Sending and order: PR-50 to PR-57, OL-43, OL-54, OL-83.
#include "spec/process/world.hpp"

#include "process/mailbox.hpp"

#include <coppice/process/process_info.hpp>

#include <array>
#include <atomic>
#include <memory>
#include <thread>

using namespace coppice;
using namespace coppice::testing;

namespace {

struct step { int from; int number; };

}  // namespace

TEST_CASE("PR-50 OL-43 send to a pid never fails; a dead destination swallows the message") {
  world w;
  const pid p = spawn([] { CHECK(receive<int>() == 1); });
  send(p, 1);
  await_end(p);
  int destroyed = 0;
  CHECK_NOTHROW(send(p, counted(destroyed)));
  CHECK_NOTHROW(send(pid{}, counted(destroyed)));
  CHECK(destroyed == 2);
}

TEST_CASE("PR-51 OL-43 send to a name that is not registered fails at the sender with noproc; the message is destroyed") {
  world w;
  int destroyed = 0;
  bool failed = false;
  try {
    send("nobody", counted(destroyed));
  } catch (const exit_error& e) {
    failed = true;
    CHECK(e.reason().is(exit_reason::noproc));
    CHECK(std::string_view(e.what()).find("nobody") != std::string_view::npos);
  }
  CHECK(failed);
  CHECK(destroyed == 1);
  const pid p = spawn([] { receive<counted>(); }, {.name = "somebody"});
  CHECK_NOTHROW(send("somebody", counted(destroyed)));
  await_end(p);
  CHECK(destroyed == 2);
}

TEST_CASE("PR-52 all signals from one sender arrive in order, by pid, name and alias") {
  world w;
  for (int round = 0; round < rounds(20, 2'000); ++round) {
    const alias_ref a = alias();
    register_name("me", self());
    const pid me = self();
    const monitored m = spawn_monitor([=] {
      for (int i = 0; i < 300; ++i) switch (i % 3) {
          case 0: send(me, i); break;
          case 1: send("me", i); break;
          case 2: send(a, i); break;
        }
    });
    for (int i = 0; i < 300; ++i) CHECK(receive<int>() == i);
    CHECK(reason_of(m.ref) == exit_reason::normal);
    unregister_name("me");
    unalias(a);
  }
}

TEST_CASE("PR-52 a monitor sees DOWN behind the last message, and a linked trapper EXIT") {
  world w;
  const auto last_word = [](int i) {
    return [i, to = self()] {
      for (int k = 0; k < 5; ++k) send(to, i);
    };
  };
  in_process([&] {
    for (int i = 0; i < rounds(300, 30'000); ++i) {
      const bool linked = i % 2 != 0;
      linked ? static_cast<void>(spawn_link(last_word(i))) : static_cast<void>(spawn_monitor(last_word(i)));
      // In arrival order, whatever comes: five messages, then the death.
      for (int k = 0; k < 5; ++k) {
        bool message_first = false;
        receive([&](int n) { message_first = n == i; }, [](down) {}, [](exit_signal) {});
        CHECK(message_first);
      }
      receive([](down) {}, [](exit_signal) {});
      CHECK_FALSE(receive<int>(duration{0}).has_value());
    }
  }, {.trap_exit = true});
}

TEST_CASE("PR-52 a message sent before an exit signal is there before it; what a process does in between keeps its order") {
  world w;
  in_process([] {
    const pid me = self();
    spawn([me] {
      send(me, 1);
      exit(me, exit_reason("between"));
      send(me, 2);
    });
    std::array<int, 3> order{};
    int n = 0;
    while (n < 3) receive([&](int i) { order[static_cast<std::size_t>(n++)] = i; }, [&](exit_signal) { order[static_cast<std::size_t>(n++)] = 9; });
    CHECK(order == std::array<int, 3>{1, 9, 2});
  }, {.trap_exit = true});
}

TEST_CASE("PR-53 each of many senders keeps its own order, whatever the order between them") {
  world w;
  constexpr int senders = 8;
  const int each = rounds(2'000, 200'000);
  const pid me = self();
  for (int s = 0; s < senders; ++s)
    spawn([=] {
      for (int i = 0; i < each; ++i) send(me, step{s, i});
    });
  std::array<int, senders> next{};
  bool in_order = true;
  for (int i = 0; i < senders * each; ++i) {
    const step m = receive<step>();
    in_order &= next[static_cast<std::size_t>(m.from)]++ == m.number;
  }
  CHECK(in_order);
}

TEST_CASE("PR-54 EXIT and DOWN of the same death both come, in either order") {
  world w;
  in_process([] {
    const pid p = spawn_link([] { wait_for_go(); });
    const reference ref = monitor(p);
    send(p, go{});
    int exits = 0, downs = 0;
    for (int i = 0; i < 2; ++i)
      receive([&](exit_signal e) { exits += e.who == p; }, [&](down d) { downs += d.ref == ref; });
    CHECK(exits == 1);
    CHECK(downs == 1);
  }, {.trap_exit = true});
}

TEST_CASE("PR-55 signals act on receipt: a process dies although it never reads messages, and links and monitors are made") {
  world w;
  const pid deaf = spawn([] { sleep_for(infinity); });
  send(deaf, 1);
  const reference ref = monitor(deaf);
  CHECK(process_info(deaf)->monitored_by == std::vector<pid>{self()});
  CHECK(process_info(deaf)->queue_length == 1);
  exit(deaf, exit_reason("now"));
  CHECK(reason_of(ref) == exit_reason("now"));
}

TEST_CASE("PR-56 OL-54 delivery is lossless while the receiver lives, from many threads; the mailbox is unbounded by default") {
  world w;
  constexpr int threads = 4;
  const int each = rounds(20'000, 1'000'000);
  struct sum { long long value; };
  const pid me = self();
  const pid p = spawn([=] {
    wait_for_go();                                 // selective: everything else piles up
    long long total = 0;
    for (int i = 0; i < threads * each; ++i) total += receive<int>();
    send(me, sum{total});
  });
  std::vector<std::thread> all;
  for (int t = 0; t < threads; ++t)
    all.emplace_back([=] {
      for (int i = 0; i < each; ++i) send(p, i);
    });
  for (auto& t : all) t.join();
  CHECK(process_info(p)->queue_length == static_cast<std::size_t>(threads) * static_cast<std::size_t>(each));
  send(p, go{});
  CHECK(receive<sum>().value == static_cast<long long>(threads) * each * (each - 1LL) / 2);
}

TEST_CASE("PR-56 a bounded mailbox refuses what exceeds it, never signals, and takes again when there is room") {
  world w;
  const pid p = spawn([] {
    for (;;) {
      wait_for_go();
      while (receive<counted>(duration{0})) {}
      send(receive<pid>(), ready{});
    }
  });
  p.where()->bound.store(10, detail::sync::relaxed);
  int destroyed = 0;
  const auto send_one = [&] {
    return detail::send_core(p, detail::construct_in(detail::new_node(descriptor_of<counted>()), counted(destroyed)));
  };
  for (int i = 0; i < 10; ++i) CHECK(send_one() == detail::sent::yes);
  CHECK(process_info(p)->queue_length == 10);      // a signal, and answered
  CHECK(send_one() == detail::sent::full);
  CHECK(send_one() == detail::sent::full);
  CHECK(destroyed == 2);
  exit(p, exit_reason::kill);
  await_end(p);
  CHECK(destroyed == 12);
  CHECK(send_one() == detail::sent::no_process);
  CHECK(destroyed == 13);
}

TEST_CASE("PR-57 a message is moved in and owned by the receiver; a plain pointer as a message does not compile") {
  world w;
  const auto sendable = []<class M>(M&&) { return requires(M&& m) { send(pid{}, static_cast<M&&>(m)); }; };
  int x = 0;
  static_assert(!message_type<int*>);
  static_assert(!message_type<const char*>);
  static_assert(!message_type<int&>);
  static_assert(message_type<std::unique_ptr<int>>);
  CHECK_FALSE(sendable(&x));
  CHECK(sendable(x));
  in_process([] {
    auto p = std::make_unique<int>(5);
    const int* where = p.get();
    send(self(), std::move(p));
    CHECK(p == nullptr);
    const auto got = receive<std::unique_ptr<int>>();
    CHECK(got.get() == where);
  });
  // A lvalue is copied: the sender keeps its own.
  const std::string text(1000, 'x');
  send(self(), text);
  CHECK(text.size() == 1000);
  CHECK(receive<std::string>() == text);
}

TEST_CASE("PR-57 a message whose construction throws is not sent, and nothing leaks") {
  world w;
  struct grumpy {
    grumpy() = default;
    grumpy(const grumpy&) { throw 1; }
    grumpy(grumpy&&) noexcept {}
  };
  const grumpy g;
  CHECK_THROWS_AS(send(self(), g), int);
  CHECK(flush() == 0);
}

TEST_CASE("PR-57 messages of any size and alignment arrive whole") {
  world w;
  struct alignas(64) aligned { std::array<char, 64> bytes; };
  struct huge { std::array<char, 100'000> bytes; };
  auto h = std::make_unique<huge>();
  h->bytes.fill('h');
  send(self(), *h);
  aligned a{};
  a.bytes.fill('a');
  send(self(), a);
  bool right = false;
  receive([&](aligned& got) { right = reinterpret_cast<std::uintptr_t>(&got) % 64 == 0 && got.bytes[63] == 'a'; });
  CHECK(right);
  receive([&](huge& got) { right = got.bytes.front() == 'h' && got.bytes.back() == 'h'; });
  CHECK(right);
}
