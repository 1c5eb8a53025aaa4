// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <coppice/app/router.hpp>

namespace switchboard {

/// GET /metrics, in Prometheus' text format; 501 in a build without coppice::metrics.
coppice::route metrics_route();

}  // namespace switchboard
