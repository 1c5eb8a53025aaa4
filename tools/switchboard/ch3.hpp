// SPDX-License-Identifier: Apache-2.0
//
// ch3: the server that owns the channels. The allocator of the README, with leases that may end by themselves and answers for
// every mistake instead of a crash: its clients are strangers on a network.
//
// Every channel is in `idle` or in `taken`, never in both. A lease has a number, so that the end of an old one, whose
// message was under way already when the channel was freed, does not end its successor.
#pragma once

#include <coppice/otp/gen_server.hpp>
#include <coppice/process/timer.hpp>

#include <map>
#include <optional>
#include <set>
#include <vector>

namespace switchboard {

using coppice::duration;

struct ch3 {
  static constexpr coppice::named<ch3> server{"ch3"};

  enum class freed { yes, not_taken, unknown };
  struct listing { std::vector<int> free; std::vector<int> taken; };
  struct lease { std::uint64_t number; coppice::reference timer; };

  struct allocate { using reply = std::optional<int>; duration time_to_live; };
  struct give_back { using reply = freed; int channel; };
  struct list { using reply = listing; };
  struct lease_over { int channel; std::uint64_t number; };
  using protocol = coppice::messages<lease_over>;

  static auto start(int channels) { return coppice::start<ch3>({.name = server}, channels); }
  /// The first free channel, or none. `coppice::infinity`: until it is given back.
  static auto alloc(duration time_to_live) { return coppice::try_call(server, allocate{time_to_live}); }
  static auto free(int channel) { return coppice::try_call(server, give_back{channel}); }
  static auto show() { return coppice::try_call(server, list{}); }

  auto init(int channels) {
    for (int c = 1; c <= channels; ++c) idle.insert(c);
    return coppice::ok();
  }

  std::optional<int> handle_call(allocate a) {
    if (idle.empty()) return std::nullopt;
    const int channel = idle.extract(idle.begin()).value();
    lease& l = taken[channel] = {++leases, {}};
    if (a.time_to_live != coppice::infinity)
      l.timer = coppice::send_after(a.time_to_live, coppice::self(), lease_over{channel, l.number});
    return channel;
  }

  freed handle_call(give_back g) {
    const auto held = taken.find(g.channel);
    if (held == taken.end()) return idle.contains(g.channel) ? freed::not_taken : freed::unknown;
    if (held->second.timer) coppice::cancel_timer(held->second.timer);
    release(held);
    return freed::yes;
  }

  listing handle_call(list) const {
    listing all{{idle.begin(), idle.end()}, {}};
    for (const auto& held : taken) all.taken.push_back(held.first);
    return all;
  }

  void handle_info(lease_over over) {
    const auto held = taken.find(over.channel);
    if (held != taken.end() && held->second.number == over.number) release(held);
  }

  std::set<int> idle{};
  std::map<int, lease> taken{};
  std::uint64_t leases = 0;

 private:
  void release(std::map<int, lease>::iterator held) {
    idle.insert(held->first);
    taken.erase(held);
  }
};

}  // namespace switchboard
