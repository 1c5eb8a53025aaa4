// SPDX-License-Identifier: Apache-2.0
//
// ledger: opens a session's account when that begins, and closes it when that ends, however it ends. What is charged in between needs
// no process (account.hpp), and a ledger that crashed is followed by one that watches the same sessions.
#pragma once

#include <coppice/otp/gen_server.hpp>
#include <coppice/process/process.hpp>

#include <stdexcept>
#include <string>

#include "account.hpp"
#include "feed.hpp"
#include "settings.hpp"

namespace switchboard {

struct ledger {
  static constexpr coppice::named<ledger> server{"ledger"};

  struct open { using reply = void; coppice::pid who; std::string name; };

  void init(credit a_session) {
    limit = a_session;
    show_in_feed("ledger");
    for (const coppice::pid who : all_accounts().owners()) coppice::monitor(who);  // of the dead: told at once
  }
  void handle_call(const open& o) {
    all_accounts().open(o.who, o.name, limit);
    coppice::monitor(o.who);
  }
  void handle_info(const coppice::down& d) { all_accounts().close(d.who); }
  void handle_cast(break_down) { throw std::runtime_error("crashed on purpose"); }

  credit limit = 0;
};

}  // namespace switchboard
