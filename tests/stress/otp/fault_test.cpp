// SPDX-License-Identifier: Apache-2.0
//
// Faults that once were there: user code that throws where a caller waits for it, and timers that are cancelled while they
// fire.
#include <doctest/doctest.h>

#include <coppice/otp/gen_server.hpp>
#include <coppice/process/process.hpp>
#include <coppice/process/receive.hpp>
#include <coppice/process/timer.hpp>

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

#include "spec/otp/own_world.hpp"

using namespace coppice;
using namespace coppice::testing;

namespace {

/// A reply whose copies may fail, and that has no move.
struct fragile {
  static inline std::atomic<int> copies_left{1000};
  int value = 0;
  explicit fragile(int v) : value(v) {}
  fragile(const fragile& other) : value(other.value) {
    if (copies_left.fetch_sub(1) <= 0) throw std::runtime_error("no copy");
  }
  fragile& operator=(const fragile&) = default;
};

struct want { using reply = fragile; };
struct lender {
  void handle_call(want, from<fragile> caller) {
    const fragile mine(7);
    fragile::copies_left = 1;                   // enough to get into the library, not into the caller's place
    std::move(caller).reply(mine);
  }
};

/// Takes a deadly signal in without waiting, and then wants to stop for another reason.
struct doomed {
  struct hold { using reply = int; };
  std::atomic<bool>* entered;
  std::atomic<bool>* killed;
  auto handle_call(hold) {
    *entered = true;
    while (!*killed) std::this_thread::yield();
    trap_exit(false);
    return coppice::stop(exit_reason("its own"));
  }
};

/// `borrower` waits for `lender_of_others`, who has handed its request on and asks `borrower` something meanwhile.
struct take { using reply = int; };
struct greet { using reply = int; };
struct ask_back {};
struct borrower {
  using protocol = messages<take, greet>;
  pid lender;
  int handle_call(take);
  int handle_call(greet) { return 9; }
};
struct lender_of_others {
  std::atomic<bool>* asked;
  std::atomic<bool>* kept;
  std::atomic<int>* got;
  server_ref<messages<take, greet>> back{};
  void handle_call(take, from<int> caller) {
    back = server_ref<messages<take, greet>>(caller.caller());
    *kept = true;
    spawn([to = std::move(caller), asked = asked]() mutable {
      while (!*asked) sleep_for(1ms);
      sleep_for(5ms);                           // the greeting is under way, or refused
      std::move(to).reply(5);
    });
  }
  void handle_cast(ask_back) {
    *asked = true;
    const auto answer = try_call(back, greet{}, infinity);
    *got = answer ? *answer : -static_cast<int>(answer.error().code());
  }
};
int borrower::handle_call(take) { return call(server_cast<lender_of_others>(lender), take{}, infinity); }

struct ring {};

}  // namespace

TEST_CASE("GS-46 a reply whose copy throws fails its call at once, and not the caller for ever") {
  own_world w;
  const auto s = start<lender>();
  const auto got = try_call(s, want{}, 1min);
  REQUIRE(!got);
  CHECK(got.error().is(call_error::ended));
  CHECK(to_text(got.error().reason()).find("no copy") != std::string::npos);
  fragile::copies_left = 1000;
}

TEST_CASE("GS-34 who called a server directly learns what signal it died of, although its handler never waited") {
  own_world w;
  std::atomic<bool> entered{false};
  std::atomic<bool> killed{false};
  const auto s = start<doomed>({}, &entered, &killed);
  std::thread killer([&] {
    while (!entered) std::this_thread::yield();
    coppice::exit(s, exit_reason::kill);
    killed = true;
  });
  const auto got = try_call(s, doomed::hold{}, infinity);
  killer.join();
  REQUIRE(!got);
  CHECK(got.error().is(call_error::ended));
  CHECK(got.error().reason() == exit_reason(exit_reason::killed));
}

TEST_CASE("GS-X3 a request that was handed on closes no ring") {
  own_world w;
  std::atomic<bool> asked{false};
  std::atomic<bool> kept{false};
  std::atomic<int> got{0};
  const auto lender = start<lender_of_others>({}, &asked, &kept, &got);
  const auto b = start<borrower>({}, lender.id());
  std::thread user([&] {
    const runtime_scope here(w.r);
    CHECK(call(b, take{}, infinity) == 5);
  });
  CHECK(eventually([&] { return kept.load(); }));
  cast(lender, ask_back{});
  user.join();
  CHECK(eventually([&] { return got != 0; }));
  CHECK(got == 9);
}

TEST_CASE("PR-81 a timer that is cancelled while it fires is ended once") {
  own_world w({.workers = 2});
  const pid me = self();
  int cancelled = 0;
  int fired = 0;
  constexpr int at_once = 32;
  for (int round = rounds(300, 20'000); round > 0; --round) {
    std::vector<reference> refs;
    for (int i = 0; i < at_once; ++i) refs.push_back(send_after(duration(i * 1500), me, ring{}));
    std::thread other([&] { for (int i = 0; i < at_once; i += 2) cancel_timer(refs[static_cast<std::size_t>(i)]); });
    for (int i = 1; i < at_once; i += 2) cancelled += cancel_timer(refs[static_cast<std::size_t>(i)]).has_value() ? 1 : 0;
    other.join();
    while (receive([&](ring) { ++fired; }, after(duration{0}, [] {}))) {}
  }
  CHECK(cancelled + fired <= rounds(300, 20'000) * at_once);
}
