// SPDX-License-Identifier: Apache-2.0
//
// silence: while it lives nobody listens to reports, and they are not put into words.
#pragma once

#include <coppice/base/log_sink.hpp>

namespace coppice::testing {

struct silence {
  silence() = default;
  silence(const silence&) = delete;
  ~silence() { set_log_sink(before); }

  static void drop(void*, const report&) {}
  static constexpr log_sink sink{&drop, nullptr, log_level::error};
  const log_sink* const before = set_log_sink(&sink);
};

}  // namespace coppice::testing
