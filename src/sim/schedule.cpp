// SPDX-License-Identifier: Apache-2.0
//
// schedule, the implementation: printing and parsing. See schedule.hpp.
#include "sim/schedule.hpp"

#include <array>
#include <charconv>

namespace coppice::internal::sim {

namespace {

struct named_strategy {
  strategy_kind kind;
  std::string_view name;
};
constexpr std::array<named_strategy, 5> strategies{{{strategy_kind::usual, "usual"},
                                                    {strategy_kind::uniform, "uniform"},
                                                    {strategy_kind::sticky, "sticky"},
                                                    {strategy_kind::pct, "pct"},
                                                    {strategy_kind::pos, "pos"}}};

bool has_argument(deviation d) noexcept { return d == deviation::go_on_with || d == deviation::read_older; }

/// Takes a number off the front of `text`.
template <class Number>
bool take(std::string_view& text, Number& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

/// Takes what stands before the next `mark` (or all), and the mark.
std::string_view take_field(std::string_view& text, char mark) {
  const std::size_t end = text.find(mark);
  const std::string_view field = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return field;
}

bool parse_whole(std::string_view field, auto& out) { return take(field, out) && field.empty(); }

std::optional<decision> parse_decision(std::string_view text) {
  decision d;
  if (!take(text, d.thread) || text.empty() || text.front() != '@') return {};
  text.remove_prefix(1);
  if (!take(text, d.operation) || text.empty()) return {};
  d.what = static_cast<deviation>(text.front());
  text.remove_prefix(1);
  if (std::string_view(">-*swb").find(static_cast<char>(d.what)) == std::string_view::npos) return {};
  if (has_argument(d.what) && !take(text, d.argument)) return {};
  if (!text.empty() || d.thread >= max_threads) return {};
  return d;
}

}  // namespace

std::string print(const schedule& decisions) {
  std::string out;
  for (const decision& d : decisions) {
    if (!out.empty()) out += ',';
    out += std::to_string(d.thread) + '@' + std::to_string(d.operation) + static_cast<char>(d.what);
    if (has_argument(d.what)) out += std::to_string(d.argument);
  }
  return out;
}

std::optional<schedule> parse_schedule(std::string_view text) {
  schedule out;
  while (!text.empty()) {
    const auto d = parse_decision(take_field(text, ','));
    if (!d) return {};
    out.push_back(*d);
  }
  return out;
}

std::string print(const token& t) {
  std::string out = t.scenario;
  if (t.fault != 0) out += '!' + std::to_string(t.fault);
  for (const auto& [kind, name] : strategies)
    if (kind == t.strategy) out += ':' + std::string(name);
  out += ':' + std::to_string(t.depth) + ':' + std::to_string(t.steps);
  out += t.model == memory_model::c11 ? ":c11:" : ":tso:";
  out += std::to_string(t.seed);
  if (t.replay) out += ':' + print(*t.replay);
  return out;
}

std::optional<token> parse_token(std::string_view text) {
  token t;
  std::string_view scenario = take_field(text, ':');
  t.scenario = take_field(scenario, '!');
  if (!scenario.empty() && !parse_whole(scenario, t.fault)) return {};

  const std::string_view strategy = take_field(text, ':');
  bool known = false;
  for (const auto& [kind, name] : strategies)
    if (name == strategy) {
      t.strategy = kind;
      known = true;
    }
  if (!known || !parse_whole(take_field(text, ':'), t.depth) || !parse_whole(take_field(text, ':'), t.steps)) return {};

  const std::string_view model = take_field(text, ':');
  if (model != "c11" && model != "tso") return {};
  t.model = model == "c11" ? memory_model::c11 : memory_model::tso;

  const bool with_decisions = text.find(':') != std::string_view::npos;
  if (!parse_whole(take_field(text, ':'), t.seed)) return {};
  if (with_decisions) {
    t.replay = parse_schedule(text);
    if (!t.replay) return {};
  }
  return t;
}

}  // namespace coppice::internal::sim
