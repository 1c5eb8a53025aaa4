// SPDX-License-Identifier: Apache-2.0
//
// Thread ring: one token goes round among 503 and counts down.
#include <coppice/otp/gen_server.hpp>

#include <vector>

#include "savina/rows.hpp"

using namespace coppice;
using savina::done;

namespace {

constexpr int ring_size = 503;

struct token {
  std::int64_t left;
};
struct member;
struct next_is {
  server_ref<member> next;
};

struct member {
  pid waiting;
  server_ref<member> next{};

  void handle_cast(next_is n) { next = n.next; }
  void handle_cast(token t) {
    if (t.left == 0) send(waiting, done{});
    else cast(next, token{t.left - 1});
  }
};

double ring_of_servers(bench::state& s) {
  return savina::in_process([&] {
    const auto hops = s.count(5'000'000);
    std::vector<server_ref<member>> ring;
    for (int i = 0; i != ring_size; ++i) ring.push_back(start<member>({}, self()));
    for (std::size_t i = 0; i != ring_size; ++i) cast(ring[i], next_is{ring[(i + 1) % ring_size]});
    const double rate = s.rate(hops, [&] {
      cast(ring[0], token{static_cast<std::int64_t>(hops)});
      receive<done>();
    });
    for (const auto& one : ring) stop(one);
    return rate;
  });
}

/// Passes tokens on until one with a negative number tells everybody to end.
void pass_on(pid next, pid waiting) {
  for (;;) {
    const token t = receive<token>();
    if (t.left == 0) send(waiting, done{});
    else send(next, token{t.left - 1});
    if (t.left < 0) return;
  }
}

double ring_of_processes(bench::state& s) {
  return savina::in_process([&] {
    const auto hops = s.count(5'000'000);
    struct first_is {
      pid first;
    };
    const pid waiting = self();
    const pid last = spawn([waiting] { pass_on(receive<first_is>().first, waiting); });
    pid first = last;
    for (int i = 1; i != ring_size; ++i) first = spawn([first, waiting] { pass_on(first, waiting); });
    send(last, first_is{first});
    const double rate = s.rate(hops, [&] {
      send(first, token{static_cast<std::int64_t>(hops)});
      receive<done>();
    });
    send(first, token{-1});
    return rate;
  });
}

}  // namespace

void savina::add_ring(bench::suite& suite) {
  suite.row("thread ring 503, hops", {.unit = "M/s", .min = 45, .peers = "ring", .run = ring_of_servers});
  suite.row("thread ring 503, hops, receiving processes", {.unit = "M/s", .peers = "ring", .run = ring_of_processes});
}
