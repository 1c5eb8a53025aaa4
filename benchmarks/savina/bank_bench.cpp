// SPDX-License-Identifier: Apache-2.0
//
// Bank transaction: a teller lets 1000 accounts transfer money to one another; another process counts what is done. The source
// does nothing else until the target has answered; the target always comes later, so no cycle can close.
#include <coppice/otp/gen_server.hpp>

#include <random>
#include <vector>

#include "savina/rows.hpp"

using namespace coppice;

namespace {

constexpr std::uint64_t account_count = 1000;

struct transferred {};
struct debit {
  using reply = void;
  std::int64_t amount;
};
struct account;
struct credit {
  std::int64_t amount;
  server_ref<account> target;
  pid counter;
};

struct account {
  std::int64_t balance = 0;

  auto handle_call(debit d) {
    balance -= d.amount;
    return reply();
  }
  void handle_cast(credit c) {
    call(c.target, debit{c.amount}, infinity);
    balance += c.amount;
    send(c.counter, transferred{});
  }
};

double bank(bench::state& s) {
  return savina::in_process([&] {
    const auto transactions = s.count(1'000'000);
    std::vector<server_ref<account>> accounts;
    for (std::uint64_t i = 0; i != account_count; ++i) accounts.push_back(start<account>());
    const double rate = s.rate(transactions, [&] {
      spawn([&accounts, transactions, counter = self()] {
        std::minstd_rand random(42);
        for (std::uint64_t i = 0; i != transactions; ++i) {
          const std::size_t source = random() % (account_count / 10 * 8);
          const std::size_t target = source + 1 + random() % (account_count - source - 1);
          cast(accounts[source], credit{10, accounts[target], counter});
        }
      });
      for (std::uint64_t i = 0; i != transactions; ++i) receive<transferred>();
    });
    for (const auto& one : accounts) stop(one);
    return rate;
  });
}

}  // namespace

void savina::add_bank(bench::suite& suite) {
  suite.row("bank, 1000 accounts, transactions", {.unit = "M/s", .min = 8, .peers = "bank", .two_cores = true, .run = bank});
}
