// SPDX-License-Identifier: Apache-2.0
#include "unit/app/prometheus_text.hpp"

#include <charconv>
#include <cmath>
#include <limits>
#include <set>
#include <stdexcept>

namespace coppice::testing {

namespace {

class reader {
 public:
  reader(std::string_view line, std::string_view whole) : left_(line), whole_(whole) {}

  [[noreturn]] void fail(const std::string& why) const { throw std::runtime_error(why + ": " + std::string(whole_)); }
  bool at_end() const { return left_.empty(); }
  bool take(std::string_view what) {
    if (!left_.starts_with(what)) return false;
    left_.remove_prefix(what.size());
    return true;
  }
  void need(std::string_view what) {
    if (!take(what)) fail("expected \"" + std::string(what) + '"');
  }
  std::string name(bool colons) {
    std::size_t n = 0;
    while (n < left_.size() && (std::isalpha(static_cast<unsigned char>(left_[n])) != 0 || left_[n] == '_' || (colons && left_[n] == ':') ||
                                (n > 0 && std::isdigit(static_cast<unsigned char>(left_[n])) != 0)))
      ++n;
    if (n == 0) fail("expected a name");
    return std::string(take_some(n));
  }
  std::string quoted() {
    need("\"");
    std::string out;
    for (;;) {
      if (left_.empty()) fail("a label value does not end");
      const char c = take_some(1).front();
      if (c == '"') return out;
      if (c != '\\') {
        out += c;
        continue;
      }
      if (take("n")) out += '\n';
      else if (take("\\")) out += '\\';
      else if (take("\"")) out += '"';
      else fail("an escape that is none");
    }
  }
  double number() {
    const std::string_view text = take_some(left_.size());
    if (text == "+Inf") return std::numeric_limits<double>::infinity();
    double v = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), v);
    if (problem != std::errc{} || end != text.data() + text.size()) fail("not a number");
    return v;
  }
  std::string_view rest() { return take_some(left_.size()); }

 private:
  std::string_view take_some(std::size_t n) {
    const std::string_view out = left_.substr(0, n);
    left_.remove_prefix(n);
    return out;
  }
  std::string_view left_;
  std::string_view whole_;
};

prometheus_text::sample read_sample(std::string_view line) {
  reader r(line, line);
  prometheus_text::sample s{.name = r.name(true), .of = {}};
  if (r.take("{")) {
    do {
      const std::string label = r.name(false);
      r.need("=");
      if (!s.of.emplace(label, r.quoted()).second) r.fail("a label twice");
    } while (r.take(","));
    r.need("}");
  }
  r.need(" ");
  s.value = r.number();
  return s;
}

/// Ranges ascend, their counts do not fall, the last one is of all.
void check_histogram(const std::string& name, const prometheus_text::family& f) {
  std::map<prometheus_text::labels, std::map<double, double>> buckets;
  std::map<prometheus_text::labels, double> counts;
  std::map<prometheus_text::labels, double> sums;
  for (const auto& s : f.samples) {
    prometheus_text::labels of = s.of;
    if (s.name == name + "_count") counts[of] = s.value;
    else if (s.name == name + "_sum") sums[of] = s.value;
    else {
      const std::string bound = of.at("le");
      of.erase("le");
      buckets[of][bound == "+Inf" ? std::numeric_limits<double>::infinity() : std::stod(bound)] = s.value;
    }
  }
  if (buckets.size() != counts.size() || counts.size() != sums.size()) throw std::runtime_error(name + ": a histogram without count, sum or buckets");
  for (const auto& [of, by_bound] : buckets) {
    double before = 0;
    for (const auto& [bound, count] : by_bound) {
      if (count < before) throw std::runtime_error(name + ": the count of a range falls");
      before = count;
    }
    if (!std::isinf(by_bound.rbegin()->first) || before != counts.at(of)) throw std::runtime_error(name + ": +Inf is not the count");
  }
}

}  // namespace

prometheus_text::prometheus_text(std::string_view text) {
  if (text.empty() || text.back() != '\n') throw std::runtime_error("the text does not end with a line");
  std::string current;
  std::set<std::string> helped;
  std::set<std::pair<std::string, labels>> seen;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(line.size() + 1);
    reader r(line, line);
    if (r.take("# HELP ")) {
      if (!helped.insert(r.name(true)).second) r.fail("HELP twice");
      continue;
    }
    if (r.take("# TYPE ")) {
      current = r.name(true);
      r.need(" ");
      const std::string type(r.rest());
      if (type != "counter" && type != "gauge" && type != "histogram") r.fail("an unknown type");
      if (!families.emplace(current, family{type, {}}).second) r.fail("a family twice");
      continue;
    }
    sample s = read_sample(line);
    if (current.empty()) r.fail("a sample before its TYPE");
    family& f = families.at(current);
    const bool fits = f.type != "histogram" ? s.name == current
                      : s.name == current + "_count" || s.name == current + "_sum" || (s.name == current + "_bucket" && s.of.contains("le"));
    if (!fits) r.fail("a sample of another family than " + current);
    if (!seen.emplace(s.name, s.of).second) r.fail("a series twice");
    if (f.type == "counter" && !(s.value >= 0)) r.fail("a counter below 0");
    f.samples.push_back(std::move(s));
  }
  for (const auto& [name, f] : families) {
    if (!helped.contains(name)) throw std::runtime_error(name + ": no HELP");
    if (f.samples.empty()) throw std::runtime_error(name + ": a family without samples");
    if (f.type == "histogram") check_histogram(name, f);
  }
}

double prometheus_text::value(const std::string& name, const labels& of) const {
  for (const auto& [family_name, f] : families)
    for (const sample& s : f.samples)
      if (s.name == name && s.of == of) return s.value;
  return 0;
}

}  // namespace coppice::testing
