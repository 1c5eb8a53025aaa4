// SPDX-License-Identifier: Apache-2.0
//
// search, the implementation. See exhaustive.hpp.
#include "sim/exhaustive.hpp"

#include "sim/engine.hpp"

namespace coppice::internal::sim {

bool search::next() {
  while (!path_.empty() && path_.back().chosen + 1 == path_.back().options) path_.pop_back();
  if (started_ && path_.empty()) return false;
  if (started_) ++path_.back().chosen;
  started_ = true;
  position_ = 0;
  preemptions_left_ = bounds_.preemptions;
  old_reads_left_ = bounds_.old_reads;
  return true;
}

unsigned search::choose(unsigned options) {
  if (options < 2) return 0;
  if (position_ == path_.size()) {
    const outside_arena guard;
    path_.push_back({0, options});
  }
  const point& p = path_[position_++];
  if (p.options != options) fail("the exhaustive search met another number of choices than in the run before");
  return p.chosen;
}

}  // namespace coppice::internal::sim
