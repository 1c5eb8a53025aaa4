// SPDX-License-Identifier: Apache-2.0
//
// Row 8: timers that guard something and are cancelled long before they are due, as most are.
#include <coppice/process/timer.hpp>

#include <vector>

#include "core/rows.hpp"

using namespace coppice;

namespace {

struct ring {};

/// One to two minutes ahead, on many ticks.
duration far_ahead(std::uint64_t i) { return 1min + std::chrono::milliseconds(i % 60'000); }

void start_all(std::vector<reference>& timers, pid to) {
  for (std::uint64_t i = 0; i != timers.size(); ++i) timers[i] = send_after(far_ahead(i), to, ring{});
}
void stop_all(const std::vector<reference>& timers) {
  for (const reference timer : timers) bench::keep(stop_timer(timer));
}
void cancel_all(const std::vector<reference>& timers) {
  for (const reference timer : timers) bench::keep(cancel_timer(timer));
}

double pair(bench::state& s, std::uint64_t armed) {
  return core_bench::in_process([&, me = self()] {
    std::vector<reference> others(armed);
    start_all(others, me);
    const double ns = s.time([to = self()](std::uint64_t n) {
      while (n--) bench::keep(stop_timer(send_after(1min, to, ring{})));
    });
    stop_all(others);
    return ns;
  });
}

double start(bench::state& s) {
  return core_bench::in_process([&] {
    std::vector<reference> timers(s.count(1'000'000));
    const double ns = s.each(timers.size(), [&] { start_all(timers, self()); });
    stop_all(timers);
    return ns;
  });
}

double end_all(bench::state& s, void (*end)(const std::vector<reference>&)) {
  return core_bench::in_process([&] {
    std::vector<reference> timers(s.count(1'000'000));
    start_all(timers, self());
    return s.each(timers.size(), [&] { end(timers); });
  });
}

}  // namespace

void core_bench::add_timer_rows(bench::suite& suite) {
  suite.group("8 timers");
  suite.row("timer start + cancel", {.reference = "multimap of 60000 timers, insert + erase", .max = 15, .peers = "timer-pair",
                                     .run = [](bench::state& s) { return pair(s, 0); }});
  suite.row("timer start, 1M armed", {.max = 25, .peers = "timer-start", .run = start});
  suite.row("timer cancel, 1M armed", {.max = 27, .peers = "timer-cancel",
                                       .run = [](bench::state& s) { return end_all(s, &stop_all); }});
  suite.row("timer cancel and the time left, 1M armed", {.run = [](bench::state& s) { return end_all(s, &cancel_all); }});
  suite.row("timer start + cancel beside 100,000", {.run = [](bench::state& s) { return pair(s, 100'000); }});
}
