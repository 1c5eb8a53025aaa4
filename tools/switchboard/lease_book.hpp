// SPDX-License-Identifier: Apache-2.0
//
// lease_book: remembers which channels are taken, for a ch3 that is started again. It decides nothing, so little in it can fail.
// Should it fail all the same, the ch3 that lives tells the new one what it knows: only who loses both at once loses the leases.
//
// Invariant: ch3 alone writes, and waits for it before it answers: what a client was told stands here.
#pragma once

#include <coppice/otp/gen_server.hpp>

#include <stdexcept>
#include <utility>

#include "feed.hpp"
#include "lease.hpp"
#include "settings.hpp"

namespace switchboard {

struct lease_book {
  static constexpr coppice::named<lease_book> server{"lease_book"};

  struct enter { using reply = void; int channel; lease as; };
  struct strike { using reply = void; int channel; };
  struct read { using reply = leases; };
  struct replace { leases by; };

  void init() {
    show_in_feed("lease_book");
    if (const auto who = coppice::whereis("ch3")) coppice::send(*who, lease_book_begins{});
  }

  void handle_call(enter e) { book.insert_or_assign(e.channel, e.as); }
  void handle_call(strike s) { book.erase(s.channel); }
  leases handle_call(read) const { return book; }
  void handle_cast(replace r) { book = std::move(r.by); }
  void handle_cast(break_down) { throw std::runtime_error("crashed on purpose"); }

  leases book{};
};

}  // namespace switchboard
