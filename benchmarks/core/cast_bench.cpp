// SPDX-License-Identifier: Apache-2.0
//
// Row 2: messages to one server, from the first one sent to the last one handled.
#include <coppice/otp/gen_server.hpp>

#include <vector>

#include "core/rows.hpp"

using namespace coppice;

namespace {

struct add {
  std::uint64_t n;
};
struct total {
  using reply = std::uint64_t;
};

struct counter {
  std::uint64_t sum = 0;
  void handle_cast(add a) { sum += a.n; }
  std::uint64_t handle_call(total) { return sum; }
};

/// The call stands behind the casts in the mailbox: its answer means that all are handled.
double cast_from(bench::state& s, int producers) {
  const std::uint64_t all = s.count(8'000'000);
  const std::uint64_t share = all / static_cast<std::uint64_t>(producers);
  return core_bench::in_process([&] {
    const server_ref<counter> server = start<counter>();
    const double rate = s.rate(share * static_cast<std::uint64_t>(producers), [&] {
      std::vector<monitored> senders;
      for (int i = 0; i < producers; ++i) {
        senders.push_back(spawn_monitor([share, server] {
          for (std::uint64_t k = 0; k != share; ++k) cast(server, add{1});
        }));
      }
      for (const monitored& sender : senders) core_bench::wait_for_end(sender.ref);
      core_bench::check(call(server, total{}, infinity), share * static_cast<std::uint64_t>(producers));
    });
    stop(server);
    return rate;
  });
}

}  // namespace

void core_bench::add_cast_rows(bench::suite& suite) {
  suite.group("2 cast");
  suite.row("cast, 1 producer, drained",
            {.unit = "M/s", .reference = "mutex + deque, 1 producer", .min = 60, .peers = "cast-1", .two_cores = true,
             .run = [](bench::state& s) { return cast_from(s, 1); }});
  suite.row("cast, 2 producers, drained",
            {.unit = "M/s", .reference = "mutex + deque, 2 producers", .min = 60, .peers = "cast-2", .two_cores = true,
             .run = [](bench::state& s) { return cast_from(s, 2); }});
  suite.row("cast, 8 producers, drained",
            {.unit = "M/s", .reference = "mutex + deque, 8 producers", .min = 60, .peers = "cast-8", .two_cores = true,
             .run = [](bench::state& s) { return cast_from(s, 8); }});
}
