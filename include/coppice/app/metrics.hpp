// SPDX-License-Identifier: Apache-2.0
//
// metrics: what happens in the program, in Prometheus' text format: the runtime's own counters, and yours. In the component
// coppice::metrics; prometheus-cpp makes the text, and does not appear here.
//
//     metrics all;
//     const metric_counter sold = all.counter("shop_sold_total", "Things sold.", {{"kind", "book"}});
//     router{get("/metrics", all), …}
//     …
//     sold.add();
//
// The runtime counts always, whether anybody asks or not; asking is what costs something. What there is: docs/guide/operating.md.
#pragma once

#include <coppice/app/http_message.hpp>

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace coppice {

class runtime;

namespace detail {
struct metric_registry;
}

struct metric_label {
  std::string name;
  std::string value;
};
using metric_labels = std::vector<metric_label>;

/// Grows. Values of a metric may be changed from any thread, without waiting; copies mean the same one. They end with their `metrics`.
class metric_counter {
 public:
  /// Fails: std::invalid_argument below 0.
  void add(double by = 1) const;
  double value() const noexcept;

 private:
  friend class metrics;
  explicit metric_counter(void* of) noexcept : of_(of) {}
  void* of_;
};

/// Goes up and down.
class metric_gauge {
 public:
  void set(double to) const noexcept;
  void add(double by = 1) const noexcept;
  double value() const noexcept;

 private:
  friend class metrics;
  explicit metric_gauge(void* of) noexcept : of_(of) {}
  void* of_;
};

/// How values spread over ranges.
class metric_histogram {
 public:
  void observe(double value) const;

 private:
  friend class metrics;
  explicit metric_histogram(void* of) noexcept : of_(of) {}
  void* of_;
};

struct metrics_options {
  /// How many series a metric may have. Who asks for one more gets the one whose label values all are `(other)`: text that strangers
  /// choose cannot fill the memory. For the same reason a value of more than 128 bytes is `(other)`, and one that is no UTF-8, for which
  /// Prometheus would refuse all metrics.
  std::size_t most_series = 1000;
  runtime* in = nullptr;  ///< whose scheduler is shown; null: that of the process or thread which makes this
};

/// A set of metrics, and a handler that shows it. Copies mean the same set.
/// Thread: any. Cost: of what counts, see each; of a text, linear in the processes that there have ever been at once, and in the series.
class metrics {
 public:
  explicit metrics(const metrics_options& options = {});
  metrics(const metrics& other) noexcept;
  metrics(metrics&& other) noexcept : registry_(std::exchange(other.registry_, nullptr)) {}
  metrics& operator=(metrics other) noexcept {
    std::swap(registry_, other.registry_);
    return *this;
  }
  ~metrics();

  /// The metric of that name with these labels, made if there is none.
  /// Fails: std::invalid_argument for a name or label that Prometheus does not take, and for a name with another type, text or
  ///        other labels than before.
  /// Cost:  a lock and a search: keep what you get.
  metric_counter counter(const std::string& name, const std::string& help, const metric_labels& labels = {}) const;
  metric_gauge gauge(const std::string& name, const std::string& help, const metric_labels& labels = {}) const;
  /// `bounds`: the upper bounds of the ranges, ascending; the last range has none.
  metric_histogram histogram(const std::string& name, const std::string& help, const std::vector<double>& bounds,
                             const metric_labels& labels = {}) const;

  /// Everything, in the text format 0.0.4.
  std::string text() const;
  /// As a route's handler.
  http_response operator()() const;

 private:
  detail::metric_registry* registry_;
};

}  // namespace coppice
