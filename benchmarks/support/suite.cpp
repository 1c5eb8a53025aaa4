// SPDX-License-Identifier: Apache-2.0
//
// suite: the loop over rows and repetitions.
#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <latch>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "support/bench.hpp"
#include "support/machine.hpp"
#include "support/measured.hpp"
#include "support/options.hpp"
#include "support/peers.hpp"
#include "support/table.hpp"

namespace bench {
namespace {

using namespace internal;

// A peer's run takes about a second and some of it is start-up, so with peers a row has fewer repetitions.
constexpr int repetitions_full = 10;
constexpr int repetitions_quick = 3;
constexpr int repetitions_peers = 5;
constexpr int repetitions_peers_quick = 2;
constexpr std::int64_t slice_full_ns = 50'000'000;
constexpr std::int64_t slice_quick_ns = 8'000'000;
constexpr std::uint64_t gauge_round_trips = 20'000;

struct registered_row {
  std::string group;
  std::string name;
  row_options options;
};

// Something that is measured beside others in the same repetitions.
struct contender {
  std::string name;
  std::function<double()> measure;
  std::vector<double> values = {};
  std::string failure = {};
};

// One thread that sleeps until the end of the run (see invariant 3 in bench.hpp).
class second_thread {
 public:
  second_thread()
      : thread_([this] {
          std::unique_lock lock(mutex_);
          ended_.wait(lock, [this] { return end_; });
        }) {}
  ~second_thread() {
    {
      const std::lock_guard lock(mutex_);
      end_ = true;
    }
    ended_.notify_one();
    thread_.join();
  }

 private:
  std::mutex mutex_;
  std::condition_variable ended_;
  bool end_ = false;
  std::thread thread_;
};

std::string peers_script() {
  const char* script = std::getenv("COPPICE_PEERS");
  return script != nullptr ? script : COPPICE_BENCH_PEERS;
}

// Every contender once in each repetition, in alternating order. Whoever fails is left out from then on.
void measure(std::vector<contender>& contenders, int repetitions, const std::function<void()>& before_each) {
  for (int i = 0; i < repetitions; ++i) {
    before_each();
    for (std::size_t k = 0; k < contenders.size(); ++k) {
      contender& c = contenders[i % 2 == 0 ? k : contenders.size() - 1 - k];
      if (!c.failure.empty()) continue;
      try {
        c.values.push_back(c.measure());
      } catch (const std::exception& error) {
        c.failure = error.what();
      }
    }
  }
}

}  // namespace

struct suite::implementation {
  std::string name;
  std::string program;
  std::optional<command_line> options;
  std::string error;
  std::string current_group;
  std::vector<registered_row> rows;
  std::optional<peer_table> peers;

