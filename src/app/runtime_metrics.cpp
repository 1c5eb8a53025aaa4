// SPDX-License-Identifier: Apache-2.0
#include "app/runtime_metrics.hpp"

#include "app/http_counts.hpp"
#include "process/class_counts.hpp"
#include "runtime/pools.hpp"

#include <coppice/process/process.hpp>

#include <algorithm>
#include <utility>

namespace coppice::internal {

namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using labels = std::vector<ClientMetric::Label>;

constexpr double per_nanosecond = 1e-9;
constexpr unsigned looked_at_once = 4096;  // processes; then others get their turn

class families {
 public:
  /// From now on values belong to this one.
  families& begin(MetricType type, const char* name, const char* help) {
    all_.push_back({name, help, type, {}});
    return *this;
  }
  families& value(double v, labels l = {}) {
    ClientMetric& m = add(std::move(l));
    (all_.back().type == MetricType::Counter ? m.counter.value : m.gauge.value) = v;
    return *this;
  }
  families& value(std::uint64_t v, labels l = {}) { return value(static_cast<double>(v), std::move(l)); }
  families& histogram(const time_histogram& h, labels l) {
    ClientMetric::Histogram& out = add(std::move(l)).histogram;
    for (std::size_t i = 0; i != time_histogram::buckets; ++i) {
      out.sample_count += h.of[i].get();
      const bool last = i + 1 == time_histogram::buckets;
      out.bucket.push_back({out.sample_count, last ? std::numeric_limits<double>::infinity() : time_histogram::bound_of(i)});
    }
    out.sample_sum = static_cast<double>(h.sum.get()) * per_nanosecond;
    return *this;
  }
  std::vector<MetricFamily> take() { return std::move(all_); }

