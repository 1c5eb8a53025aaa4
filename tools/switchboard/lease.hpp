// SPDX-License-Identifier: Apache-2.0
//
// lease: one channel that is taken: by whom, until when. What ch3 works with and the lease book remembers.
#pragma once

#include <coppice/base/time.hpp>
#include <coppice/process/pid.hpp>

#include <cstdint>
#include <limits>
#include <map>

namespace switchboard {

struct lease {
  std::uint64_t number = 0;                                       // an old lease's end does not end its successor
  std::int64_t until = std::numeric_limits<std::int64_t>::max();  // a deadline; the largest one: until it is given back
  coppice::pid holder{};                                          // a session, or nobody
};

/// By their channels.
using leases = std::map<int, lease>;

/// To ch3: a lease book begins, and knows nothing.
struct lease_book_begins {};
/// The same of a feed.
struct feed_begins {};

}  // namespace switchboard
