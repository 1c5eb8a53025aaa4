// SPDX-License-Identifier: Apache-2.0
//
// snapshots: the clock of all commits, and a table of the snapshots that long readers have registered, so that commits keep what
// they need.
//
// Invariant: a snapshot is announced as open before it is read from the clock: what is replaced in between is kept.
#pragma once

#include <coppice/state/detail/ref_core.hpp>

#include <cstdint>

namespace coppice::detail {

/// One number for the program, even.
class alignas(64) commit_clock {
 public:
  std::uint64_t now() const noexcept { return now_.load(sync::seq_cst); }
  /// The version of a commit.
  std::uint64_t draw() noexcept { return now_.fetch_add(2, sync::seq_cst) + 2; }

 private:
  sync::atomic<std::uint64_t> now_{2, "clock"};
};

class alignas(64) snapshot_table {
 public:
  static constexpr int slots = 64;
  static constexpr int none = -1;

  /// Whether anybody is registered; who asks has drawn a version.
  bool is_used() const noexcept { return used_.load(sync::seq_cst) != 0; }
  /// Registers a snapshot that is yet to be read.   Returns: its slot; none: all are taken.
  int enter(const commit_clock& clock) noexcept {
    for (int i = 0; i != slots; ++i) {
      std::uint64_t free = 0;
      if (!slot_[i].cas(free, clock.now() | 1, sync::seq_cst)) continue;
      used_.fetch_add(1, sync::seq_cst);
      return i;
    }
    return none;
  }
  /// The snapshot of `slot` from now on.
  std::uint64_t renew(int slot, const commit_clock& clock) noexcept {
    sync::atomic<std::uint64_t>& own = slot_[slot];
    own.store(own.load(sync::relaxed) | 1, sync::seq_cst);  // open: all that is replaced from here on is kept
    sync::fence(sync::seq_cst);
    const std::uint64_t snapshot = clock.now();
    own.store(snapshot, sync::seq_cst);
    return snapshot;
  }
  void leave(int slot) noexcept {
    slot_[slot].store(0, sync::seq_cst);
    used_.fetch_sub(1, sync::seq_cst);
  }
  /// Whether somebody needs a version that is replaced by `until`.
  bool is_needed(const version_head& v, std::uint64_t until) const noexcept {
    for (const sync::atomic<std::uint64_t>& slot : slot_) {
      const std::uint64_t s = slot.load(sync::seq_cst);
      if (s == 0) continue;
      if ((s & 1) != 0 || (v.version.get() <= s && s < until)) return true;
    }
    return false;
  }

 private:
  sync::atomic<std::uint32_t> used_{0, "snapshots"};
  sync::atomic<std::uint64_t> slot_[slots];      // 0: free; odd: about to be read from the clock; else a snapshot that is in use
};

}  // namespace coppice::detail
