// SPDX-License-Identifier: Apache-2.0
//
// search: walks through all schedules of a tiny scenario with a bounded number of deviations.
//
// A run asks at each choice point which of the options to take; the search replays the options of the run before and goes
// one further at the last point that had one left (depth first, stateless). Bounded are preemptions (a thread loses its
// turn although it could go on, or the clock leaps although somebody could run) and reads of old values; without bounds a
// spin loop would be an infinite tree. The clock's leaps are choices, or faults that need a timeout would pass as absent.
//
// The run's OS thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace coppice::internal::sim {

struct search_bounds {
  unsigned preemptions = 2;
  unsigned old_reads = 2;
};

class search {
 public:
  explicit search(search_bounds bounds = {}) : bounds_(bounds) {}

  /// Prepares the next run. Returns false when all have been walked.
  bool next();

  /// 0 .. options-1; 0 is the usual course.
  unsigned choose(unsigned options);

  /// The same where every other answer than 0 costs one of the bounded deviations.
  unsigned choose_preemption(unsigned options) { return spend(options, preemptions_left_); }
  unsigned choose_old_read(unsigned options) { return spend(options, old_reads_left_); }

 private:
  struct point {
    unsigned chosen;
    unsigned options;
  };

  unsigned spend(unsigned options, unsigned& left) {
    if (left == 0) return 0;
    const unsigned chosen = choose(options);
    if (chosen != 0) --left;
    return chosen;
  }

  search_bounds bounds_;
  unsigned preemptions_left_ = 0;
  unsigned old_reads_left_ = 0;
  bool started_ = false;
  std::size_t position_ = 0;
  std::vector<point> path_;
};

}  // namespace coppice::internal::sim
