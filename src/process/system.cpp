// SPDX-License-Identifier: Apache-2.0
//
// system: runtimes come and go; the table of systems finds one from a slot.
#include "process/system.hpp"

#include "process/crash_report.hpp"
#include "process/process_timer.hpp"
#include "process/signal.hpp"
#include "process/spawn.hpp"
#include "runtime/fault_handler.hpp"
#include "runtime/poller.hpp"
#include "runtime/pools.hpp"

#include <coppice/base/assert.hpp>

#include <cstdio>

namespace coppice::internal {

system* systems[most_systems] = {};
door doors[most_systems];

namespace {

sync::spinlock table_lock;

std::uint16_t take_number(system* sys) {
  sync::lock_guard held(table_lock);
  for (unsigned i = 1; i < most_systems; ++i)
    if (systems[i] == nullptr) {
      systems[i] = sys;
      return static_cast<std::uint16_t>(i);
    }
  throw exit_error(exit_reason::system_limit, "too many runtimes in one program");
}

/// What the fault handler prints of a process: safe in a signal handler, so it only copies what is there.
std::size_t describe_process(void* raw, char* out, std::size_t size) noexcept {
  if (raw == nullptr) raw = here().process;
  if (raw == nullptr) return 0;
  const slot& s = *static_cast<slot*>(raw);
  const detail::class_descriptor* cls = s.cls;
  const message_descriptor* doing = s.doing.load(sync::relaxed);
  const std::string_view name = cls != nullptr ? cls->name : std::string_view("?");
  const int n = std::snprintf(out, size, "%.*s <0.%llu>%s%.*s", static_cast<int>(name.size()), name.data(),
                              static_cast<unsigned long long>(s.serial.load(sync::relaxed)), doing != nullptr ? " while in " : "",
                              doing != nullptr ? static_cast<int>(doing->name.size()) : 0, doing != nullptr ? doing->name.data() : "");
  return n < 0 ? 0 : static_cast<std::size_t>(n) < size ? static_cast<std::size_t>(n) : size;
}

}  // namespace

const fault_describer fault_texts{&describe_process};

/// Names may come from outside: nobody shall know which of them share a bucket.
static std::uint64_t name_seed() {
  thread_block& block = here();
  return std::uint64_t{block.dice()} << 32 | block.dice();
}

system::system(const runtime_options& o) : system(o, {.workers = o.workers}) {}

system::system(const runtime_options& o, const scheduler_options& threads) : options(o), sched(threads, &run_scheduled), names(name_seed()) {
  number = take_number(this);
}

/// Who has pids of an earlier runtime of this number finds nobody before the workers are there.
void system::start() {
  sched.start();
  doors[number].of.store(this, sync::seq_cst);
}

system::~system() {
  delete io.load(sync::relaxed);        // no worker runs any more
  doors[number].of.store(nullptr, sync::seq_cst);
  sync::lock_guard held(table_lock);
  systems[number] = nullptr;
}

std::int64_t system::alive() const noexcept {
  std::int64_t sum = 0;
  for (const shard& s : shards) sum += s.alive.load(sync::acquire);
  return sum;
}

void system::count(std::int64_t change) noexcept {
  thread_block& block = here();
  if (sched.is_worker(block)) {
    auto& mine = shards[block.at->index].alive;          // one writer: no locked instruction
    mine.store(mine.load(sync::relaxed) + change, sync::relaxed);
  } else {
    shards[64].alive.fetch_add(change, sync::release);   // pairs with alive(): who stops us sees what led to it
  }
}

guest::guest(thread_block& block, unsigned number) noexcept {
  door& d = doors[number];
  host_ = d.of.load(sync::relaxed);
  if (host_ != nullptr && block.at != nullptr && block.at->of == &host_->sched) return;
  door_ = &d;
  d.guests.fetch_add(1, sync::seq_cst);        // pairs with see_guests_out: it counts us, or we see the door closed
  host_ = d.of.load(sync::seq_cst);
}

guest::~guest() {
  if (door_ != nullptr) door_->guests.fetch_sub(1, sync::release);
}

namespace {

void see_guests_out(unsigned number) noexcept {
  door& d = doors[number];
  d.of.store(nullptr, sync::seq_cst);
  for (int looks = 0; d.guests.load(sync::seq_cst) != 0; ++looks) {
    sync::relax();
    if (looks < 1'000) continue;
    sync::futex_word nobody;
    sync::futex_wait(nobody, 0, sync::now() + 50'000);
  }
}

}  // namespace

system& system_of_thread(const thread_block& block) {
  if (block.home != 0 && systems[block.home] != nullptr) return *systems[block.home];
  return runtime::main().impl();
}

void for_each_process(system& sys, void (*visit)(void* context, slot& s, std::uint64_t serial), void* context) {
  program_pools().slots.for_each_block([&](void* block, std::size_t) {
    slot& s = *static_cast<slot*>(block);
    const std::uint64_t serial = s.serial.load(sync::acquire);
    if (serial != 0 && s.home.load(sync::relaxed) == sys.number) visit(context, s, serial);
  });
}

void renew_program_state() {
  ::new (&table_lock) sync::spinlock;
  for (system*& s : systems) s = nullptr;
  for (door& d : doors) ::new (&d) door;
  renew_timer_table();
  renew_program_pools();
}

void drop_program_state() {
  shrink_timer_table();
  drop_program_pools();
}

}  // namespace coppice::internal

namespace coppice {

using internal::slot;
namespace sync = detail::sync;

runtime::runtime(const runtime_options& options) : system_(new internal::system(options)) {
  if (options.report_faults) {
    internal::set_fault_describer(internal::fault_texts);
    internal::install_fault_handler();
  }
  system_->start();
}

runtime::~runtime() {
  if (system_ == nullptr) return;
  const stop_result result = stop(system_->options.stop_timeout);
  for (const std::string& line : result.refused) std::fprintf(stderr, "coppice: did not end: %s\n", line.c_str());
}

namespace {

struct stop_round {
  exit_reason why;
  std::size_t seen = 0;
  std::vector<std::string>* names = nullptr;
};

void stop_one(void* raw, slot& s, std::uint64_t serial) {
  auto& round = *static_cast<stop_round*>(raw);
  if (detail::has(s, detail::thread_proxy)) return;
  ++round.seen;
  const pid who = pid::of(&s, serial);
  if (round.names != nullptr) {
    const detail::class_descriptor* cls = s.cls;
    const message_descriptor* doing = s.doing.load(sync::relaxed);
    round.names->push_back(std::string(cls != nullptr ? cls->name : "process") + " " + to_text(who) +
                           (doing != nullptr ? " while in " + std::string(doing->name) : std::string()));
  } else {
    internal::send_exit(who, pid{}, round.why);
  }
}

/// Sends `why` to everybody, again and again for those who are born meanwhile. True: nobody is left.
bool end_all(internal::system& sys, exit_reason::code why, std::int64_t deadline) {
  for (;;) {
    stop_round round{why};
    internal::for_each_process(sys, &stop_one, &round);
    if (round.seen == 0 && sys.alive() <= 0) return true;
    for (int looks = 0; looks < 20; ++looks) {
      if (sys.alive() <= 0) break;
      if (sync::now() >= deadline) return false;
      sync::futex_word nobody;
      sync::futex_wait(nobody, 0, sync::now() + 500'000);
    }
  }
}

}  // namespace

stop_result runtime::stop(duration limit) {
  stop_result result;
  if (system_ == nullptr) return result;
  internal::system& sys = *system_;
  sys.closing.store(1, sync::seq_cst);
  const std::int64_t begin = sync::now();
  const std::int64_t half = begin + limit.count() / 2;
  const std::int64_t deadline = begin + limit.count();
  if (!end_all(sys, exit_reason::shutdown, half)) end_all(sys, exit_reason::kill, deadline);
  if (sys.alive() > 0) {
    stop_round round{exit_reason::kill, 0, &result.refused};
    internal::for_each_process(sys, &stop_one, &round);
  }
  const bool all_left = sys.sched.stop(result.complete() ? sync::now() + 5'000'000'000 : sync::now() + 10'000'000);
  if (all_left) {
    internal::see_guests_out(sys.number);
    internal::drop_timers_of(sys.number);
  }
  if (all_left) delete system_;     // else a worker still runs somebody's code on it: left behind on purpose
  system_ = nullptr;
  return result;
}

runtime_statistics runtime::statistics() const {
  const auto nodes = internal::program_pools().nodes.statistics();
  const auto slots = internal::program_pools().slots.statistics();
  const std::int64_t alive = system_->alive();
  return {.processes = alive > 0 ? static_cast<std::size_t>(alive) : 0,
          .reserved_bytes = nodes.reserved_bytes + slots.reserved_bytes,
          .workers = system_->sched.workers(),
          .steals = static_cast<std::size_t>(system_->sched.steals())};
}

runtime& runtime::main() {
  static runtime instance;
  return instance;
}

runtime_scope::runtime_scope(runtime& r) noexcept : before_(internal::here().home) { internal::here().home = r.impl().number; }
runtime_scope::~runtime_scope() { internal::here().home = before_; }

}  // namespace coppice
