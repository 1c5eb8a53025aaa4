// SPDX-License-Identifier: Apache-2.0
//
// account: credit, and the moves of it. What one account loses another one gets, in one transaction: the sum of all balances is 0 at
// every moment, for whoever looks at all of them in one transaction, too.
//
//   the house       what all have paid
//   a session's     minus what it has paid: it has credit up to a limit
//   anonymous       minus what callers without a session have paid
//   ended           minus what the sessions had paid that have ended
//
// The accounts are the program's: no process's crash touches them. That of a session goes with it, and its balance to `ended`, so names
// that strangers choose leave nothing behind.
//
// Thread: any, all functions.
#pragma once

#include <coppice/process/pid.hpp>
#include <coppice/state/arithmetic.hpp>
#include <coppice/state/ref.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace switchboard {

using credit = std::int64_t;

struct account {
  account(coppice::pid w, std::string n, credit limit)
      : who(w), name(std::move(n)), balance(0, {.validator = [limit](credit c) { return c >= -limit; }}) {}
  const coppice::pid who;
  const std::string name;
  coppice::ref<credit> balance;
};

/// Accounts of sessions, in the order of their processes. The list is a value; the accounts in it are shared.
using session_accounts = std::vector<std::shared_ptr<account>>;

/// Of one moment.
struct statement {
  struct line { std::string name; credit balance; };
  credit house;
  credit anonymous;
  credit ended;
  std::vector<line> sessions;
};

class accounts {
 public:
  enum class charged { yes, no_credit, no_account };

  // [charge]
  /// `price` from the account of `who`, or, if that is nobody, from that of the anonymous, to the house.
  charged charge(coppice::pid who, credit price) {
    try {
      return coppice::transact([&] {
        if (!who) {
          anonymous_.commute(coppice::minus, price);
        } else {
          const auto payer = account_of(who);
          if (!payer) return charged::no_account;
          payer->balance.alter(coppice::minus, price);
        }
        house_.commute(coppice::plus, price);          // all pay to it, in any order: nobody begins anew because of that
        return charged::yes;
      });
    } catch (const coppice::invalid_state&) {          // beyond its limit: nothing has moved
      return charged::no_credit;
    }
  }
  // [/charge]

  /// An account for `who`, which may owe up to `limit`.
  void open(coppice::pid who, const std::string& name, credit limit) {
    const auto fresh = std::make_shared<account>(who, name, limit);
    coppice::transact([&] {
      sessions_.alter([&](session_accounts all) {
        all.insert(place_of(all, who), fresh);
        return all;
      });
    });
  }

  /// The account of `who` is no more.
  void close(coppice::pid who) {
    coppice::transact([&] {
      const auto old = account_of(who);
      if (!old) return;
      ended_.commute(coppice::plus, *old->balance);
      old->balance.set(0);                             // who is charging it just now begins anew, and finds it gone
      sessions_.alter([&](session_accounts all) {
        all.erase(place_of(all, who));
        return all;
      });
    });
  }

  // [state]
  /// All balances at one moment.
  statement state() const {
    return coppice::transact([&] {
      statement now{*house_, *anonymous_, *ended_, {}};
      const auto all = *sessions_;
      for (const auto& of : *all) now.sessions.push_back({of->name, *of->balance});
      return now;
    });
  }
  // [/state]

  /// Whose accounts there are.
  std::vector<coppice::pid> owners() const {
    std::vector<coppice::pid> all;
    const auto now = *sessions_;
    for (const auto& of : *now) all.push_back(of->who);
    return all;
  }

 private:
  static session_accounts::const_iterator place_of(const session_accounts& all, coppice::pid who) {
    return std::ranges::lower_bound(all, who, {}, [](const auto& of) { return of->who; });
  }
  std::shared_ptr<account> account_of(coppice::pid who) const {
    const auto all = *sessions_;
    const auto at = place_of(*all, who);
    return at != all->end() && (*at)->who == who ? *at : nullptr;
  }

  coppice::ref<credit> house_{0};
  coppice::ref<credit> anonymous_{0};
  coppice::ref<credit> ended_{0};
  coppice::ref<session_accounts> sessions_{};
};

/// The program's.
inline accounts& all_accounts() {
  static accounts all;
  return all;
}

}  // namespace switchboard
