// SPDX-License-Identifier: Apache-2.0
//
// prometheus_text: reads Prometheus' text format 0.0.4, and takes nothing that is not exactly right.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace coppice::testing {

struct prometheus_text {
  using labels = std::map<std::string, std::string>;
  struct sample {
    std::string name;
    labels of;
    double value = 0;
  };
  struct family {
    std::string type;
    std::vector<sample> samples;
  };
  std::map<std::string, family> families;

  /// Throws: std::runtime_error with the line that is wrong, and why.
  explicit prometheus_text(std::string_view text);
  /// Of the sample with exactly these labels; 0 if there is none.
  double value(const std::string& name, const labels& of = {}) const;
  std::size_t series_of(const std::string& of) const { return families.contains(of) ? families.at(of).samples.size() : 0; }
};

}  // namespace coppice::testing
