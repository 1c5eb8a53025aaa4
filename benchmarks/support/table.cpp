// SPDX-License-Identifier: Apache-2.0
#include "support/table.hpp"

#include <cstdio>

namespace bench::internal {
namespace {

// `text` in at least `width` columns; code points are counted, not bytes.
std::string padded(std::string text, std::size_t width) {
  std::size_t columns = 0;
  for (const char c : text) columns += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  if (columns < width) text.append(width - columns, ' ');
  return text;
}

std::string spread(const figure& f) { return "[" + readable(f.low) + ".." + readable(f.high) + "]"; }

}  // namespace

void table::head(const std::string& heading, const std::string& text) const {
  std::fprintf(json_ ? stderr : stdout, "%-10s %s\n", heading.c_str(), text.c_str());
}

void table::group(const std::string& title) {
  if (json_) return;
  if (!has_columns_) {
    std::printf("\n%-46s %9s %-6s %-20s %-26s %9s %8s  %s\n", "", "median", "", "[lowest..highest]", "beside", "median",
                "ratio", "target");
    has_columns_ = true;
  }
  std::printf("\n%s\n", title.c_str());
}

void table::line(const comparison& line) const {
  if (json_) {
    std::printf("%s\n", to_json(line).c_str());
  } else if (!line.measured) {
    std::printf("  %s  NOT MEASURED: %s\n", padded(line.row, 44).c_str(), line.note.c_str());
  } else {
    const std::string reference = line.reference_value ? readable(line.reference_value->median) : "";
    const std::string ratio = line.ratio ? readable(*line.ratio) : "";
    const char* verdict = !line.ok ? "" : *line.ok ? "ok" : "MISSED";
    std::string text = "  " + padded(line.row, 44);
    char figures[64];
    std::snprintf(figures, sizeof figures, " %9s ", readable(line.value.median).c_str());
    text += figures + padded(line.unit, 7) + padded(spread(line.value), 21) + padded(line.reference, 26);
    std::snprintf(figures, sizeof figures, " %9s %8s  ", reference.c_str(), ratio.c_str());
    text += figures + line.target;
    if (line.ok) text += std::string(line.target.empty() ? "" : ": ") + verdict;
    if (!line.note.empty()) text += "  (" + line.note + ")";
    text.erase(text.find_last_not_of(' ') + 1);
    std::printf("%s\n", text.c_str());
  }
  std::fflush(stdout);
}

void table::warn(const std::string& text) const {
  std::fprintf(json_ ? stderr : stdout, "warning: %s\n", text.c_str());
}

}  // namespace bench::internal
