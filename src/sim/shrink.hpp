// SPDX-License-Identifier: Apache-2.0
//
// shrink: the shortest list of decisions that still fails in the same way.
//
// Delta debugging over the list of one failing run; then up to twenty more failures of the same kind are looked for with
// the strategies that deviate least, and the shortest list of all is kept. Two failures are of one kind if their texts are
// the same without digits.
#pragma once

#include "sim/engine.hpp"

#include <functional>
#include <string>

namespace coppice::internal::sim {

/// The text of a failure without digits.
std::string kind_of(const std::string& failure);

struct shrunk {
  schedule decisions;
  std::string failure;
  unsigned replays = 0;
};

/// Does the run that the options ask for.
using runner = std::function<run_result(const run_options&)>;

/// `options` names the scenario, `found` is a failing run of it. Every run that may fail is done in a child.
shrunk shrink(const run_options& options, const run_result& found, const runner& perform);

}  // namespace coppice::internal::sim
