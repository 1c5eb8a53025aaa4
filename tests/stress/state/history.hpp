// SPDX-License-Identifier: Apache-2.0
//
// history: what transactions saw and wrote, and whether that could have happened under snapshot isolation, or one after another.
//
// Each write gives its ref a version that was never used before, so each read tells whose write it saw, and each write whose it
// replaced. That gives a graph: who comes before whom because
//     ww  it wrote the version that the other replaced         wr  the other read its version
//     rw  it read the version that the other replaced          rt  it was over before the other began
// A history is one of snapshot isolation if no ring of it is without two rw in a row (Cerone and Gotsman); it is one of transactions one
// after another if it has no ring at all. Lost updates, dirty and skewed reads all make such a ring, or are seen before.
#pragma once

#include <algorithm>
#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace coppice::testing {

struct transaction_record {
  struct read { int ref; long long version; };
  struct write { int ref; long long from, to; };
  std::vector<read> reads{};
  std::vector<write> writes{};
  long long begin = 0, end = 0;                  // of one clock for all
};

enum class isolation { snapshot, serial };

class history {
 public:
  explicit history(std::vector<transaction_record> all) : all_(std::move(all)) {}

  /// What is wrong with it; empty: nothing. Versions begin with 0.
  std::string problem(isolation wanted) {
    if (std::string p = find_writers(); !p.empty()) return p;
    if (std::string p = connect(); !p.empty()) return p;
    return has_ring(wanted) ? (wanted == isolation::snapshot ? "a ring without two rw in a row" : "a ring") : "";
  }

 private:
  using at = std::pair<int, long long>;
  struct edge { std::size_t to; bool is_rw; };

  std::string find_writers() {
    for (std::size_t t = 0; t != all_.size(); ++t)
      for (const auto& w : all_[t].writes) {
        writer_[{w.ref, w.to}] = t;
        if (!replaced_by_.emplace(at{w.ref, w.from}, t).second)
          return "lost update: version " + std::to_string(w.from) + " of ref " + std::to_string(w.ref) + " was replaced twice";
      }
    return {};
  }

  std::string connect() {
    edges_.assign(all_.size(), {});
    for (std::size_t t = 0; t != all_.size(); ++t) {
      for (const auto& r : all_[t].reads) {
        if (std::string p = after_writer({r.ref, r.version}, t); !p.empty()) return p;
        if (const auto next = replaced_by_.find({r.ref, r.version}); next != replaced_by_.end() && next->second != t)
          edges_[t].push_back({next->second, true});
      }
      for (const auto& w : all_[t].writes)
        if (std::string p = after_writer({w.ref, w.from}, t); !p.empty()) return p;
    }
    connect_in_time();
    return {};
  }
  std::string after_writer(const at& version, std::size_t t) {
    if (version.second == 0) return {};
    const auto w = writer_.find(version);
    if (w == writer_.end()) return "version " + std::to_string(version.second) + " of ref " + std::to_string(version.first) + " was seen and never committed";
    if (w->second != t) edges_[w->second].push_back({t, false});
    return {};
  }
  /// A chain of moments stands for all pairs of which one was over before the other began.
  void connect_in_time() {
    struct moment { long long when; bool is_begin; std::size_t of; };
    std::vector<moment> moments;
    for (std::size_t t = 0; t != all_.size(); ++t) {
      moments.push_back({all_[t].begin, true, t});
      moments.push_back({all_[t].end, false, t});
    }
    std::sort(moments.begin(), moments.end(), [](const moment& a, const moment& b) { return a.when < b.when; });
    for (const moment& m : moments) {
      const std::size_t node = edges_.size();
      edges_.emplace_back();
      if (node > all_.size()) edges_[node - 1].push_back({node, false});
      if (m.is_begin) edges_[node].push_back({m.of, false});
      else edges_[m.of].push_back({node, false});
    }
  }

  /// Depth first over (node, whether it was reached by rw).
  bool has_ring(isolation wanted) const {
    enum colour : char { white, grey, black };
    std::vector<colour> colours(2 * edges_.size(), white);
    struct step { std::size_t node; std::size_t next; };
    for (std::size_t start = 0; start != colours.size(); ++start) {
      if (colours[start] != white) continue;
      std::vector<step> path{{start, 0}};
      colours[start] = grey;
      while (!path.empty()) {
        step& s = path.back();
        const std::vector<edge>& out = edges_[s.node / 2];
        if (s.next == out.size()) {
          colours[s.node] = black;
          path.pop_back();
          continue;
        }
        const edge e = out[s.next++];
        if (e.is_rw && s.node % 2 == 1 && wanted == isolation::snapshot) continue;
        const std::size_t to = 2 * e.to + (e.is_rw ? 1 : 0);
        if (colours[to] == grey) return true;
        if (colours[to] == black) continue;
        colours[to] = grey;
        path.push_back({to, 0});
      }
    }
    return false;
  }

  std::vector<transaction_record> all_;
  std::map<at, std::size_t> writer_{};
  std::map<at, std::size_t> replaced_by_{};
  std::vector<std::vector<edge>> edges_{};
};

}  // namespace coppice::testing
