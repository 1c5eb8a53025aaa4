// SPDX-License-Identifier: Apache-2.0
#include "support/options.hpp"

#include <cstdlib>

namespace bench::internal {

std::optional<command_line> parse_command_line(const std::vector<std::string>& arguments, std::string& error) {
  command_line out;
  for (const std::string& argument : arguments) {
    const std::size_t equals = argument.find('=');
    const std::string name = argument.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : argument.substr(equals + 1);
    const bool has_value = !value.empty();
    if (argument == "--quick") {
      out.quick = true;
    } else if (argument == "--json") {
      out.json = true;
    } else if (argument == "--peers") {
      out.peers = true;
    } else if (argument == "--list") {
      out.list = true;
    } else if (argument == "--help" || argument == "-h") {
      out.help = true;
    } else if (name == "--filter" && has_value) {
      out.filter = value;
    } else if (name == "--only" && has_value) {
      out.only = value;
    } else if (name == "--repetitions" && std::atoi(value.c_str()) > 0) {
      out.repetitions = std::atoi(value.c_str());
    } else {
      error = "'" + argument + "' is not an option here";
      return std::nullopt;
    }
  }
  return out;
}

}  // namespace bench::internal
