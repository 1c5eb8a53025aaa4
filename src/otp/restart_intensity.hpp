// SPDX-License-Identifier: Apache-2.0
//
// restart_intensity: how often something was restarted lately. A ring of points in time, never more than may be counted, so
// memory does not grow with the age of a supervisor. Value; one owner.
//
// Invariant: `stamps_` holds the restarts of the last period, oldest first, as of the last question.
#pragma once

#include <coppice/base/detail/sync.hpp>
#include <coppice/process/child_spec.hpp>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace coppice::internal {

class restart_intensity {
 public:
  /// Notes a restart at `now`, on the monotonic clock.
  /// Returns: whether `limit` allows it.   Spec: SV-30.
  bool add(std::int64_t now, const restart_limit& limit) {
    forget_before(now, limit.period);
    if (count_ >= limit.restarts) return false;
    if (count_ == ring_.size()) grow(limit.restarts);
    ring_[(first_ + count_) % ring_.size()] = now;
    ++count_;
    return true;
  }
  /// How many there were in the period that ends `now`.
  unsigned recent(std::int64_t now, duration period) {
    forget_before(now, period);
    return static_cast<unsigned>(count_);
  }

 private:
  void forget_before(std::int64_t now, duration period) noexcept {
    while (count_ != 0 && now - ring_[first_] > period.count()) {
      first_ = (first_ + 1) % ring_.size();
      --count_;
    }
  }
  void grow(unsigned most) {
    std::vector<std::int64_t> larger(std::min<std::size_t>(std::max<std::size_t>(4, ring_.size() * 2), most));
    for (std::size_t i = 0; i < count_; ++i) larger[i] = ring_[(first_ + i) % ring_.size()];
    ring_ = std::move(larger);
    first_ = 0;
  }
  std::vector<std::int64_t> ring_;
  std::size_t first_ = 0;
  std::size_t count_ = 0;
};

}  // namespace coppice::internal