  const registered_row* find(const std::string& row) const;
  bool wanted(const registered_row& row) const;
  int repetitions(const registered_row& row) const;
  double once(const registered_row& row) const;
  std::vector<contender> contenders(const registered_row& row) const;
  bool report(const registered_row& row, table& out) const;
  void print_head(const table& out) const;
  int run_isolated() const;
  int run_all();
};

const registered_row* suite::implementation::find(const std::string& row) const {
  const auto found = std::find_if(rows.begin(), rows.end(), [&](const registered_row& r) { return r.name == row; });
  return found == rows.end() ? nullptr : &*found;
}

bool suite::implementation::wanted(const registered_row& row) const {
  const std::string& part = options->filter;
  return part.empty() || row.group.find(part) != std::string::npos || row.name.find(part) != std::string::npos;
}

int suite::implementation::repetitions(const registered_row& row) const {
  if (options->repetitions > 0) return options->repetitions;
  int out = options->quick ? repetitions_quick : repetitions_full;
  if (row.options.repetitions > 0) out = std::min(out, row.options.repetitions);
  if (peers && !row.options.peers.empty())
    out = std::min(out, options->quick ? repetitions_peers_quick : repetitions_peers);
  return out;
}

double suite::implementation::once(const registered_row& row) const {
  if (!row.options.isolated) {
    state s{options->quick, options->quick ? slice_quick_ns : slice_full_ns};
    return row.options.run(s);
  }
  std::vector<std::string> arguments{program, "--only=" + row.name};
  if (options->quick) arguments.emplace_back("--quick");
  return value_of(run_command(arguments, 120), "its own OS process", row.name, row.options.unit);
}

// The row itself first, then its reference, then the peers.
std::vector<contender> suite::implementation::contenders(const registered_row& row) const {
  std::vector<contender> out;
  out.push_back({row.name, [this, &row] { return once(row); }});
  if (!row.options.reference.empty()) {
    const registered_row* reference = find(row.options.reference);
    if (reference == nullptr)
      throw std::logic_error("row '" + row.name + "' has an unknown reference: " + row.options.reference);
    out.push_back({reference->name, [this, reference] { return once(*reference); }});
  }
  if (peers && !row.options.peers.empty()) {
    for (const std::string& peer : peers->doing(row.options.peers)) {
      out.push_back({peer, [this, peer, &row] {
                       return peers->measure(peer, row.options.peers, row.options.unit, options->quick);
                     }});
    }
  }
  return out;
}

// Measures a row and prints its lines: one for the row with its own reference, one for each peer.
// Returns: false if something could not be measured.
bool suite::implementation::report(const registered_row& row, table& out) const {
  std::vector<contender> all = contenders(row);
  double gauge = 0;
  measure(all, repetitions(row), [&] {
    if (row.options.two_cores) gauge = std::max(gauge, ping_pong_gauge(gauge_round_trips));
  });

  comparison own{.row = row.name,
                 .unit = row.options.unit,
                 .value = {},
                 .reference = {},
                 .reference_value = {},
                 .ratio = {},
                 .target = {},
                 .ok = {},
                 .measured = all[0].failure.empty(),
                 .note = all[0].failure};
  if (own.measured) own.value = summarise(all[0].values);
  if (gauge > gauge_limit_ns) {
    own.note += (own.note.empty() ? "" : "; ") + ("cores far apart: gauge " + readable(gauge) + " ns");
  }
  bool complete = own.measured;
  const bool has_reference = !row.options.reference.empty();
  for (std::size_t k = 1; k < all.size(); ++k) {
    if (all[k].failure.empty()) continue;
    complete = false;
    out.warn(row.name + ": " + all[k].name + ": " + all[k].failure);
  }
  const auto beside = [&](const contender& other) {
    comparison line = own;
    line.reference = other.name;
    if (own.measured && other.failure.empty()) {
      line.reference_value = summarise(other.values);
      line.ratio = median_ratio(all[0].values, other.values);
    }
    return line;
  };

  comparison first = has_reference ? beside(all[1]) : own;
  judge(first, row.options);
  // Where the only target is to be ahead of the peers, their lines say it all.
  const bool has_bound = row.options.max || row.options.min;
  if (has_reference || all.size() == 1 || has_bound) out.line(first);
  for (std::size_t k = has_reference ? 2 : 1; k < all.size(); ++k) {
    comparison line = beside(all[k]);
    judge_against_peer(line, row.options);
    out.line(line);
  }
  return complete;
}

void suite::implementation::print_head(const table& out) const {
  for (const auto& [heading, text] : describe_machine()) out.head(heading, text);
  out.head("method", options->quick ? "quick: 3 short repetitions, rough figures"
                                    : "median [lowest..highest] of 10 repetitions (5 with peers)");
  out.head("", "ratio: median of the ratios to what was measured beside it in the same repetitions");
  if (peers) {
    for (const std::string& version : peers->versions()) out.head("peer", version);
  }
  if (const double gauge = ping_pong_gauge(gauge_round_trips); gauge > 0) {
    out.head("gauge",
             "core-to-core round trip " + readable(gauge) + " ns" +
                 (gauge > gauge_limit_ns ? ": the cores are far apart, rows on two cores are not to be quoted" : ""));
  }
}

// In the fresh OS process of an isolated row.
int suite::implementation::run_isolated() const {
  const registered_row* row = find(options->only);
  if (row == nullptr) return 2;
  state s{options->quick, options->quick ? slice_quick_ns : slice_full_ns};
  std::printf("%s\t%.9g\t%s\n", row->name.c_str(), row->options.run(s), row->options.unit.c_str());
  return 0;
}

int suite::implementation::run_all() {
  if (options->peers) peers.emplace(peers_script());
  table out(options->json);
  print_head(out);
  bool complete = true;
  std::string group;
  for (const registered_row& row : rows) {
    if (!wanted(row)) continue;
    if (row.group != group) out.group(group = row.group);
    complete = report(row, out) && complete;
  }
  return complete ? 0 : 1;
}

suite::suite(std::string name, int argc, char** argv) : self_(std::make_unique<implementation>()) {
  self_->name = std::move(name);
  self_->program = "/proc/self/exe";
  self_->options = parse_command_line(std::vector<std::string>(argv + 1, argv + argc), self_->error);
}

suite::~suite() = default;

void suite::group(std::string title) { self_->current_group = std::move(title); }

void suite::row(std::string name, row_options options) {
  if (self_->find(name) != nullptr) throw std::logic_error("two rows are called '" + name + "'");
  self_->rows.push_back({self_->current_group, std::move(name), std::move(options)});
}

bool suite::quick() const noexcept { return self_->options && self_->options->quick; }

int suite::run() {
  if (!self_->options || self_->options->help) {
    if (!self_->error.empty()) std::fprintf(stderr, "bench %s: %s\n", self_->name.c_str(), self_->error.c_str());
    std::fprintf(self_->error.empty() ? stdout : stderr, "Options of bench %s:\n%s", self_->name.c_str(), usage_text);
    return self_->error.empty() ? 0 : 2;
  }
  if (self_->options->list) {
    for (const registered_row& row : self_->rows) std::printf("%s: %s\n", row.group.c_str(), row.name.c_str());
    return 0;
  }
  const second_thread running;
  try {
    return self_->options->only.empty() ? self_->run_all() : self_->run_isolated();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench %s: %s\n", self_->name.c_str(), error.what());
    return 1;
  }
}

double in_threads(int count, const std::function<void(int)>& body) {
  std::latch ready(count + 1);
  std::vector<std::thread> threads;
  std::vector<std::int64_t> begins(static_cast<std::size_t>(count));
  std::vector<std::int64_t> ends(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      ready.arrive_and_wait();
      begins[static_cast<std::size_t>(i)] = now();
      body(i);
      ends[static_cast<std::size_t>(i)] = now();
    });
  }
  ready.arrive_and_wait();
  for (std::thread& thread : threads) thread.join();
  return static_cast<double>(*std::max_element(ends.begin(), ends.end()) -
                             *std::min_element(begins.begin(), begins.end()));
}

}  // namespace bench
