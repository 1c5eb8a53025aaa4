// SPDX-License-Identifier: Apache-2.0
#include "support/peers.hpp"

#include <cstdlib>
#include <sstream>
#include <stdexcept>

namespace bench::internal {
namespace {

// No row takes more than a few seconds; whoever needs this long hangs.
constexpr double limit_seconds = 120;

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> out;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) out.push_back(part);
  return out;
}

}  // namespace

std::vector<peer_value> parse_values(const std::string& text) {
  std::vector<peer_value> out;
  for (const std::string& line : split(text, '\n')) {
    const std::vector<std::string> fields = split(line, '\t');
    if (fields.size() != 3) continue;
    char* end = nullptr;
    const double value = std::strtod(fields[1].c_str(), &end);
    if (end == fields[1].c_str() || *end != '\0') continue;
    out.push_back({fields[0], value, fields[2]});
  }
  return out;
}

double value_of(const command_result& result, const std::string& who, const std::string& row, const std::string& unit) {
  if (result.timed_out)
    throw std::runtime_error(who + " did not end within " + std::to_string(int(limit_seconds)) + " s");
  if (result.status != 0) throw std::runtime_error(who + " ended with status " + std::to_string(result.status));
  for (const peer_value& found : parse_values(result.output)) {
    if (found.row != row) continue;
    if (found.unit != unit) throw std::runtime_error(who + " answers in " + found.unit + " instead of " + unit);
    return found.value;
  }
  throw std::runtime_error(who + " printed no value for " + row);
}

peer_table::peer_table(std::string script) : script_(std::move(script)) {
  const command_result list = run_command({script_, "--list"}, limit_seconds);
  for (const std::string& line : split(list.output, '\n')) {
    const std::vector<std::string> fields = split(line, '\t');
    if (fields.size() == 2) entries_.push_back({fields[0], fields[1]});
  }
  if (list.status != 0 || entries_.empty()) {
    throw std::runtime_error("no peers found: " + script_ + " --list ended with status " + std::to_string(list.status) +
                             "; benchmarks/peers/setup installs and builds them");
  }
  versions_ = split(run_command({script_, "--version"}, limit_seconds).output, '\n');
}

std::vector<std::string> peer_table::doing(const std::string& row) const {
  std::vector<std::string> out;
  for (const entry& e : entries_) {
    if (e.row == row) out.push_back(e.peer);
  }
  return out;
}

double peer_table::measure(const std::string& peer, const std::string& row, const std::string& unit, bool quick) const {
  std::vector<std::string> arguments{script_, peer, row};
  if (quick) arguments.emplace_back("--quick");
  return value_of(run_command(arguments, limit_seconds), peer, row, unit);
}

}  // namespace bench::internal
