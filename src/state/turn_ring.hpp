// SPDX-License-Identifier: Apache-2.0
//
// turn_ring: jobs that take turns on one thread of a pool. The thread appends and takes without a locked instruction; only while it
// says so (`open`), because it is inside of a job and may be there for long, others take them away.
//
// Dekker's way with unequal fences: the owner says that it is back and looks whether somebody takes; who takes says so, has all threads
// pass a barrier and looks whether the owner is away. At least one of them sees the other.
//
// Thread: the owner, but for `take_away`: one at a time.
#pragma once

#include <coppice/base/detail/sync.hpp>
#include <coppice/state/executor.hpp>

#include "runtime/planted.hpp"

#include <cstdint>

namespace coppice::internal {

namespace sync = coppice::detail::sync;

class turn_ring {
 public:
  static constexpr std::uint32_t capacity = 256;

  /// Whether this can be had at all on this system.
  static bool is_possible() noexcept { return sync::has_heavy_fence(); }

  /// For others a hint.
  bool is_empty() const noexcept { return shown_.get() == 0; }
  std::uint32_t size() const noexcept { return end_.get() - begin_.get(); }

  void append(job t) noexcept {
    jobs_[end_.get() % capacity] = t;
    end_ = end_.get() + 1;
    shown_.set(size());
  }
  job take_first() noexcept {
    const job t = jobs_[begin_.get() % capacity];
    begin_ = begin_.get() + 1;
    shown_.set(size());
    return t;
  }

  /// The owner begins a job: what is here may be taken away until `close`.
  void open() noexcept { is_open_.store(1, sync::release); }
  void close() noexcept {
    is_open_.store(0, sync::relaxed);
    sync::light_fence();                         // pairs with take_away
    while (taken_away_.load(sync::acquire) != 0) sync::relax();
  }

  /// For others: gives all of them to `to(job)`, if the owner is inside of a job.
  template <class To>
  void take_away(To&& to) noexcept {
    taken_away_.store(1, sync::seq_cst);
    sync::heavy_fence();
    if (is_open_.load(sync::acquire) != 0 || planted::is(planted::turns_taken_from_present))
      while (size() != 0) to(take_first());
    taken_away_.store(0, sync::release);
  }

 private:
  sync::var<std::uint32_t> begin_{0, "turns begin"};
  sync::var<std::uint32_t> end_{0, "turns end"};
  sync::tally<std::uint32_t> shown_;
  sync::atomic<std::uint32_t> is_open_{0, "turns open"};
  sync::atomic<std::uint32_t> taken_away_{0, "turns taken away"};
  job jobs_[capacity];
};

}  // namespace coppice::internal
