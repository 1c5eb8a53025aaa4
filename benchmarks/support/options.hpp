// SPDX-License-Identifier: Apache-2.0
//
// options: the command line of a benchmark program.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace bench::internal {

struct command_line {
  bool quick = false;
  bool json = false;
  bool peers = false;
  bool list = false;
  bool help = false;
  int repetitions = 0;  ///< 0: as many as usual
  std::string filter;   ///< part of a group's title or of a row's name
  std::string only;     ///< set in the OS process of an isolated row: its name
};

/// Returns: the options, or nothing with the reason in `error`.
[[nodiscard]] std::optional<command_line> parse_command_line(const std::vector<std::string>& arguments,
                                                             std::string& error);

inline constexpr const char* usage_text =
    "  --quick            fewer and shorter repetitions: rough figures in under a minute\n"
    "  --peers            run Erlang, Elixir, Go, CAF, Clojure on the same work, alternately\n"
    "  --filter=TEXT      only groups and rows whose name contains TEXT\n"
    "  --repetitions=N    N repetitions of each row\n"
    "  --json             one JSON object a line; the machine's description goes to standard error\n"
    "  --list             the names of the rows\n";

}  // namespace bench::internal
