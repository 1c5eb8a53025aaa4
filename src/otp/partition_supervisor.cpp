// SPDX-License-Identifier: Apache-2.0
//
// partition_supervisor: an ordinary supervisor whose children put themselves into a table when they start. So a restart mends
// the way to a partition by itself, whoever decided on it.
//
// A cell of the table has two entries, of which `now` names the one that counts: so a reader never meets a partition without a
// process while it is being replaced. The one writer, the supervisor, fills the other entry and then moves `now`. A reader who
// finds the same `now` before and after has read an entry that was not touched meanwhile.
#include <coppice/otp/partition_supervisor.hpp>

#include <coppice/base/detail/sync.hpp>
#include <coppice/process/process.hpp>

#include "process/system.hpp"
#include "runtime/planted.hpp"

#include <memory>
#include <stdexcept>

namespace coppice {

namespace planted = internal::planted;
namespace sync = detail::sync;

namespace detail {

struct partition_cells {
  explicit partition_cells(std::size_t n) : most(n), size(n), cells(std::make_unique<cell[]>(n)) {}
  struct entry {
    sync::atomic<std::uint64_t> serial{0, "partition serial"};
    sync::atomic<slot*> where{nullptr, "partition"};
  };
  struct cell {
    sync::atomic<std::uint64_t> now{0, "partition now"};     // how often it was put; 0: never
    entry of[2];
  };
  sync::atomic<std::uint32_t> holders{1};
  const std::size_t most;
  sync::atomic<std::size_t> size;
  std::unique_ptr<cell[]> cells;
};

partition_table::partition_table(std::size_t most) : cells_(new partition_cells(most)) {}
partition_table::partition_table(const partition_table& other) noexcept : cells_(other.cells_) {
  if (cells_ != nullptr) cells_->holders.fetch_add(1, sync::relaxed);
}
partition_table::~partition_table() {
  if (cells_ != nullptr && cells_->holders.fetch_sub(1, sync::acq_rel) == 1) delete cells_;
}
std::size_t partition_table::size() const noexcept { return cells_ != nullptr ? cells_->size.load(sync::acquire) : 0; }
std::size_t partition_table::most() const noexcept { return cells_ != nullptr ? cells_->most : 0; }
void partition_table::resize(std::size_t size) const noexcept { cells_->size.store(size, sync::release); }

pid partition_table::at(std::size_t number) const noexcept {
  if (number >= most()) return {};
  const partition_cells::cell& c = cells_->cells[number];
  for (;;) {
    const std::uint64_t now = c.now.load(sync::acquire);              // pairs with put: the entry is at least as new
    if (now == 0) return {};
    const partition_cells::entry& e = c.of[now % 2];
    const std::uint64_t serial = e.serial.load(sync::acquire);        // pairs with put: whoever sees a later one ...
    slot* where = e.where.load(sync::acquire);                        // ... sees a later `now` below
    if (c.now.load(sync::relaxed) == now || planted::is(planted::partition_unchecked)) return pid::of(where, serial);
    sync::relax();
  }
}

void partition_table::put(std::size_t number, pid who) const noexcept {
  partition_cells::cell& c = cells_->cells[number];
  const std::uint64_t next = c.now.load(sync::relaxed) + 1;
  partition_cells::entry& e = c.of[next % 2];
  e.where.store(who.where(), sync::release);
  e.serial.store(who.serial(), sync::release);
  c.now.store(next, sync::release);
}

void throw_no_partitions() { throw exit_error(exit_reason::noproc, "partition: the supervisor has no partitions"); }

namespace {

/// Starts a partition and enters it. Runs in the supervisor.
started_child start_partition(partition_table table, std::size_t number, child_spec spec) {
  started_child outcome = start_child(spec);
  if (outcome.is(started_child::started)) table.put(number, outcome.who());
  return outcome;
}
using partition_arguments = std::tuple<started_child (*)(partition_table, std::size_t, child_spec), partition_table, std::size_t, child_spec>;

[[noreturn]] void refuse_start(const std::string& problem) {
  throw start_error(start_error::failed, exit_reason("bad_supervisor_spec: " + problem), {}, "start_error: bad_supervisor_spec: " + problem);
}

}  // namespace

supervisor_spec spread(const partition_supervisor_spec& spec, partition_table& table) {
  const std::size_t n = spec.partitions != 0 ? spec.partitions : internal::current_system().sched.base_workers();
  table = partition_table(n);
  supervisor_spec made{.name = spec.name, .strategy = spec.strategy, .intensity = spec.intensity, .period = spec.period};
  for (std::size_t i = 0; i < n; ++i) {
    child_spec inner = spec.with != nullptr ? spec.with(spec.child, i) : spec.child;
    child_spec outer = child({.id = std::to_string(i)}, &start_partition, table, i, inner);
    outer.restart = inner.restart;
    outer.shutdown = inner.shutdown;
    outer.type = inner.type;
    outer.back_off = inner.back_off;
    outer.limit = inner.limit;
    made.children.push_back(std::move(outer));
  }
  return made;
}

}  // namespace detail

namespace {

std::string problem_of_partitions(const partition_supervisor_spec& spec) {
  if (!spec.name) return "a partition supervisor needs a name";
  if (spec.strategy == simple_one_for_one) return "strategy is simple_one_for_one: a partition supervisor has a list of partitions";
  child_spec inner = spec.child;
  if (inner.id.empty()) inner.id = "partition";
  if (inner.name) return "child: name is " + to_text(inner.name) + ", but only one partition could have it";
  return problem_of(inner);
}

partition_supervisor start_partitions(const partition_supervisor_spec& spec, const start_options& options, detail::start_kind kind) {
  if (std::string problem = problem_of_partitions(spec); !problem.empty()) detail::refuse_start(problem);
  detail::partition_table table;
  const supervisor_spec made = detail::spread(spec, table);
  detail::start_supervisor_core(detail::source_of(made), options, kind);
  return partition_supervisor(detail::supervisor_address(spec.name.view()), std::move(table));
}

}  // namespace

partition_supervisor start_partition_supervisor(const partition_supervisor_spec& spec, const start_options& options) {
  return start_partitions(spec, options, detail::start_kind::alone);
}
partition_supervisor start_partition_supervisor_link(const partition_supervisor_spec& spec, const start_options& options) {
  return start_partitions(spec, options, detail::start_kind::linked);
}

partition_supervisor::partition_supervisor(const name_view& name) : at_(name) {
  const child_spec first = supervisor(name).get_childspec("0");
  const auto* arguments = first.start.arguments().as<detail::partition_arguments>();
  if (arguments == nullptr) throw supervisor_error(supervisor_error::not_found, to_text(name) + " is no partition supervisor");
  table_ = std::get<1>(*arguments);
}

std::size_t partition_supervisor::resize(std::size_t size) const {
  const std::size_t before = table_.size();
  if (size > table_.most())
    throw std::invalid_argument("resize: " + std::to_string(size) + " partitions, but there were " + std::to_string(table_.most()) + " at first");
  const supervisor s(at_.name().view());
  if (size < before) table_.resize(size);                 // nobody is sent there any more, then they end
  for (std::size_t i = before; i > size; --i) s.terminate_child(std::to_string(i - 1));
  for (std::size_t i = before; i < size; ++i) {
    const auto started = s.try_restart_child(std::to_string(i));
    if (!started && !started.error().is(supervisor_error::running)) throw started.error();
  }
  if (size > before) table_.resize(size);
  return before;
}

child_spec child(const child_options& options, const partition_supervisor_spec& spec) {
  detail::partition_table table;
  if (std::string problem = problem_of_partitions(spec); !problem.empty()) throw std::invalid_argument("child: " + problem);
  return child(options, detail::spread(spec, table));
}

}  // namespace coppice
