// SPDX-License-Identifier: Apache-2.0
//
// Chameneos: 100 creatures meet in pairs in one mall; four messages a meeting.
#include <coppice/otp/gen_server.hpp>

#include <vector>

#include "savina/rows.hpp"

using namespace coppice;

namespace {

constexpr std::uint64_t creature_count = 100;

int complement(int a, int b) { return a == b ? a : 3 - a - b; }

struct creature;
/// A creature wants to meet; the mall passes it on to the one that waits.
struct meet {
  server_ref<creature> who;
  int colour;
};
struct change {
  int colour;
};
struct no_more {};
struct has_met {
  std::uint64_t times;
};
struct all_met {
  std::uint64_t times;
};

struct mall {
  pid waiting_for_end;
  std::uint64_t left;
  std::uint64_t creatures = creature_count;
  std::uint64_t met = 0;
  server_ref<creature> waiting{};

  void handle_cast(meet m);
  void handle_cast(has_met h) {
    met += h.times;
    if (--creatures == 0) send(waiting_for_end, all_met{met});
  }
};

struct creature {
  server_ref<mall> place;
  int colour;
  std::uint64_t met = 0;

  struct go {};
  void handle_cast(go) { want_to_meet(); }
  void handle_cast(meet m) {
    colour = complement(colour, m.colour);
    cast(m.who, change{colour});
    ++met;
    want_to_meet();
  }
  void handle_cast(change c) {
    colour = c.colour;
    ++met;
    want_to_meet();
  }
  auto handle_cast(no_more) {
    cast(place, has_met{met});
    return stop();
  }

  void want_to_meet() { cast(place, meet{self(this), colour}); }
};

void mall::handle_cast(meet m) {
  if (left == 0) {
    cast(m.who, no_more{});
  } else if (!waiting) {
    waiting = m.who;
  } else {
    cast(waiting, m);
    waiting = {};
    --left;
  }
}

double chameneos(bench::state& s) {
  return savina::in_process([&] {
    const auto meetings = s.count(800'000);
    const server_ref<mall> place = start<mall>({}, self(), meetings);
    std::vector<server_ref<creature>> creatures;
    for (std::uint64_t i = 0; i != creature_count; ++i) creatures.push_back(start<creature>({}, place, static_cast<int>(i % 3)));
    const double rate = s.rate(meetings, [&] {
      for (const auto& one : creatures) cast(one, creature::go{});
      savina::check(receive<all_met>().times, 2 * meetings);
    });
    stop(place);
    return rate;
  });
}

}  // namespace

void savina::add_chameneos(bench::suite& suite) {
  suite.row("chameneos 100, meetings",
            {.unit = "M/s", .min = 10, .peers = "chameneos", .two_cores = true, .run = chameneos});
}
