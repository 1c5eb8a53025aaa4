// SPDX-License-Identifier: Apache-2.0
//
// transitions: the table of a machine as text, and as a picture.
#include <coppice/otp/transitions.hpp>

namespace coppice {

std::string to_text(const transition& t) {
  return std::string(t.from) + " --" + std::string(t.event) + "--> " + std::string(t.to.empty() ? t.from : t.to);
}

std::string to_text(const std::vector<transition>& table) {
  std::string text;
  for (const transition& t : table) text += to_text(t) + '\n';
  return text;
}

std::string to_dot(std::string_view machine, const std::vector<transition>& table) {
  std::string text = "digraph \"" + std::string(machine) + "\" {\n";
  for (const transition& t : table) {
    if (t.to.empty()) continue;
    text += "  \"" + std::string(t.from) + "\" -> \"" + std::string(t.to) + "\" [label=\"" + std::string(t.event) + "\"];\n";
  }
  return text + "}\n";
}

}  // namespace coppice
