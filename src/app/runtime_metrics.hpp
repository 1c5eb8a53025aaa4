// SPDX-License-Identifier: Apache-2.0
//
// runtime_metrics: the runtime's own counters as Prometheus' families. Names and labels are the program's: classes, routes, methods.
#pragma once

#include "process/system.hpp"

#include <prometheus/metric_family.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::internal {

/// What was shown last, by class. A counter that is a sum over processes could seem to fall for a moment, when one of them ends while
/// they are looked at; it must not.
struct shown_totals {
  struct of_class {
    std::uint64_t started = 0;
    std::uint64_t handled = 0;
  };
  std::map<std::string_view, of_class> classes;
};

/// Thread: one at a time for the same `last`. May give other processes a turn.
std::vector<prometheus::MetricFamily> runtime_families(const system& of, shown_totals& last);

}  // namespace coppice::internal