 private:
  ClientMetric& add(labels l) {
    ClientMetric& m = all_.back().metric.emplace_back();
    m.label = std::move(l);
    return m;
  }
  std::vector<MetricFamily> all_;
};

// --- classes ---------------------------------------------------------------------------------------------------------

/// What is known of one class. Classes of one name, from different namespaces, are one.
struct class_state {
  std::uint64_t alive = 0;
  std::uint64_t started = 0;
  std::uint64_t crashed = 0;
  std::uint64_t restarted = 0;
  std::uint64_t handled = 0;
  std::uint64_t queued = 0;
  std::uint64_t longest = 0;
  time_histogram time;
};
using class_states = std::map<std::string_view, class_state>;

void add_totals(void* to, const class_counts& of) {
  class_state& c = (*static_cast<class_states*>(to))[*of.name.get()];
  c.started += of.ended.get();
  c.crashed += of.crashed.get();
  c.restarted += of.restarted.get();
  c.handled += of.handled.get();
  for (std::size_t i = 0; i != time_histogram::buckets; ++i) c.time.of[i].add(of.time.of[i].get());
  c.time.sum.add(of.time.sum.get());
}

/// Adds what lives. The slots are not ours: each value is one that was true a moment ago.
void add_living(class_states& all) {
  const detail::class_descriptor* last = nullptr;
  class_state* of_last = nullptr;
  unsigned looked_at = 0;
  program_pools().slots.for_each_block([&](void* block, std::size_t) {
    if (++looked_at % looked_at_once == 0 && detail::current_slot() != nullptr) yield();
    const slot& s = *static_cast<const slot*>(block);
    if (s.serial.load(sync::acquire) == 0) return;
    const detail::class_descriptor* cls = s.cls.peek();
    if (cls == nullptr || cls->handles == nullptr) return;
    if (cls != last) of_last = &all[cls->name];
    last = cls;
    const std::uint64_t queued = s.length.load(sync::relaxed);
    ++of_last->alive;
    ++of_last->started;
    of_last->handled += s.handled.get();
    of_last->queued += queued;
    of_last->longest = std::max(of_last->longest, queued);
  });
}

class_states look_at_classes(shown_totals& last) {
  class_states all;
  for_each_class(&add_totals, &all);  // first: who ends meanwhile is missed, and not counted twice
  add_living(all);
  for (auto& [name, c] : all) {
    shown_totals::of_class& before = last.classes[name];
    c.started = before.started = std::max(c.started, before.started);
    c.handled = before.handled = std::max(c.handled, before.handled);
  }
  return all;
}

void show_classes(families& out, const class_states& all) {
  const auto each = [&](auto&& what) {
    for (const auto& [name, c] : all) what(c, labels{{"class", std::string(name)}});
  };
  const auto show = [&](MetricType type, const char* name, const char* help, std::uint64_t class_state::* field) {
    out.begin(type, name, help);
    each([&](const class_state& c, labels l) { out.value(c.*field, std::move(l)); });
  };
  show(MetricType::Gauge, "coppice_servers", "Servers alive.", &class_state::alive);
  show(MetricType::Counter, "coppice_servers_started_total", "Servers started.", &class_state::started);
  show(MetricType::Counter, "coppice_server_crashes_total", "Servers that ended for another reason than normal or shutdown.", &class_state::crashed);
  show(MetricType::Counter, "coppice_server_restarts_total", "Servers that their supervisors started again.", &class_state::restarted);
  show(MetricType::Counter, "coppice_server_messages_total", "Messages handled.", &class_state::handled);
  show(MetricType::Gauge, "coppice_server_queued_messages", "Messages that wait, of all servers together.", &class_state::queued);
  show(MetricType::Gauge, "coppice_server_longest_queue", "Messages that wait at the server with the longest queue.", &class_state::longest);
  out.begin(MetricType::Histogram, "coppice_server_handler_seconds",
            "Time for one message, from a sample: the first 64 of each server, then every 256th, counted for those between.");
  each([&](const class_state& c, labels l) { out.histogram(c.time, std::move(l)); });
}

// --- everything else -------------------------------------------------------------------------------------------------

void show_scheduler(families& out, const system& of) {
  const scheduler_counts s = of.sched.counts();
  const std::int64_t alive = of.alive();
  out.begin(MetricType::Gauge, "coppice_processes", "Processes alive.").value(static_cast<double>(alive > 0 ? alive : 0));
  out.begin(MetricType::Gauge, "coppice_scheduler_workers", "Threads that run processes.").value(std::uint64_t{s.workers});
  out.begin(MetricType::Gauge, "coppice_scheduler_parked_workers", "Those of them that sleep.").value(std::uint64_t{s.parked});
  out.begin(MetricType::Gauge, "coppice_scheduler_run_queue", "Processes that can run and do not.").value(std::uint64_t{s.queued});
  out.begin(MetricType::Counter, "coppice_scheduler_turns_total", "Turns that processes got.").value(s.turns);
  out.begin(MetricType::Counter, "coppice_scheduler_steals_total", "Times that a worker took of another one's queue.").value(s.steals);
  out.begin(MetricType::Counter, "coppice_scheduler_parked_seconds_total", "Time that workers slept, of all together.")
      .value(static_cast<double>(s.parked_for) * per_nanosecond);
}

/// Two counters that belong together, read at different moments.
std::uint64_t difference(counted larger, counted smaller) {
  const std::uint64_t less = sum_of(smaller);
  const std::uint64_t more = sum_of(larger);
  return more > less ? more - less : 0;
}

void show_state(families& out) {
  out.begin(MetricType::Counter, "coppice_transactions_total", "Transactions that ended.")
      .value(sum_of(counted::commits), {{"outcome", "committed"}})
      .value(sum_of(counted::given_up), {{"outcome", "given_up"}});
  out.begin(MetricType::Counter, "coppice_transaction_retries_total", "Attempts that were made again.").value(sum_of(counted::begun_anew));
  out.begin(MetricType::Counter, "coppice_atom_conflicts_total", "Changes of atoms that came second and were made again.")
      .value(sum_of(counted::atom_conflicts));
  out.begin(MetricType::Counter, "coppice_agent_actions_total", "Actions sent to agents.").value(sum_of(counted::actions_sent));
  out.begin(MetricType::Counter, "coppice_agent_failures_total", "Actions of agents that failed.").value(sum_of(counted::actions_failed));
  out.begin(MetricType::Gauge, "coppice_agent_queued_actions", "Actions that are sent and not over.")
      .value(difference(counted::actions_sent, counted::actions_over));
  out.begin(MetricType::Gauge, "coppice_agents", "Agents with something to do, and failed ones.")
      .value(difference(counted::agents_busy, counted::agents_idle), {{"state", "busy"}})
      .value(difference(counted::agents_failed, counted::agents_mended), {{"state", "failed"}});
}

void show_sockets(families& out) {
  out.begin(MetricType::Counter, "coppice_socket_bytes_total", "Bytes through sockets, as they are on the wire.")
      .value(sum_of(counted::bytes_read), {{"direction", "in"}})
      .value(sum_of(counted::bytes_written), {{"direction", "out"}});
  out.begin(MetricType::Counter, "coppice_socket_batches_total", "System calls by which several sockets were read, or written, together.")
      .value(sum_of(counted::batches));
  out.begin(MetricType::Counter, "coppice_socket_batched_calls_total", "Reads and writes that were made in them.").value(sum_of(counted::batched_calls));
}

void show_http(families& out) {
  out.begin(MetricType::Gauge, "coppice_http_connections", "Connections open.")
      .value(static_cast<double>(std::max(all_http.open.get(), std::int64_t{0})));
  out.begin(MetricType::Counter, "coppice_http_connections_total", "Connections accepted.").value(all_http.accepted.get());

  out.begin(MetricType::Counter, "coppice_http_requests_total",
            "Requests answered, by the route's own path. (none): no route fits; (refused): no handler saw it.");
  for_each_route([](void* to, const route_counts& of) {
    for (const route_counts::answers& a : of.by_status) {
      const std::uint32_t label = a.label.get();
      if (label == 0) continue;
      const std::uint32_t status = (label - 1) % 1024;
      static_cast<families*>(to)->value(a.count.get(), {{"route", of.pattern},
                                                        {"method", std::string(to_text(static_cast<http_method>((label - 1) / 1024)))},
                                                        {"status", status == 0 ? "other" : std::to_string(status)}});
    }
  }, &out);

  out.begin(MetricType::Histogram, "coppice_http_request_seconds", "Time from a request's handler beginning to its answer, or its stream.");
  for_each_route([](void* to, const route_counts& of) {
    if (of.by_status[0].label.get() == 0) return;
    static_cast<families*>(to)->histogram(of.time, {{"route", of.pattern}, {"method", std::string(to_text(of.method))}});
  }, &out);
}

}  // namespace

std::vector<MetricFamily> runtime_families(const system& of, shown_totals& last) {
  families out;
  show_classes(out, look_at_classes(last));
  show_scheduler(out, of);
  show_state(out);
  show_sockets(out);
  show_http(out);
  return out.take();
}

}  // namespace coppice::internal
