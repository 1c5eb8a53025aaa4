// SPDX-License-Identifier: Apache-2.0
//
// Fork-join throughput: one sender, 60 workers in turn, until each has had its share.
#include <coppice/otp/gen_server.hpp>

#include <vector>

#include "savina/rows.hpp"

using namespace coppice;
using savina::done;

namespace {

constexpr std::uint64_t worker_count = 60;

struct work {};

struct worker {
  pid master;
  std::uint64_t left;
  outcome<void> handle_cast(work) {
    if (--left != 0) return noreply();
    send(master, done{});
    return stop();
  }
};

template <class Address, class Start, class Tell>
double fork_and_join(bench::state& s, Start begin, Tell tell) {
  const auto share = s.count(40'000);
  std::vector<Address> workers;
  for (std::uint64_t i = 0; i != worker_count; ++i) workers.push_back(begin(share));
  return s.rate(worker_count * share, [&] {
    for (std::uint64_t i = 0; i != share; ++i) {
      for (const Address& one : workers) tell(one);
    }
    savina::receive_done(worker_count);
  });
}

double servers(bench::state& s) {
  return savina::in_process([&] {
    return fork_and_join<server_ref<worker>>(
        s, [](std::uint64_t share) { return start<worker>({}, self(), share); },
        [](const server_ref<worker>& one) { cast(one, work{}); });
  });
}

double processes(bench::state& s) {
  return savina::in_process([&] {
    return fork_and_join<pid>(
        s,
        [](std::uint64_t share) {
          return spawn([share, master = self()] {
            for (std::uint64_t left = share; left != 0; --left) receive<work>();
            send(master, done{});
          });
        },
        [](pid one) { send(one, work{}); });
  });
}

}  // namespace

void savina::add_fork_join(bench::suite& suite) {
  suite.row("fork-join throughput, messages",
            {.unit = "M/s", .min = 80, .peers = "fork-join", .two_cores = true, .run = servers});
  suite.row("fork-join throughput, messages, receiving processes",
            {.unit = "M/s", .peers = "fork-join", .two_cores = true, .run = processes});
}
