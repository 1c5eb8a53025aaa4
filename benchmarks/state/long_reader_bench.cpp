// SPDX-License-Identifier: Apache-2.0
//
// Row 6: long readers beside writers. A transaction looks at 1,000 refs and pauses four times for a millisecond, while another
// thread changes two of them as often as it can. Printed: that it ends, after how many attempts, and what that costs the writer.
#include <coppice/state/arithmetic.hpp>
#include <coppice/state/ref.hpp>

#include <algorithm>
#include <atomic>
#include <memory>
#include <vector>

#include "state/rows.hpp"

using namespace coppice;

namespace {

constexpr std::size_t many = 1000;
constexpr std::int64_t pause = 1'000'000;

struct outcome {
  double worst_ms = 0;                           // of one reader
  unsigned attempts = 0;                         // … of the one that needed most
  unsigned versions = 0;                         // the longest history behind it all
  double writes = 0;                             // millions per second
};

void wait_busily(std::int64_t ns) {
  const std::int64_t until = bench::now() + ns;
  while (bench::now() < until) {}
}

class world {
 public:
  world() {
    for (std::size_t i = 0; i != many; ++i) refs_.push_back(std::make_unique<ref<std::int64_t>>(0));
  }

  /// Readers one behind the other; without them the writer is alone for as long as they would take.
  outcome run(bench::state& s, bool readers) {
    outcome o;
    std::atomic<bool> over{false};
    std::uint64_t written = 0;
    const double ns = bench::in_threads(2, [&](int t) {
      bench::pin_to_core(t);
      if (t == 0) {
        for (std::uint64_t i = 0; i != s.count(24); ++i) readers ? read_all(o) : wait_busily(4 * pause);
        over = true;
        return;
      }
      for (std::uint32_t dice = 1; !over.load(std::memory_order_relaxed); ++written) move(dice);
    });
    o.writes = static_cast<double>(written) * 1e3 / ns;
    for (const auto& r : refs_) o.versions = std::max(o.versions, r->history_count());
    return o;
  }

 private:
  void move(std::uint32_t& dice) {
    const auto pick = [&]() -> ref<std::int64_t>& {
      dice = dice * 1664525 + 1013904223;
      return *refs_[(dice >> 8) % many];
    };
    ref<std::int64_t>& from = pick();
    ref<std::int64_t>& to = pick();
    transact([&] {
      from.alter(minus, 1);
      to.alter(plus, 1);
    });
  }
  void read_all(outcome& o) {
    unsigned attempts = 0;
    const std::int64_t begin = bench::now();
    const std::int64_t sum = transact([&] {
      ++attempts;
      std::int64_t all = 0;
      for (std::size_t i = 0; i != many; ++i) {
        if (i % (many / 4) == 0) wait_busily(pause);
        all += **refs_[i];
      }
      return all;
    }, {.attempts = 1000});
    state_bench::check(static_cast<std::uint64_t>(sum), 0);
    o.worst_ms = std::max(o.worst_ms, static_cast<double>(bench::now() - begin) / 1e6);
    o.attempts = std::max(o.attempts, attempts);
  }

  std::vector<std::unique_ptr<ref<std::int64_t>>> refs_;
};

}  // namespace

void state_bench::add_long_reader_rows(bench::suite& suite) {
  suite.group("6 long readers, 1,000 refs and 4 pauses of 1 ms, beside a writer");
  suite.row("writer alone", {.unit = "M/s", .run = [](bench::state& s) { return world().run(s, false).writes; }});
  suite.row("writer beside long readers", {.unit = "M/s", .reference = "writer alone", .two_cores = true,
                                           .run = [](bench::state& s) { return world().run(s, true).writes; }});
  suite.row("a long reader, the slowest", {.unit = "ms", .two_cores = true, .run = [](bench::state& s) { return world().run(s, true).worst_ms; }});
  suite.row("attempts of a long reader, the most", {.unit = "attempts", .max = 10.0, .two_cores = true,
                                                    .run = [](bench::state& s) { return static_cast<double>(world().run(s, true).attempts); }});
  suite.row("history of a ref behind them, the longest", {.unit = "versions", .max = 10.0, .two_cores = true,
                                                          .run = [](bench::state& s) { return static_cast<double>(world().run(s, true).versions); }});
}
