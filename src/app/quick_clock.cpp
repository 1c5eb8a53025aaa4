// SPDX-License-Identifier: Apache-2.0
#include "app/quick_clock.hpp"

#include <coppice/base/detail/sync.hpp>

#include <cycle_counter.hpp>

#include <algorithm>

namespace coppice::internal {

namespace sync = detail::sync;

namespace {

constexpr std::int64_t trusted_for = 200'000;       // ns
constexpr std::int64_t measured_for = 20'000'000;   // ns, until it is known how fast the counter runs
constexpr int fraction = 32;                        // bits of `ns_per_cycle` behind the point

/// Clock and counter at one moment.
struct moment {
  std::int64_t time = 0;
  std::uint64_t at = 0;
};

sync::atomic<std::uint64_t> ns_per_cycle;  // 0: not known yet

/// Learns the counter's speed from two moments of one thread.
void learn(moment& from, const moment& to) noexcept {
  const std::int64_t passed = to.time - from.time;
  const std::uint64_t counted = to.at - from.at;
  const bool is_likely = counted / 16 < static_cast<std::uint64_t>(passed) && static_cast<std::uint64_t>(passed) / 16 < counted;
  if (passed > 50 * measured_for || !is_likely)
    from = to;
  else if (passed >= measured_for)
    ns_per_cycle.store((static_cast<std::uint64_t>(passed) << fraction) / counted, sync::relaxed);
}

}  // namespace

/// Never inlined: a fiber that waits in the middle of its caller may go on on another thread.
[[gnu::noinline]] std::int64_t quick_now() noexcept {
  if (!has_cycle_counter) return sync::now();
  static thread_local constinit moment first;
  static thread_local constinit moment last;
  const std::uint64_t speed = ns_per_cycle.load(sync::relaxed);
  const std::uint64_t at = cycles();
  const std::uint64_t since = at - last.at;
  // Above that, the multiplication might not fit, and it is long ago in any case.
  if (speed != 0 && since < std::uint64_t{1} << 24) {
    const auto passed = static_cast<std::int64_t>((since * speed) >> fraction);
    if (passed < trusted_for) return last.time + passed;
  }
  const moment now{sync::now(), at};
  if (speed == 0) learn(first, now);
  last = {std::max(now.time, last.time), at};      // the counter may have been ahead by a little
  return last.time;
}

}  // namespace coppice::internal
