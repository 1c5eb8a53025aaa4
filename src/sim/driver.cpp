// SPDX-License-Identifier: Apache-2.0
//
// driver, the implementation. See driver.hpp.
#include "sim/driver.hpp"

#include "sim/isolate.hpp"
#include "sim/shrink.hpp"
#include "sim/story.hpp"
#include "sim/strategy.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

namespace coppice::internal::sim {

namespace {

constexpr unsigned twice_every = 100;  // seeds
constexpr std::size_t story_lines = 200;
constexpr std::chrono::seconds shrinking_limit{60};
constexpr std::chrono::seconds search_limit{600};
constexpr std::uint64_t seeds_for_tso = 500;
constexpr std::uint64_t enough_failures = 40;  // to tell the share of seeds that find a fault

struct entry {
  std::function<void()> body;
  scenario_options options;
  std::optional<std::uint64_t> expected_choices;  // by the trial run
};

std::map<std::string, entry>& registered() {
  static std::map<std::string, entry> all;
  return all;
}

std::map<int, std::string>& fault_names() {
  static std::map<int, std::string> all;
  return all;
}

std::string fault_text(int number) {
  const auto at = fault_names().find(number);
  return "fault " + std::to_string(number) + (at == fault_names().end() ? "" : " (" + at->second + ")");
}

entry* find(const std::string& name) {
  const auto at = registered().find(name);
  return at == registered().end() ? nullptr : &at->second;
}

/// The value of --name=VALUE, or of the environment's variable. Read from the system: tests have no say in their main.
std::optional<std::string> setting(const std::string& flag, const char* variable) {
  std::ifstream arguments("/proc/self/cmdline", std::ios::binary);
  for (std::string one; std::getline(arguments, one, '\0');)
    if (one.starts_with(flag)) return one.substr(flag.size());
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0' ? std::optional<std::string>(value) : std::nullopt;
}

std::optional<std::uint64_t> wanted_seed() {
  const auto text = setting("--seed=", "COPPICE_SEED");
  if (!text) return {};
  std::uint64_t seed = 0;
  std::from_chars(text->data(), text->data() + text->size(), seed);
  return seed;
}

run_options options_for(const entry& e, token what) {
  run_options o;
  o.what = std::move(what);
  o.body = &e.body;
  o.step_limit = e.options.step_limit;
  o.housekeepers = &e.options.housekeepers;
  o.finish = e.options.finish;
  return o;
}

token token_of(const std::string& name, const entry& e, std::uint64_t seed, int fault, memory_model model) {
  token t;
  t.scenario = name;
  t.fault = fault;
  t.strategy = mixed(seed).kind;
  t.depth = mixed(seed).depth;
  t.steps = e.expected_choices.value_or(0);
  t.model = model;
  t.seed = seed;
  return t;
}

run_result run_checked(const entry& e, const run_options& o) {
  if (e.options.before != nullptr) e.options.before();
  run_result r = run(o);
  if (!r.failed && e.options.must_free_all && r.blocks_left != 0) {
    r.failed = true;
    r.failure = std::to_string(r.blocks_left) + " pieces of memory were not freed";
  }
  return r;
}

/// The fixed trial run: the usual course, nothing planted. It tells pct how long runs are.
run_result trial(const std::string& name, entry& e) {
  token t;
  t.scenario = name;
  run_result r = run_checked(e, options_for(e, t));
  e.expected_choices = r.choices;
  return r;
}

/// Runs once more and compares. Returns what differs, or nothing.
std::string difference(const entry& e, const run_options& o, const run_result& first) {
  const run_result second = run_checked(e, o);
  if (second.hash == first.hash && second.steps == first.steps) return {};
  run_options told = o;
  told.keep_story = true;
  const run_result a = run_checked(e, told);
  const run_result b = run_checked(e, told);
  std::string text = "the same seed took two courses: the scenario depends on something else";
  for (std::size_t i = 0; i < a.story.size() && i < b.story.size(); ++i) {
    const std::string one = tell(a.story[i]);
    const std::string two = tell(b.story[i]);
    if (a.story[i].what == b.story[i].what && a.story[i].number == b.story[i].number &&
        a.story[i].thread == b.story[i].thread && a.story[i].age == b.story[i].age)
      continue;
    return text + "; first different operation:\n    " + one + "\n    " + two;
  }
  return text + " (third and fourth run agreed)";
}

/// Does the failure also show where acquire and release come for free?
std::string judge_tso(const std::string& name, const entry& e, const token& failing, const std::string& kind) {
  const auto one_run = [&](std::uint64_t seed) {
    return run_checked(e, options_for(e, token_of(name, e, seed, failing.fault, memory_model::tso)));
  };
  for (std::uint64_t seed = 1; seed <= seeds_for_tso;) {
    const batch b = run_apart(seed, seeds_for_tso, one_run);
    seed = b.next;
    if (b.last.failed && kind_of(b.last.failure) == kind)
      return "fails with the memory order of x86-64 too (seed " + std::to_string(seed - 1) + ")";
  }
  return "not seen with the memory order of x86-64 (" + std::to_string(seeds_for_tso) + " seeds)";
}

/// The shrunk run: its token on the first line, then the story. In a child: many runs will fail.
std::string shrink_and_tell(const std::string& name, const entry& e, const run_options& o, const run_result& found) {
  const shrunk s = shrink(o, found, [&](const run_options& again) { return run_checked(e, again); });
  run_options told = o;
  told.what.replay = s.decisions;
  told.keep_story = true;
  const run_result r = run_checked(e, told);
  std::string text = print(told.what) + '\n';
  text += "  " + std::to_string(s.decisions.size()) + " decisions of " + std::to_string(found.decisions.size()) + ", " +
          std::to_string(s.replays) + " replays: " + r.failure + '\n';
  if (o.what.model == memory_model::c11) text += "  " + judge_tso(name, e, o.what, kind_of(found.failure)) + '\n';
  return text + tell(r.story, story_lines);
}

void describe(verdict& v, const std::string& name, const entry& e, const run_options& o, const run_result& r) {
  v.failing_seed = o.what.seed;
  v.failure = r.failure;
  v.token = print(o.what);
  v.report = "scenario " + name + ", seed " + std::to_string(o.what.seed) + ": " + r.failure +
             "\n  replay: --sim=" + v.token + '\n';
  if (!r.failed) return;  // two courses: nothing to shrink
  const auto text = isolate([&] { return shrink_and_tell(name, e, o, r); }, shrinking_limit);
  if (!text) {
    v.report += "  (shrinking it crashed or took too long)\n";
    return;
  }
  const std::string first = text->substr(0, text->find('\n'));
  if (const auto t = parse_token(first); t && t->replay) v.decisions = *t->replay;
  v.report += "  shrunk: --sim=" + *text;
}

verdict unknown(const std::string& name) {
  verdict v;
  v.failure = v.report = "no scenario is called '" + name + "'";
  return v;
}

}  // namespace

scenario::scenario(std::string name, std::function<void()> body, scenario_options options) {
  registered()[std::move(name)] = {std::move(body), std::move(options), {}};
}

planted_fault::planted_fault(int number, std::string name) { fault_names()[number] = std::move(name); }

void check(bool condition, const char* text) {
  if (!condition) fail("%s", text);
}

unsigned random(unsigned bound) { return static_cast<unsigned>(random_data() % bound); }

std::uint64_t usual_seeds() {
  const char* wanted = std::getenv("COPPICE_LONG");
  return wanted != nullptr && std::strcmp(wanted, "0") != 0 ? 100'000 : 1'000;
}

verdict replay(const std::string& text) {
  verdict v;
  const auto t = parse_token(text);
  if (!t) {
    v.failure = v.report = "not a token: " + text;
    return v;
  }
  const entry* e = find(t->scenario);
  if (e == nullptr) return unknown(t->scenario);
  run_options o = options_for(*e, *t);
  o.keep_story = true;
  const run_result r = run_checked(*e, o);
  v.runs = 1;
  v.token = text;
  v.decisions = r.decisions;
  v.failure = r.failure;
  if (r.failed) v.failing_seed = t->seed;
  v.report = "scenario " + t->scenario + ": " + (r.failed ? r.failure : "passed") +
             "\n  decisions: " + print(r.decisions) + '\n' + tell(r.story, SIZE_MAX);
  return v;
}

verdict seeds(const std::string& name, std::uint64_t count) { return seeds(name, count, memory_model::c11); }

verdict seeds(const std::string& name, std::uint64_t count, memory_model model) {
  entry* e = find(name);
  if (e == nullptr) return unknown(name);
  if (const auto text = setting("--sim=", "COPPICE_SIM")) {
    if (const auto t = parse_token(*text); t && t->scenario != name) return {};
    verdict v = replay(*text);
    std::fputs(v.report.c_str(), stderr);
    return v;
  }

  verdict v;
  const run_result first = trial(name, *e);
  if (first.failed) {
    token usual;
    usual.scenario = name;
    describe(v, name, *e, options_for(*e, usual), first);
    return v;
  }
  const auto only = wanted_seed();
  const std::uint64_t from = only.value_or(1);
  const std::uint64_t to = only.value_or(count);
  for (std::uint64_t seed = from; seed <= to; ++seed) {
    const run_options o = options_for(*e, token_of(name, *e, seed, 0, model));
    run_result r = run_checked(*e, o);
    ++v.runs;
    if (!r.failed && seed % twice_every == 0) r.failure = difference(*e, o, r);
    if (r.failure.empty()) continue;
    describe(v, name, *e, o, r);
    return v;
  }
  return v;
}

discovery find_fault(const std::string& name, int fault, std::uint64_t most_seeds, memory_model model) {
  discovery d;
  entry* e = find(name);
  if (e == nullptr || trial(name, *e).failed) {
    d.summary = "scenario '" + name + "' does not exist or fails without a fault";
    return d;
  }
  const auto one_run = [&](std::uint64_t seed) {
    return run_checked(*e, options_for(*e, token_of(name, *e, seed, fault, model)));
  };
  while (d.runs < most_seeds && d.failures < enough_failures) {
    const batch b = run_apart(d.runs + 1, most_seeds, one_run);
    d.runs = b.next - 1;
    if (!b.last.failed) break;
    if (d.failures++ != 0) continue;
    d.seed = d.runs;
    d.failure = b.last.failure;
    d.token = print(token_of(name, *e, d.seed, fault, model));
  }

  std::array<char, 96> share{};
  std::snprintf(share.data(), share.size(), "%llu, %.1f %% of %llu seeds", static_cast<unsigned long long>(d.seed),
                d.runs == 0 ? 0.0 : 100.0 * static_cast<double>(d.failures) / static_cast<double>(d.runs),
                static_cast<unsigned long long>(d.runs));
  d.summary = name + ", " + fault_text(fault) +
              (d.found() ? ": found by seed " + std::string(share.data()) + ": " + d.failure
                         : ": NOT FOUND in " + std::to_string(d.runs) + " seeds");
  return d;
}

discovery find_fault(const std::string& name, const std::string& fault, std::uint64_t most_seeds, memory_model model) {
  for (const auto& [number, known] : fault_names())
    if (known == fault) return find_fault(name, number, most_seeds, model);
  discovery d;
  d.summary = "no planted fault is called '" + fault + "'";
  return d;
}

exhaustion exhaust(const std::string& name, int fault, search_bounds bounds, std::uint64_t most_runs) {
  exhaustion x;
  entry* e = find(name);
  if (e == nullptr) {
    x.failure = unknown(name).failure;
    return x;
  }
  const auto answer = isolate(
      [&] {
        search walk(bounds);
        token t;
        t.scenario = name;
        t.fault = fault;
        run_options o = options_for(*e, t);
        o.explore = &walk;
        std::uint64_t runs = 0;
        while (runs < most_runs) {
          if (!walk.next()) return "1 " + std::to_string(runs) + '\n';
          const run_result r = run_checked(*e, o);
          ++runs;
          if (!r.failed) continue;
          t.replay = r.decisions;
          return "0 " + std::to_string(runs) + '\n' + print(t) + '\n' + r.failure;
        }
        return "0 " + std::to_string(runs) + '\n';
      },
      search_limit);
  if (!answer) {
    x.failure = "the search crashed or took too long";
    return x;
  }
  int complete = 0;
  unsigned long long runs = 0;
  std::sscanf(answer->c_str(), "%d %llu", &complete, &runs);
  x.complete = complete != 0;
  x.runs = runs;
  const std::size_t second = answer->find('\n') + 1;
  const std::size_t third = answer->find('\n', second);
  if (third != std::string::npos) {
    x.token = answer->substr(second, third - second);
    x.failure = answer->substr(third + 1);
  }
  return x;
}

}  // namespace coppice::internal::sim
