// SPDX-License-Identifier: Apache-2.0
//
// shrink, the implementation. See shrink.hpp.
#include "sim/shrink.hpp"

#include "sim/isolate.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>

namespace coppice::internal::sim {

namespace {

constexpr std::uint64_t most_steps = 60'000'000;  // of all replays and searches together: a few seconds
constexpr unsigned more_failures = 20;
constexpr std::uint64_t seeds_for_more = 3'000;

class shrinker {
 public:
  shrinker(const run_options& options, const run_result& found, const runner& perform)
      : options_(options), perform_(perform), kind_(kind_of(found.failure)), best_{found.decisions, found.failure, 0} {}

  shrunk work() {
    best_.decisions = reduce(best_.decisions);
    look_for_shorter();
    best_.replays = replays_;
    return best_;
  }

 private:
  /// Replays `candidate`. Returns what it came down to if it fails in the same way: some decisions may no longer apply.
  std::optional<schedule> try_out(const schedule& candidate) {
    run_options again = options_;
    again.what.replay = candidate;
    const run_result r = run_apart(1, 1, [&](std::uint64_t) { return perform_(again); }).last;
    ++replays_;
    steps_ += r.steps;
    if (!r.failed || kind_of(r.failure) != kind_) return {};
    return r.decisions.size() < candidate.size() ? r.decisions : candidate;
  }

  /// Takes out ever smaller pieces, down to single decisions, as long as the run still fails.
  schedule reduce(schedule list) {
    std::size_t piece = std::max<std::size_t>(list.size() / 2, 1);
    while (!list.empty() && steps_ < most_steps) {
      bool shorter = false;
      for (std::size_t from = 0; from < list.size() && steps_ < most_steps;) {
        schedule without = list;
        const auto first = without.begin() + static_cast<std::ptrdiff_t>(from);
        without.erase(first, first + static_cast<std::ptrdiff_t>(std::min(piece, list.size() - from)));
        if (auto rest = try_out(without)) {
          list = *std::move(rest);
          shorter = true;
        } else {
          from += piece;
        }
      }
      if (!shorter && piece == 1) break;
      if (!shorter) piece = std::max<std::size_t>(piece / 2, 1);
      piece = std::min(piece, std::max<std::size_t>(list.size(), 1));
    }
    return list;
  }

  void look_for_shorter() {
    struct variant {
      strategy_kind kind;
      unsigned depth;
    };
    constexpr std::array<variant, 3> calm{
        {{strategy_kind::pct, 2}, {strategy_kind::pct, 3}, {strategy_kind::sticky, 32}}};
    // The program's data come from the token's seed and stay; only the schedule's stream varies.
    const auto try_seed = [&](std::uint64_t seed) {
      run_options other = options_;
      other.what.replay.reset();
      other.what.strategy = calm[seed % calm.size()].kind;
      other.what.depth = calm[seed % calm.size()].depth;
      other.schedule_seed = seed;
      return perform_(other);
    };
    std::uint64_t seed = 1;
    for (unsigned failures = 0; failures < more_failures && best_.decisions.size() > 1; ++failures) {
      const batch tried = run_apart(seed, seeds_for_more, try_seed);
      steps_ += tried.last.steps * (tried.next - seed);
      seed = tried.next;
      if (!tried.last.failed || steps_ >= most_steps) return;
      if (kind_of(tried.last.failure) != kind_) continue;
      schedule list = reduce(tried.last.decisions);
      if (list.size() < best_.decisions.size()) best_.decisions = std::move(list);
    }
  }

  run_options options_;
  const runner& perform_;
  std::string kind_;
  shrunk best_;
  std::uint64_t steps_ = 0;
  unsigned replays_ = 0;
};

}  // namespace

std::string kind_of(const std::string& failure) {
  std::string kind;
  for (const char c : failure)
    if (std::isdigit(static_cast<unsigned char>(c)) == 0) kind += c;
  return kind;
}

shrunk shrink(const run_options& options, const run_result& found, const runner& perform) {
  return shrinker(options, found, perform).work();
}

}  // namespace coppice::internal::sim
