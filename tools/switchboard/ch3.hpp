// SPDX-License-Identifier: Apache-2.0
//
// ch3: the server that owns the channels. The allocator of the README, with leases that may end by themselves, holders whose end
// ends their leases, and answers for every mistake instead of a crash: its clients are strangers on a network.
//
// Invariants:
//   1. Every channel is in `idle` or in `taken`, never in both.
//   2. A lease has a number, so that the end of an old one, whose message was under way already when the channel was freed,
//      does not end its successor.
//   3. A holder is monitored exactly as long as it holds something.
//   4. A lease is in the lease book before anybody is told of it, and leaves it before the channel is free: a ch3 that crashes is
//      followed by one that goes on with all leases, their times and their holders. Nothing is handed out twice.
//   5. While there is no lease book, `taken` is the truth; a lease book that begins asks for all of it.
#pragma once

#include <coppice/base/result.hpp>
#include <coppice/otp/gen_server.hpp>
#include <coppice/process/process.hpp>
#include <coppice/process/timer.hpp>

#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>
#include <utility>
#include <vector>

#include "account.hpp"
#include "feed.hpp"
#include "lease.hpp"
#include "lease_book.hpp"
#include "settings.hpp"

namespace switchboard {

struct ch3 {
  static constexpr coppice::named<ch3> server{"ch3"};

  enum class freed { yes, not_taken, unknown };
  enum class refused { none_left, no_credit, no_session };
  struct listing { std::vector<int> free; std::vector<int> taken; };
  struct holding { coppice::reference monitor; std::set<int> channels; };

  struct allocate { using reply = coppice::result<int, refused>; coppice::duration time_to_live; coppice::pid holder; };
  struct give_back { using reply = freed; int channel; };
  struct list { using reply = listing; };
  struct held_by { using reply = std::vector<int>; coppice::pid holder; };
  struct lease_over { int channel; std::uint64_t number; };
  using protocol = coppice::messages<lease_over, lease_book_begins, feed_begins>;

  /// The first free channel, which its holder, or the anonymous, pays for. `coppice::infinity`: until it is given back. `holder`: at
  /// most until that ends.
  static auto alloc(coppice::duration time_to_live, coppice::pid holder = {}) {
    return coppice::try_call(server, allocate{time_to_live, holder});
  }
  static auto free(int channel) { return coppice::try_call(server, give_back{channel}); }
  static auto show() { return coppice::try_call(server, list{}); }
  static auto channels_of(coppice::pid holder) { return coppice::try_call(server, held_by{holder}); }

  // [init]
  void init(int channels, credit a_channel) {
    price = a_channel;
    for (int c = 1; c <= channels; ++c) idle.insert(c);
    for (const auto& [channel, kept] : coppice::call(lease_book::server, lease_book::read{}, coppice::infinity)) {
      number = std::max(number, kept.number);
      begin(channel, kept);
    }
    show_in_feed("ch3");
    tell_everything();
  }
  // [/init]

  // [allocate]
  coppice::result<int, refused> handle_call(allocate a) {
    if (idle.empty()) return coppice::error(refused::none_left);
    switch (all_accounts().charge(a.holder, price)) {
      case accounts::charged::no_credit: return coppice::error(refused::no_credit);
      case accounts::charged::no_account: return coppice::error(refused::no_session);
      case accounts::charged::yes: break;
    }
    const int channel = *idle.begin();
    const lease granted{++number, coppice::deadline_after(a.time_to_live), a.holder};
    (void)coppice::try_call(lease_book::server, lease_book::enter{channel, granted}, coppice::infinity);  // fails: invariant 5
    begin(channel, granted);
    tell(feed::allocated{channel, granted});
    return channel;
  }
  // [/allocate]

  freed handle_call(give_back g) {
    if (taken.contains(g.channel)) return end(g.channel, feed::freed_by::hand), freed::yes;
    return idle.contains(g.channel) ? freed::not_taken : freed::unknown;
  }

  listing handle_call(list) const {
    listing all{{idle.begin(), idle.end()}, {}};
    for (const auto& [channel, of] : taken) all.taken.push_back(channel);
    return all;
  }

  std::vector<int> handle_call(held_by h) const {
    const auto found = held.find(h.holder);
    if (found == held.end()) return {};
    return {found->second.channels.begin(), found->second.channels.end()};
  }

  void handle_info(lease_over over) {
    const auto found = taken.find(over.channel);
    if (found != taken.end() && found->second.number == over.number) end(over.channel, feed::freed_by::time);
  }

  void handle_info(coppice::down d) {
    const auto found = held.find(d.who);
    if (found == held.end()) return;
    for (const int channel : std::set<int>(found->second.channels)) end(channel, feed::freed_by::end_of_session);
  }

  void handle_info(lease_book_begins) { coppice::cast(lease_book::server, lease_book::replace{taken}); }
  void handle_info(feed_begins) { tell_everything(); }
  void handle_cast(break_down) { throw std::runtime_error("crashed on purpose"); }

  std::set<int> idle{};
  leases taken{};
  std::map<int, coppice::reference> timers{};
  std::map<coppice::pid, holding> held{};
  std::uint64_t number = 0;
  credit price = 0;
  bool feed_is_behind = false;

 private:
  void begin(int channel, const lease& granted) {
    idle.erase(channel);
    taken.emplace(channel, granted);
    if (const coppice::duration left = coppice::time_until(granted.until); left != coppice::infinity)
      timers[channel] = coppice::send_after(left, coppice::self(), lease_over{channel, granted.number});
    if (!granted.holder) return;
    holding& h = held[granted.holder];
    if (h.channels.empty()) h.monitor = coppice::monitor(granted.holder);  // of the dead: told at once
    h.channels.insert(channel);
  }

  void end(int channel, feed::freed_by why) {
    (void)coppice::try_call(lease_book::server, lease_book::strike{channel}, coppice::infinity);  // fails: invariant 5
    const auto of = taken.find(channel);
    if (const auto timer = timers.extract(channel)) coppice::cancel_timer(timer.mapped());
    if (const auto holder = held.find(of->second.holder); holder != held.end()) {
      holder->second.channels.erase(channel);
      if (holder->second.channels.empty()) {
        coppice::demonitor(holder->second.monitor);
        held.erase(holder);
      }
    }
    taken.erase(of);
    idle.insert(channel);
    tell(feed::freed{channel, why});
  }

  /// Nobody waits for the feed: what it has no room for is made good by telling it everything (invariant 3 of feed.hpp).
  template <class M>
  void tell(M what) {
    if (feed_is_behind) return tell_everything();
    feed_is_behind = is_full(coppice::try_cast(feed::server, std::move(what)));
  }
  void tell_everything() { feed_is_behind = is_full(coppice::try_cast(feed::server, feed::all_leases{taken})); }
  static bool is_full(const coppice::result<void, coppice::call_error>& sent) {
    return !sent && sent.error().is(coppice::call_error::full);
  }
};

}  // namespace switchboard
