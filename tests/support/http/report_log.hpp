// SPDX-License-Identifier: Apache-2.0
//
// report_log: while one lives, what the runtime reports is kept instead of printed. Several share what they keep, which begins anew
// with the first of them.
#pragma once

#include <string_view>

namespace coppice::testing {

class report_log {
 public:
  report_log();
  ~report_log();
  report_log(const report_log&) = delete;

  /// How many reports of this kind there were with `text` in their headline, or in a field, as `name: value`.
  static int count(std::string_view kind, std::string_view text = {});
};

}  // namespace coppice::testing
