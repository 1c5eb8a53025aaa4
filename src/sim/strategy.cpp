// SPDX-License-Identifier: Apache-2.0
//
// strategy, the implementation. See strategy.hpp.
#include "sim/strategy.hpp"

#include <algorithm>
#include <bit>

namespace coppice::internal::sim {

namespace {

constexpr unsigned pct_patience = 150;      // steps alone before a thread loses its priority
constexpr unsigned usual_patience = 1'000;  // the same for the usual course

bool is_enabled(std::uint32_t enabled, unsigned thread) noexcept { return (enabled >> thread & 1) != 0; }

}  // namespace

mix mixed(std::uint64_t seed) noexcept {
  constexpr std::array<mix, 7> turns{{{strategy_kind::uniform, 0},
                                      {strategy_kind::sticky, 8},
                                      {strategy_kind::sticky, 32},
                                      {strategy_kind::pct, 2},
                                      {strategy_kind::pct, 3},
                                      {strategy_kind::pct, 5},
                                      {strategy_kind::pos, 0}}};
  return turns[seed % turns.size()];
}

unsigned next_upwards(std::uint32_t enabled, unsigned after) noexcept {
  const std::uint32_t above = after + 1 < 32 ? enabled >> (after + 1) << (after + 1) : 0;
  return static_cast<unsigned>(std::countr_zero(above != 0 ? above : enabled));
}

unsigned usual_choice(const situation& s) noexcept {
  const bool stays = is_enabled(s.enabled, s.current) && !s.yields && s.alone < usual_patience;
  return stays ? s.current : next_upwards(s.enabled, s.current);
}

void strategy::start(const token& run, std::uint64_t seed) noexcept {
  kind_ = run.strategy;
  depth_ = std::max(run.depth, 1u);
  random_ = random_stream(seed);
  priority_.fill(0);
  lowest_ = std::uint64_t{1} << 62;  // below every drawn priority
  next_change_ = changes_ = 0;
  if (kind_ != strategy_kind::pct) return;
  changes_ = std::min(depth_ - 1, static_cast<unsigned>(change_at_.size()));
  const auto length = static_cast<unsigned>(std::clamp<std::uint64_t>(run.steps, 1, UINT32_MAX));
  for (unsigned i = 0; i < changes_; ++i) change_at_[i] = random_.below(length);
  std::sort(change_at_.begin(), change_at_.begin() + changes_);
}

void strategy::thread_started(unsigned thread) noexcept { priority_[thread] = draw_priority(); }

unsigned strategy::choose(const situation& s) noexcept {
  switch (kind_) {
    case strategy_kind::usual:
      return usual_choice(s);
    case strategy_kind::uniform:
      return any(s.enabled);
    case strategy_kind::sticky:
      return sticky(s);
    case strategy_kind::pct:
      return pct(s);
    case strategy_kind::pos:
      return pos(s);
  }
  return s.current;
}

unsigned strategy::any(std::uint32_t enabled) noexcept {
  unsigned skip = random_.below(static_cast<unsigned>(std::popcount(enabled)));
  while (skip-- != 0) enabled &= enabled - 1;
  return static_cast<unsigned>(std::countr_zero(enabled));
}

unsigned strategy::sticky(const situation& s) noexcept {
  const bool stays = is_enabled(s.enabled, s.current) && !s.yields && !random_.one_in(depth_);
  return stays ? s.current : any(s.enabled);
}

unsigned strategy::pct(const situation& s) noexcept {
  if (s.yields || s.alone >= pct_patience) priority_[s.current] = --lowest_;
  for (; next_change_ < changes_ && s.point >= change_at_[next_change_]; ++next_change_)
    priority_[s.current] = --lowest_;
  return highest(s.enabled);
}

unsigned strategy::pos(const situation& s) noexcept {
  // Who yields waits for the others: all draw anew, or one that drew a very low priority would hold its lock for ever.
  for (unsigned t = 0; t < max_threads; ++t)
    if (t == s.current || (is_enabled(s.enabled, t) && (s.yields || (*s.pending)[t].conflicts_with(s.performed))))
      priority_[t] = draw_priority();
  return highest(s.enabled);
}

unsigned strategy::highest(std::uint32_t enabled) const noexcept {
  unsigned best = static_cast<unsigned>(std::countr_zero(enabled));
  for (std::uint32_t rest = enabled & (enabled - 1); rest != 0; rest &= rest - 1) {
    const auto t = static_cast<unsigned>(std::countr_zero(rest));
    if (priority_[t] > priority_[best]) best = t;
  }
  return best;
}

}  // namespace coppice::internal::sim
