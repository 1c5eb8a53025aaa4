// SPDX-License-Identifier: Apache-2.0
//
// Counting actor: one producer sends increments to a counter, then asks for the count.
#include <coppice/otp/gen_server.hpp>

#include "savina/rows.hpp"

using namespace coppice;

namespace {

struct increment {};
struct get {
  using reply = std::uint64_t;
};

struct counter {
  std::uint64_t count = 0;
  void handle_cast(increment) { ++count; }
  std::uint64_t handle_call(get) { return count; }
};

double counting_server(bench::state& s) {
  return savina::in_process([&] {
    const auto messages = s.count(8'000'000);
    const server_ref<counter> to = start<counter>();
    const double rate = s.rate(messages, [&] {
      for (std::uint64_t i = 0; i != messages; ++i) cast(to, increment{});
      savina::check(call(to, get{}, infinity), messages);
    });
    stop(to);
    return rate;
  });
}

double counting_process(bench::state& s) {
  return savina::in_process([&] {
    struct ask {
      pid from;
    };
    struct answer {
      std::uint64_t count;
    };
    const auto messages = s.count(8'000'000);
    const pid to = spawn([] {
      std::uint64_t count = 0;
      bool over = false;
      while (!over) {
        receive([&](increment) { ++count; },
                [&](ask a) {
                  send(a.from, answer{count});
                  over = true;
                });
      }
    });
    return s.rate(messages, [&] {
      for (std::uint64_t i = 0; i != messages; ++i) send(to, increment{});
      send(to, ask{self()});
      savina::check(receive<answer>().count, messages);
    });
  });
}

}  // namespace

void savina::add_counting(bench::suite& suite) {
  suite.row("counting actor, messages",
            {.unit = "M/s", .min = 100, .peers = "counting", .two_cores = true, .run = counting_server});
  suite.row("counting actor, messages, receiving process",
            {.unit = "M/s", .peers = "counting", .two_cores = true, .run = counting_process});
}
