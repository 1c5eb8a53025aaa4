// SPDX-License-Identifier: Apache-2.0
//
// In a build without coppice::metrics.
#include "metrics_route.hpp"

coppice::route switchboard::metrics_route() {
  return coppice::get("/metrics", [] { return coppice::plain_answer(501, "built without metrics"); });
}
