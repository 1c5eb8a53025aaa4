// SPDX-License-Identifier: Apache-2.0
//
// Row 6: sends to agents, from the first one sent to the last one done, and send with await.
#include <coppice/state/agent.hpp>
#include <coppice/state/arithmetic.hpp>

#include <memory>
#include <vector>

#include "state/rows.hpp"

using namespace coppice;

namespace {

double send_to(bench::state& s, std::size_t agents, bool off) {
  const std::uint64_t all = s.count(off ? 1'000'000 : 2'000'000);
  std::vector<std::unique_ptr<agent<std::uint64_t>>> to;
  for (std::size_t i = 0; i != agents; ++i) to.push_back(std::make_unique<agent<std::uint64_t>>(0));
  const double rate = s.rate(all, [&] {
    for (std::uint64_t i = 0; i != all; ++i) {
      if (off) to[i % agents]->send_off(inc);
      else to[i % agents]->send(inc);
    }
    for (auto& a : to) await(*a);
  });
  std::uint64_t sum = 0;
  for (auto& a : to) sum += **a;
  state_bench::check(sum, all);
  return rate;
}

}  // namespace

void state_bench::add_agent_rows(bench::suite& suite) {
  suite.group("6 agents");
  suite.row("send to 1 agent, drained", {.unit = "M/s", .min = 40.0, .peers = "agent-1", .two_cores = true, .run = [](bench::state& s) { return send_to(s, 1, false); }});
  suite.row("send to 100 agents, drained", {.unit = "M/s", .min = 30.0, .peers = "agent-100", .two_cores = true, .run = [](bench::state& s) { return send_to(s, 100, false); }});
  suite.row("send_off, drained", {.unit = "M/s", .min = 5.0, .peers = "agent-off", .two_cores = true, .run = [](bench::state& s) { return send_to(s, 1, true); }});
  suite.row("send and await", {.max = 150.0, .peers = "agent-await", .two_cores = true, .run = [](bench::state& s) {
                                 agent<std::uint64_t> a(0);
                                 return s.time([&](std::uint64_t n) {
                                   while (n-- != 0) {
                                     a.send(inc);
                                     await(a);
                                   }
                                 });
                               }});
}
