// SPDX-License-Identifier: Apache-2.0
//
// plain: the same work in the plain C++ that one would write without this library, as references for the rows. Each function
// measures once; register it as a row and name that row as another one's reference.
#pragma once

#include "support/bench.hpp"

namespace bench::plain {

/// M messages/s through std::deque under a std::mutex with a condition variable; the consumer takes all there is in one
/// swap. The producers are threads, the caller is the consumer.
double cast(state& s, int producers);

/// ns per lookup of one of `names` strings in std::unordered_map under std::shared_mutex.
double whereis(state& s, int names);
/// ns per lookup, wall time divided by both threads' lookups.
double whereis_two_threads(state& s, int names);
/// ns per pair of insert and erase in that map.
double register_and_unregister(state& s);

/// ns per pair of insert and erase of a random deadline in a std::multimap that holds `alive` others.
double timer_pair(state& s, int alive);

/// ns per round trip between two threads that hand a number over under a mutex with condition variables.
double call_between_threads(state& s);

/// Registers all of these in a group of their own.
void add_rows(suite& suite);

}  // namespace bench::plain
