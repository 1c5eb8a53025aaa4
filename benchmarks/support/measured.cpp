// SPDX-License-Identifier: Apache-2.0
#include "support/measured.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace bench::internal {
namespace {

double median_of(std::vector<double>& values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 != 0 ? values[half] : (values[half - 1] + values[half]) / 2;
}

// One bound of a target, said in words, and whether it holds, if there is a value to check.
struct bound {
  const char* sign;
  std::optional<double> limit;
  std::string of;
  std::optional<double> value;

  [[nodiscard]] bool holds() const { return sign[0] == '<' ? *value <= *limit : *value >= *limit; }
};

std::string json_string(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
      out += escape;
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string json_number(double value) {
  if (!std::isfinite(value)) return "null";
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

}  // namespace

figure summarise(std::vector<double> values) {
  if (values.empty()) return {};
  figure out;
  out.median = median_of(values);
  out.low = values.front();
  out.high = values.back();
  return out;
}

double median_ratio(const std::vector<double>& values, const std::vector<double>& references) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < std::min(values.size(), references.size()); ++i)
    ratios.push_back(values[i] / references[i]);
  return ratios.empty() ? 0 : median_of(ratios);
}

bool more_is_better(const std::string& unit) { return unit.ends_with("/s"); }

void judge(comparison& line, const row_options& options) {
  const std::optional<double> value = line.measured ? std::optional(line.value.median) : std::nullopt;
  const std::string times = " x " + options.reference;
  const std::string unit = " " + options.unit;
  const bound bounds[] = {{"<=", options.max_ratio, times, line.ratio},
                          {">=", options.min_ratio, times, line.ratio},
                          {"<=", options.max, unit, value},
                          {">=", options.min, unit, value}};
  bool held = true;
  bool complete = true;
  for (const bound& b : bounds) {
    if (!b.limit) continue;
    if (!line.target.empty()) line.target += ", ";
    line.target += b.sign + (" " + readable(*b.limit)) + b.of;
    if (b.value) {
      held = held && b.holds();
    } else {
      complete = false;
    }
  }
  if (line.target.empty() && line.measured && line.reference.empty() && !options.peers.empty()) {
    line.target = "ahead of the peers (--peers)";
    complete = false;
  }
  // One bound that is broken decides; one that could not be checked leaves the verdict open.
  if (!line.target.empty() && (complete || !held)) line.ok = held;
}

void judge_against_peer(comparison& line, const row_options& options) {
  line.target = "ahead";
  if (options.max_ratio_to_peers) {
    line.target = "<= " + readable(*options.max_ratio_to_peers) + " x " + line.reference;
    if (line.ratio) line.ok = *line.ratio <= *options.max_ratio_to_peers;
    return;
  }
  if (line.ratio) line.ok = more_is_better(line.unit) ? *line.ratio > 1 : *line.ratio < 1;
}

std::string to_json(const comparison& line) {
  std::string out = "{\"row\":" + json_string(line.row);
  out += ",\"value\":" + (line.measured ? json_number(line.value.median) : "null");
  out += ",\"unit\":" + json_string(line.unit);
  out += ",\"reference\":" + (line.reference.empty() ? "null" : json_string(line.reference));
  out += ",\"reference_value\":" + (line.reference_value ? json_number(line.reference_value->median) : "null");
  out += ",\"ratio\":" + (line.ratio ? json_number(*line.ratio) : "null");
  out += ",\"target\":" + (line.target.empty() ? "null" : json_string(line.target));
  out += std::string(",\"ok\":") + (!line.ok ? "null" : *line.ok ? "true" : "false");
  if (line.measured) out += ",\"low\":" + json_number(line.value.low) + ",\"high\":" + json_number(line.value.high);
  if (!line.note.empty()) out += ",\"note\":" + json_string(line.note);
  return out + "}";
}

std::string readable(double value) {
  const double size = std::fabs(value);
  int decimals = size == 0 || size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  for (double s = size; s != 0 && s < 0.1 && decimals < 6; s *= 10) ++decimals;
  char text[48];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

}  // namespace bench::internal
