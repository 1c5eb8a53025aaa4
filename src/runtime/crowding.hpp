// SPDX-License-Identifier: Apache-2.0
//
// crowding: whether fewer workers would do more. Where processes do little but send to one another, each message between two
// cores costs more than handling it, and two workers get less done than one. No look at the queues tells that; only trying does.
// So now and then half of the busy workers stand aside for two milliseconds, and the work done by all before and meanwhile is
// compared. If it was more, they find nothing to take afterwards (scheduler::is_left_alone); if not, it is tried ever more rarely.
//
// It decides only; the monitor thread feeds it, once a millisecond, and does what it says. Thread: one at a time.
#pragma once

#include <bit>
#include <cstdint>

namespace coppice::internal {

class crowding {
 public:
  /// What the monitor thread saw since its last look.
  struct look {
    std::uint64_t busy = 0;          // a bit for each worker that did something
    std::int64_t rate = 0;           // things done by all of them, per ms
    std::int64_t grain = 0;          // how long one of them took, ns
    bool disturbed = false;          // a worker is stuck: nobody stands aside
  };

  /// Returns: who has to stand aside until the next look, a bit for each worker.
  std::uint64_t decide(const look& seen) noexcept {
    if (aside_ != 0) return go_on(seen);
    if (seen.disturbed || seen.grain > coarse || std::popcount(seen.busy) < 2) {
      looks_ = 0;
      return 0;
    }
    usual_ = looks_ == 0 ? seen.rate : usual_ + (seen.rate - usual_) / 4;
    if (++looks_ < pause_) return 0;
    looks_ = 0;
    return aside_ = half_of(seen.busy);
  }

  /// All workers sleep: nobody stands aside, and a try that was under way is forgotten.
  void rest() noexcept {
    aside_ = 0;
    looks_ = 0;
  }

 private:
  static constexpr std::int64_t coarse = 800;    // ns: beside such pieces a message between two cores costs little
  static constexpr int shortest_pause = 2;       // looks between two tries
  static constexpr int longest_pause = 1024;

  /// The upper half of them, rounded down; the lower ones go on.
  static std::uint64_t half_of(std::uint64_t busy) noexcept {
    for (int stay = (std::popcount(busy) + 1) / 2; stay != 0; --stay) busy &= busy - 1;
    return busy;
  }

  /// During a try. The first millisecond is for those who stand aside to hear of it.
  std::uint64_t go_on(const look& seen) noexcept {
    if (!seen.disturbed && ++looks_ < 2) return aside_;
    const bool better = !seen.disturbed && seen.rate > usual_ + usual_ / 8;
    pause_ = better ? shortest_pause : pause_ < longest_pause ? 2 * pause_ : longest_pause;
    looks_ = 0;
    return aside_ = 0;
  }

  std::uint64_t aside_ = 0;          // who stands aside
  std::int64_t usual_ = 0;           // the rate while nobody does, averaged
  int looks_ = 0;                    // since the last try ended, or since this one began
  int pause_ = shortest_pause;
};

}  // namespace coppice::internal
