// SPDX-License-Identifier: Apache-2.0
//
// Big: 120 servers ping random others, each with one ping out at a time.
#include <coppice/otp/gen_server.hpp>

#include <random>
#include <vector>

#include "savina/rows.hpp"

using namespace coppice;
using savina::done;

namespace {

constexpr std::uint64_t pinger_count = 120;

struct pinger;
struct ping {
  server_ref<pinger> from;
};
struct pong {};
struct neighbours {
  const std::vector<server_ref<pinger>>* all;
};

struct pinger {
  pid waiting;
  std::uint64_t left;
  std::minstd_rand random;
  const std::vector<server_ref<pinger>>* all = nullptr;

  void handle_cast(neighbours n) {
    all = n.all;
    ping_someone();
  }
  void handle_cast(ping p) { cast(p.from, pong{}); }
  void handle_cast(pong) {
    if (--left != 0) ping_someone();
    else send(waiting, done{});
  }

  void ping_someone() { cast((*all)[random() % all->size()], ping{self(this)}); }
};

double big(bench::state& s) {
  return savina::in_process([&] {
    const auto share = s.count(16'000);
    std::vector<server_ref<pinger>> all;
    for (unsigned i = 0; i != pinger_count; ++i) all.push_back(start<pinger>({}, self(), share, std::minstd_rand(i + 1)));
    const double rate = s.rate(pinger_count * share, [&] {
      for (const auto& one : all) cast(one, neighbours{&all});
      savina::receive_done(pinger_count);
    });
    for (const auto& one : all) stop(one);
    return rate;
  });
}

}  // namespace

void savina::add_big(bench::suite& suite) {
  suite.row("big 120, ping-pongs", {.unit = "M/s", .min = 15, .peers = "big", .two_cores = true, .run = big});
}
