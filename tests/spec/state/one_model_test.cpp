// SPDX-License-Identifier: Apache-2.0
//
// Servers in transactions: TX-38, TX-39.
#include "spec/state/state_test.hpp"

#include <coppice/otp/call.hpp>
#include <coppice/otp/gen_server.hpp>
#include <coppice/otp/request.hpp>
#include <coppice/otp/start.hpp>
#include <coppice/state/agent.hpp>
#include <coppice/state/delay.hpp>
#include <coppice/state/ref.hpp>

#include <memory>

using namespace coppice;
using namespace coppice::testing;

namespace {

using text = std::string;

struct line { text what; std::shared_ptr<int> counted{}; };
struct lines { using reply = text; };

struct ledger {
  text all{};
  text handle_call(lines) { return all; }
  void handle_cast(line l) { all += (all.empty() ? "" : " ") + l.what; }
};
struct quick_ledger : ledger { static constexpr server_options options{.leaf = true}; };

}  // namespace

TEST_CASE("TX-38 a call in a transaction is refused and aborts it; nothing is asked") {
  in_both([] {
    const auto server = start<ledger>();
    ref<int> r(0);
    const auto in_transact = [&](auto&& ask) {
      transact([&] {
        r.set(1);
        ask();
      });
    };
    CHECK_THROWS_AS(in_transact([&] { static_cast<void>(call(server, lines{})); }), in_transaction);
    CHECK_THROWS_AS(in_transact([&] { static_cast<void>(try_call(server, lines{})); }), in_transaction);
    CHECK_THROWS_AS(in_transact([&] { static_cast<void>(call(server, lines{}, {.queued = true})); }), in_transaction);
    CHECK_THROWS_AS(in_transact([&] { static_cast<void>(send_request(server, lines{})); }), in_transaction);
    CHECK(*r == 0);
    CHECK(flush() == 0);
    try {
      in_transact([&] { static_cast<void>(call(server, lines{})); });
    } catch (const in_transaction& e) {
      CHECK(text(e.what()) == "call: not inside of a transaction, whose body may run more than once");
    }
    transact([&] {
      CHECK_THROWS_AS(static_cast<void>(call(server, lines{})), in_transaction);
      r.set(2);
    });
    CHECK(*r == 2);                                // caught: the transaction goes on
    CHECK(call(server, lines{}).empty());
    stop(server);
  });
}

TEST_CASE("TX-38 calls work where the transaction is over or does not reach: watches, delays, servers, agents, futures") {
  in_both([] {
    const auto server = start<ledger>();
    ref<int> r(0);
    agent<text> a("");
    int answers = 0;
    r.add_watch("w", [&](std::string_view, ref<int>&, int, int) { answers += call(server, lines{}).empty() ? 1 : 0; });
    const delay asked([&] { return call(server, lines{}).empty(); });
    transact([&] {
      r.set(1);
      CHECK(asked.get());
      a.send([&](const text&) { return call(server, lines{}) + "asked"; });
    });
    await(a);
    CHECK(a.get() == "asked");
    CHECK(answers == 1);
    stop(server);
  });
}

TEST_CASE("TX-39 a cast is held until the commit, in order with the sends to agents, and goes out once") {
  in_both([] {
    const auto server = start<ledger>();
    const auto quick = start<quick_ledger>();
    ref<int> first(0), r(0);
    agent<text> a("");
    int tries = 0;
    transact([&] {
      cast(server, line{"one"});
      a.send([&](const text& t) {
        return t + call(server, lines{});          // what was cast before is there
      });
      cast(quick, line{"quick"});
      CHECK(try_cast(server, line{"two"}).has_value());
      static_cast<void>(*first);
      if (++tries == 1) {
        std::thread([&] { transact([&] { r.set(5); }); }).join();
        std::thread([&] { CHECK(call(server, lines{}).empty()); }).join();
      }
      r.alter(inc);
    });
    CHECK(tries == 2);
    await(a);
    CHECK(a.get().starts_with("one"));
    CHECK(call(server, lines{}) == "one two");
    CHECK(call(quick, lines{}) == "quick");
    stop(server);
    stop(quick);
  });
}

TEST_CASE("TX-39 an aborted transaction casts nothing and leaves nothing; nor does the commit's run of a commute") {
  in_both([] {
    const auto server = start<ledger>();
    auto counted = std::make_shared<int>(0);
    ref<int> r(0, {.validator = not_negative});
    CHECK_THROWS_AS(transact([&] {
      cast(server, line{"never", counted});
      throw oops();
    }), oops);
    CHECK_THROWS_AS(transact([&] {
      cast(server, line{"never", counted});
      r.set(-1);
    }), invalid_state);
    CHECK(counted.use_count() == 1);
    transact([&] {
      r.commute([&](int x) {
        cast(server, line{"once", counted});
        return x + 1;
      });
    });
    CHECK(call(server, lines{}) == "once");
    CHECK(eventually([&] { return counted.use_count() == 1; }));
    stop(server);
  });
}

TEST_CASE("TX-39 AG-13 a cast of a transaction in an action goes with the action's sends; one of the action itself goes at once") {
  const world w;
  const auto server = start<ledger>();
  ref<int> r(0);
  agent<int> a(0);
  text during;
  a.send([&](int x) {
    cast(server, line{"action"});
    transact([&] {
      r.alter(inc);
      cast(server, line{"transaction"});
    });
    during = call(server, lines{});
    return x + 1;
  });
  await(a);
  CHECK(during == "action");
  CHECK(call(server, lines{}) == "action transaction");
  a.send([&](int) -> int {
    transact([&] { cast(server, line{"lost"}); });
    throw oops();
  });
  CHECK(eventually([&] { return a.error() != nullptr; }));
  CHECK(call(server, lines{}) == "action transaction");
  stop(server);
}

TEST_CASE("TX-39 a plain message in a transaction goes out at once, in each attempt") {
  const world w;
  ref<int> first(0), r(0);
  int tries = 0;
  transact([&] {
    send(self(), 7);
    CHECK(receive<int>() == 7);
    static_cast<void>(*first);
    if (++tries == 1) std::thread([&] { transact([&] { r.set(5); }); }).join();
    r.alter(inc);
  });
  CHECK(tries == 2);
}
