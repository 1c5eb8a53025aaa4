// SPDX-License-Identifier: Apache-2.0
//
// Supervisors: how long a crash is felt, how many can be mended in a second, how children by the thousand come and go.
#include <coppice/base/log_sink.hpp>
#include <coppice/otp/dynamic_supervisor.hpp>
#include <coppice/otp/gen_server.hpp>

#include <algorithm>
#include <stdexcept>
#include <vector>

#include "otp/rows.hpp"

using namespace coppice;

namespace {

/// Nobody listens, as for the peers.
struct silence {
  static void drop(void*, const report&) {}
  log_sink none{&drop, nullptr, static_cast<log_level>(static_cast<int>(log_level::error) + 1)};
  const log_sink* before = set_log_sink(&none);
  ~silence() { set_log_sink(before); }
};

struct sum { using reply = int; };
struct crash { using reply = int; };
struct child_server {
  int handle_call(sum) const { return 0; }
  int handle_call(crash) const { throw std::runtime_error("as told"); }
};
struct telling_server {
  pid parent{};
  void init(pid who) {
    parent = who;
    send(parent, sum{});
  }
  int handle_call(sum) const { return 0; }
};

constexpr named<child_server> child_name{"bench_child"};

supervisor start_one() {
  return start_supervisor_link({.intensity = 1'000'000'000, .period = 1us, .children = {child<child_server>({.name = child_name})}});
}

/// Asks until somebody else than `old` answers. Lets others run in between.
void await_answer(pid old) {
  for (;; yield()) {
    const auto now = whereis(child_name);
    if (now && *now != old && try_call(server_cast<child_server>(*now), sum{})) return;
  }
}
template <class Crash>
std::int64_t replaced(Crash&& end) {
  const pid old = *whereis(child_name);
  const std::int64_t begin = bench::now();
  end(old);
  await_answer(old);
  return bench::now() - begin;
}

template <class Crash>
double median_of(bench::state& s, Crash end) {
  const silence nobody;
  return otp_bench::in_process([&] {
    const supervisor top = start_one();
    std::vector<std::int64_t> all;
    for (std::uint64_t i = 0; i != s.count(4000); ++i) all.push_back(replaced(end));
    stop(top.id());
    std::nth_element(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2), all.end());
    return static_cast<double>(all[all.size() / 2]) / 1000;
  });
}

double restart_killed(bench::state& s) {
  return median_of(s, [](pid old) { exit(old, exit_reason::kill); });
}
double restart_exception(bench::state& s) {
  return median_of(s, [](pid old) { (void)try_call(server_cast<child_server>(old), crash{}); });
}

double restart_rate(bench::state& s) {
  const silence nobody;
  const std::uint64_t n = s.count(40'000);
  return otp_bench::in_process([&] {
    const supervisor top = start_one();
    const double rate = 1e3 * s.rate(n, [&] {
      for (std::uint64_t i = 0; i != n; ++i) replaced([](pid old) { exit(old, exit_reason::kill); });
    });
    stop(top.id());
    return rate;
  });
}

double restart_many(bench::state& s) {
  const silence nobody;
  constexpr std::uint64_t count = 1000;
  const std::uint64_t rounds = s.count(40);
  return otp_bench::in_process([&] {
    supervisor_spec spec{.intensity = 1'000'000'000, .period = 1us};
    for (std::uint64_t i = 0; i != count; ++i) spec.children.push_back(child<telling_server>({.id = std::to_string(i)}, self()));
    const supervisor top = start_supervisor_link(spec);
    for (std::uint64_t i = 0; i != count; ++i) receive<sum>();
    double ns = 0;
    for (std::uint64_t r = 0; r != rounds; ++r) {
      const auto all = top.which_children();
      ns += s.each(1, [&] {
        for (const auto& c : all) exit(c.who, exit_reason::kill);
        for (std::uint64_t i = 0; i != count; ++i) receive<sum>();
      });
    }
    stop(top.id());
    return 1e6 * static_cast<double>(count * rounds) / ns;
  });
}

double dynamic_children(bench::state& s) {
  const silence nobody;
  const std::uint64_t n = s.count(100'000);
  return otp_bench::in_process([&] {
    const dynamic_supervisor top = start_dynamic_supervisor_link();
    std::vector<pid> all(n);
    const double ns = s.each(n, [&] {
      for (pid& p : all) p = top.start_child<child_server>({.restart = temporary});
      for (const pid p : all) top.terminate_child(p);
    });
    stop(top.id());
    return ns;
  });
}

}  // namespace

namespace otp_bench {

void add_supervisor_rows(bench::suite& suite) {
  suite.group("supervisors");
  suite.row("killed, until the replacement answers, p50", {.unit = "us", .max = 1.5, .peers = "restart-killed", .run = restart_killed});
  suite.row("exception, until the replacement answers, p50", {.unit = "us", .max = 4, .peers = "restart-exception", .run = restart_exception});
  suite.row("restarts, one after another", {.unit = "k/s", .min = 500, .peers = "restart-rate", .run = restart_rate});
  suite.row("1000 children killed at once", {.unit = "k/s", .min = 500, .peers = "restart-1000", .run = restart_many});
  suite.row("start and terminate 100,000 dynamic children", {.peers = "dynamic-children", .run = dynamic_children});
}

}  // namespace otp_bench
