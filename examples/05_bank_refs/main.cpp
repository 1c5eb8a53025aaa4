// SPDX-License-Identifier: Apache-2.0
//
// Accounts as refs: transfers that happen as a whole or not at all, an audit that always sees the same total, and an atom for
// what belongs to no transaction.
#include <coppice/process/process.hpp>
#include <coppice/process/receive.hpp>
#include <coppice/state/agent_ref.hpp>
#include <coppice/state/arithmetic.hpp>
#include <coppice/state/atom.hpp>
#include <coppice/state/ref.hpp>

#include <cstdio>
#include <string>
#include <vector>

using namespace coppice;

static bool expect(bool good, const char* what) {
  std::printf("%s: %s\n", good ? "ok" : "NOT SO", what);
  return good;
}

// [accounts]
using money = long;
const auto no_debt = [](money m) { return m >= 0; };

struct account {
  std::string owner;
  ref<money> balance;
  account(std::string name, money m) : owner(std::move(name)), balance(m, {.validator = no_debt}) {}
};

void transfer(account& from, account& to, money amount) {
  transact([&] {
    from.balance.alter(minus, amount);
    to.balance.alter(plus, amount);
  });                                              // both, or, if `from` would be in debt, neither
}
// [/accounts]

int main() {
  bool good = true;
  account ann("ann", 100), bob("bob", 0);

  // [one]
  atom<int> hits(0);
  hits.swap(inc);                                  // from any thread; the function may run more than once
  atom<std::vector<int>> all;
  all.swap([](std::vector<int> v) { v.push_back(7); return v; });
  const auto now = *all;                           // a view: stays as it is, whatever others do
  const snapshot<std::vector<int>> kept = now.keep();  // the same, to keep and to pass on
  all.reset({});
  good &= expect(now->size() == 1 && kept->front() == 7, "a view is of one moment");
  // [/one]

  // [transfer]
  transfer(ann, bob, 30);
  good &= expect(*ann.balance == 70 && *bob.balance == 30, "moved");
  try {
    transfer(ann, bob, 1000);
  } catch (const invalid_state& e) {               // ref: the validator refused the new value
    good &= expect(*ann.balance == 70 && *bob.balance == 30, e.what());
  }
  // [/transfer]

  // [audit]
  atom<int> audits(0);
  std::vector<reference> ends;
  for (int i = 0; i < 4; ++i) ends.push_back(spawn_monitor([&] {
    for (int n = 0; n < 1000; ++n) {
      try {
        if (n % 2 == 0) transfer(ann, bob, 10);
        else transfer(bob, ann, 10);
      } catch (const invalid_state&) {}            // nothing left to move
    }
  }).ref);
  ends.push_back(spawn_monitor([&] {
    for (int n = 0; n < 1000; ++n) {
      const money total = transact([&] { return *ann.balance + *bob.balance; });
      if (total != 100) exit(exit_reason("money was made"));
      audits.swap(inc);
    }
  }).ref);
  for (const reference end : ends)
    receive(when([&](const down& d) { return d.ref == end; }, [&](const down& d) { good &= d.reason.is(exit_reason::normal); }));
  good &= expect(*audits == 1000 && *ann.balance + *bob.balance == 100, "every audit saw 100");
  // [/audit]

  // [told]
  const auto journal = start_agent([] { return std::vector<std::string>(); });
  transact([&] {
    ann.balance.alter(minus, 10);
    bob.balance.alter(plus, 10);
    cast(journal, [](std::vector<std::string> lines) { lines.push_back("10 from ann to bob"); return lines; });
  });                                              // told once, when it is certain, however often the body ran
  good &= expect(get(journal).size() == 1, "the journal hears of what was committed");
  // [/told]

  // [outside]
  try {
    ann.balance.alter(plus, 1);                    // alter: only inside of transact()
  } catch (const no_transaction& e) {
    good &= expect(true, e.what());
  }
  try {
    transact([&] {
      ann.balance.alter(plus, 1);
      io_guard([] { std::puts("paid"); });         // a body may run more than once
    });
  } catch (const in_transaction& e) {
    good &= expect(*ann.balance + *bob.balance == 100, e.what());
  }
  // [/outside]
  return good ? 0 : 1;
}
