// SPDX-License-Identifier: Apache-2.0
#include "metrics_route.hpp"

#include <coppice/app/metrics.hpp>

coppice::route switchboard::metrics_route() {
  static const auto& all = *new coppice::metrics;      // the program's: it goes on when the routes are made anew
  return coppice::get("/metrics", all);
}
