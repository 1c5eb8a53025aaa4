// SPDX-License-Identifier: Apache-2.0
//
// metrics: the user's metrics are prometheus-cpp's own; a registry of theirs holds them. What must be added is a bound on the number of
// series, and words for what is wrong.
#include <coppice/app/metrics.hpp>

#include "app/runtime_metrics.hpp"

#include <boost/beast/websocket/detail/utf8_checker.hpp>
#include <prometheus/check_names.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <set>
#include <sstream>
#include <stdexcept>

namespace coppice::detail {

namespace {

using label_map = std::map<std::string, std::string>;

[[noreturn]] void refuse(const std::string& name, const std::string& why) {
  throw std::invalid_argument("metric \"" + name + "\": " + why);
}

constexpr std::size_t longest_value = 128;

/// What is longer would be kept for good, a megabyte for each; what is no UTF-8 makes Prometheus refuse all metrics.
bool is_fit(const std::string& value) {
  return value.size() <= longest_value && boost::beast::websocket::detail::check_utf8(value.data(), value.size());
}

label_map checked(const std::string& name, const metric_labels& labels) {
  label_map all;
  for (const metric_label& l : labels) {
    if (!prometheus::CheckLabelName(l.name)) refuse(name, "\"" + l.name + "\" is not the name of a label");
    if (!all.emplace(l.name, is_fit(l.value) ? l.value : "(other)").second) refuse(name, "two labels are called \"" + l.name + "\"");
  }
  return all;
}

std::vector<std::string> names_of(const label_map& labels) {
  std::vector<std::string> names;
  for (const auto& [name, value] : labels) names.push_back(name);
  return names;
}

}  // namespace

struct metric_registry {
  explicit metric_registry(const metrics_options& o)
      : most_series(o.most_series), in(o.in != nullptr ? o.in->impl() : internal::current_system()) {}

  /// The metric of that name and these labels.
  template <class Metric, class Builder, class... More>
  void* find(Builder builder, const std::string& name, const std::string& help, const metric_labels& labels, const More&... more) {
    if (!prometheus::CheckMetricName(name)) refuse(name, "not the name of a metric");
    if (name.starts_with("coppice_")) refuse(name, "names that begin with coppice_ are the runtime's");
    label_map wanted = checked(name, labels);
    const sync::lock_guard held(lock);
    auto [at, is_new] = known.try_emplace(name, family{help, Metric::metric_type, names_of(wanted), {}, nullptr});
    family& f = at->second;
    if (f.type != Metric::metric_type) refuse(name, "it is of another type already");
    if (f.help != help) refuse(name, "it has another text already");
    if (f.label_names != names_of(wanted)) refuse(name, "its labels have other names");
    if (is_new) f.made = &builder.Name(name).Help(help).Register(theirs);
    if (!f.series.contains(wanted) && f.series.size() >= most_series)
      for (auto& [label, value] : wanted) value = "(other)";
    f.series.insert(wanted);
    return &static_cast<prometheus::Family<Metric>*>(f.made)->Add(wanted, more...);
  }

  std::string text() {
    std::vector<prometheus::MetricFamily> all;
    {
      // Not while it is looked at: looking gives others a turn.
      internal::shown_totals before = last_shown();
      all = internal::runtime_families(in, before);
      keep(std::move(before));
    }
    std::ranges::move(theirs.Collect(), std::back_inserter(all));
    std::erase_if(all, [](const prometheus::MetricFamily& f) { return f.metric.empty(); });
    std::ostringstream out;
    prometheus::TextSerializer().Serialize(out, all);
    return std::move(out).str();
  }

 private:
  struct family {
    std::string help;
    prometheus::MetricType type;
    std::vector<std::string> label_names;
    std::set<label_map> series;
    void* made;
  };
  internal::shown_totals last_shown() {
    const sync::lock_guard held(lock);
    return last;
  }
  void keep(internal::shown_totals now) {
    const sync::lock_guard held(lock);
    for (auto& [name, of] : now.classes) {
      auto& kept = last.classes[name];
      kept.started = std::max(kept.started, of.started);
      kept.handled = std::max(kept.handled, of.handled);
    }
  }

  const std::size_t most_series;
  const internal::system& in;
  sync::spinlock lock;
  std::map<std::string, family> known;
  prometheus::Registry theirs;
  internal::shown_totals last;

 public:
  sync::atomic<std::uint32_t> holders{1};
};

}  // namespace coppice::detail

namespace coppice {

namespace sync = detail::sync;

void metric_counter::add(double by) const {
  if (!(by >= 0)) throw std::invalid_argument("a counter does not go down");
  static_cast<prometheus::Counter*>(of_)->Increment(by);
}
double metric_counter::value() const noexcept { return static_cast<prometheus::Counter*>(of_)->Value(); }

void metric_gauge::set(double to) const noexcept { static_cast<prometheus::Gauge*>(of_)->Set(to); }
void metric_gauge::add(double by) const noexcept { static_cast<prometheus::Gauge*>(of_)->Increment(by); }
double metric_gauge::value() const noexcept { return static_cast<prometheus::Gauge*>(of_)->Value(); }

void metric_histogram::observe(double value) const { static_cast<prometheus::Histogram*>(of_)->Observe(value); }

metrics::metrics(const metrics_options& options) : registry_(new detail::metric_registry(options)) {}
metrics::metrics(const metrics& other) noexcept : registry_(other.registry_) {
  if (registry_ != nullptr) registry_->holders.fetch_add(1, sync::relaxed);
}
metrics::~metrics() {
  if (registry_ != nullptr && registry_->holders.fetch_sub(1, sync::acq_rel) == 1) delete registry_;
}

metric_counter metrics::counter(const std::string& name, const std::string& help, const metric_labels& labels) const {
  return metric_counter(registry_->find<prometheus::Counter>(prometheus::BuildCounter(), name, help, labels));
}

metric_gauge metrics::gauge(const std::string& name, const std::string& help, const metric_labels& labels) const {
  return metric_gauge(registry_->find<prometheus::Gauge>(prometheus::BuildGauge(), name, help, labels));
}

metric_histogram metrics::histogram(const std::string& name, const std::string& help, const std::vector<double>& bounds,
                                    const metric_labels& labels) const {
  if (std::ranges::adjacent_find(bounds, std::greater_equal<>()) != bounds.end())
    throw std::invalid_argument("metric \"" + name + "\": the bounds of a histogram ascend");
  return metric_histogram(registry_->find<prometheus::Histogram>(prometheus::BuildHistogram(), name, help, labels, bounds));
}

std::string metrics::text() const { return registry_->text(); }

http_response metrics::operator()() const {
  return {.body = text(), .content_type = "text/plain; version=0.0.4; charset=utf-8"};
}

}  // namespace coppice
