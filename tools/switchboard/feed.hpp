// SPDX-License-Identifier: Apache-2.0
//
// feed: tells whoever listens what becomes of the channels, and of the servers. It keeps its own picture of the channels, made from what ch3
// tells it, so who comes late gets all of it at once and asks nobody who has other things to do.
//
// Each listener is a process: a WebSocket's (feed_route.cpp). It stands in the registry `listeners` and vanishes from there as it ends. A
// message is made once, and all get the same text.
//
// Invariants:
//   1. Messages are numbered. Who registers first and asks then misses none: what it gets with a number up to the picture's, it has seen.
//   2. Nobody waits for a listener. One with `most_waiting` messages that it has not taken gets none any more, and is told so.
//   3. Nobody waits for the feed: its mailbox is bounded. ch3, when one of its messages was refused, sends all it knows with the next one.
#pragma once

#include <coppice/otp/gen_server.hpp>
#include <coppice/otp/registry.hpp>
#include <coppice/process/process.hpp>
#include <coppice/state/atom.hpp>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "lease.hpp"
#include "settings.hpp"

namespace switchboard {

/// What the feed and a listener both know of that.
struct listener {
  static constexpr int most_waiting = 250;   // some 64 bytes each, the text is shared
  coppice::atom<int> waiting{0};        // sent and not taken
  coppice::atom<bool> is_lost{false};
};
using listeners = coppice::registry<std::string, std::shared_ptr<listener>>;

/// The program's.
inline listeners& all_listeners() {
  static listeners all{coppice::supervised, {.name = "listeners", .keys = coppice::registry_keys::duplicate}};
  return all;
}
/// How many times the routes were made.
inline coppice::atom<int>& routes_generation() {
  static coppice::atom<int> count{0};
  return count;
}
inline constexpr const char* everything = "everything";  // what they listen to

/// To a listener.
struct feed_message {
  std::shared_ptr<const std::string> json;
  std::uint64_t number;
};

struct feed {
  static constexpr coppice::named<feed> server{"feed"};
  static constexpr coppice::server_options options{.mailbox_bound = 10'000};

  struct picture { std::shared_ptr<const std::string> json; std::uint64_t number; };
  enum class freed_by { hand, time, end_of_session };

  struct look { using reply = picture; };
  struct allocated { int channel; lease as; };
  struct freed { int channel; freed_by why; };
  struct all_leases { leases now; };                   // from a ch3 that begins, or one of whose messages was refused
  struct begins { std::string name; coppice::pid who; };
  using protocol = coppice::messages<look, allocated, freed, all_leases, begins, break_down, coppice::down>;

  void init(settings s);
  picture handle_call(look);
  void handle_cast(const allocated& a);
  void handle_cast(const freed& f);
  void handle_cast(all_leases a);
  void handle_cast(const begins& b);
  void handle_cast(break_down);
  void handle_info(const coppice::down& d);

 private:
  struct taken { std::int64_t until; std::optional<std::string> session; };
  static taken taken_by(const lease& l);
  std::shared_ptr<const std::string> whole() const;
  template <class Make>
  void tell(Make&& make);
  void tell_all(std::shared_ptr<const std::string> json) const;

  settings set_{};
  std::map<int, taken> taken_{};
  std::map<coppice::pid, std::string> watched_{};      // servers, by their processes
  std::uint64_t number_ = 0;
};

/// A server says that it runs now: its crash will be told.
inline void show_in_feed(std::string name) { coppice::cast(feed::server, feed::begins{std::move(name), coppice::self()}); }

}  // namespace switchboard
