// SPDX-License-Identifier: Apache-2.0
//
// table: what the run prints, line by line as it is measured: for people, or one JSON object a line.
#pragma once

#include <string>

#include "support/measured.hpp"

namespace bench::internal {

class table {
 public:
  explicit table(bool json) noexcept : json_(json) {}

  /// A line of the head, such as "processor" and its name. To standard error in a JSON run.
  void head(const std::string& heading, const std::string& text) const;
  /// The heading of a group and, the first time, of the columns.
  void group(const std::string& title);
  void line(const comparison& line) const;
  /// What must be known before a figure is quoted.
  void warn(const std::string& text) const;

 private:
  bool json_;
  bool has_columns_ = false;
};

}  // namespace bench::internal
