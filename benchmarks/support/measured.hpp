// SPDX-License-Identifier: Apache-2.0
//
// measured: repetitions boiled down to figures, and the judgement whether a row reached its target. Pure functions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "support/bench.hpp"

namespace bench::internal {

/// Median and spread of some repetitions.
struct figure {
  double median = 0;
  double low = 0;
  double high = 0;
};

/// Of no values at all: zeros.
[[nodiscard]] figure summarise(std::vector<double> values);
/// The median of value / reference, pair by pair: both were measured in the same repetition.
[[nodiscard]] double median_ratio(const std::vector<double>& values, const std::vector<double>& references);
/// Rates are better when they are higher; everything else is better when it is lower.
[[nodiscard]] bool more_is_better(const std::string& unit);

/// One printed line: a row, or a row beside one reference.
struct comparison {
  std::string row;
  std::string unit;
  figure value;
  std::string reference;  ///< empty: none
  std::optional<figure> reference_value;
  std::optional<double> ratio;  ///< value / reference value
  std::string target;           ///< empty: none
  std::optional<bool> ok;       ///< empty: no target, or it could not be judged
  bool measured = true;         ///< false: `note` says why not
  std::string note;             ///< what the reader must know before quoting it
};

/// Writes target and verdict of `options` into `line`, for bounds on the value and on the ratio to the reference row. A row
/// whose only target is to be ahead of its peers is left open: those lines are judged one by one.
void judge(comparison& line, const row_options& options);
/// The same for a line beside a peer: ahead, or ahead enough, or not.
void judge_against_peer(comparison& line, const row_options& options);

/// The line as one JSON object without a newline.
[[nodiscard]] std::string to_json(const comparison& line);
/// About three significant digits and never an exponent: "0.350", "11.6", "1090".
[[nodiscard]] std::string readable(double value);

}  // namespace bench::internal
