// SPDX-License-Identifier: Apache-2.0
//
// peers: the same work done by Erlang, Elixir, Go, CAF, Clojure and gcc-tm. Their programs stand in benchmarks/peers; the script `run` there
// starts one and it prints lines `row<TAB>value<TAB>unit`.
#pragma once

#include <string>
#include <vector>

#include "support/bench.hpp"

namespace bench::internal {

/// One line `row<TAB>value<TAB>unit`.
struct peer_value {
  std::string row;
  double value = 0;
  std::string unit;
};

/// Takes the lines that have the form out of `text`; others (warnings) are skipped.
[[nodiscard]] std::vector<peer_value> parse_values(const std::string& text);

/// The peers that are installed, built and can do a row.
class peer_table {
 public:
  /// Asks `script` what there is.  Throws: std::runtime_error with what to do if there is nothing.
  explicit peer_table(std::string script);

  [[nodiscard]] std::vector<std::string> doing(const std::string& row) const;
  /// Measures once, in a fresh OS process.  Throws: std::runtime_error with peer, row and what happened instead.
  [[nodiscard]] double measure(const std::string& peer, const std::string& row, const std::string& unit,
                               bool quick) const;
  /// One line for each peer: its name and version.
  [[nodiscard]] const std::vector<std::string>& versions() const noexcept { return versions_; }

 private:
  struct entry {
    std::string peer;
    std::string row;
  };
  std::string script_;
  std::vector<entry> entries_;
  std::vector<std::string> versions_;
};

/// The value in a run's output that belongs to `row`.  Throws: std::runtime_error if there is none in that unit.
[[nodiscard]] double value_of(const command_result& result, const std::string& who, const std::string& row,
                              const std::string& unit);

}  // namespace bench::internal
