// SPDX-License-Identifier: Apache-2.0
#include "sim/runtime/world.hpp"

#include <coppice/base/log_sink.hpp>

namespace coppice::testing {

namespace {

constexpr log_sink silence{.write = nullptr, .context = nullptr, .least = log_level::error};

void begin() {
  set_log_sink(&silence);
  internal::renew_program_state();
}

}  // namespace

sim::scenario_options whole_program() {
  sim::scenario_options o;
  o.before = &begin;
  o.finish = &internal::drop_program_state;
  o.must_free_all = true;
  return o;
}

world::world(const world_options& options)
    : system_(new internal::system({.report_faults = false}, {.workers = options.workers,
                                                              .monitor = options.monitor,
                                                              .search_rounds = options.search_rounds})) {
  enter();
  system_->start();
}

world::~world() {
  sim::check(system_->sched.stop(sync::never), "a worker did not leave");
  sim::check(system_->alive() == 0, "a process is left");
  delete system_;
}

void world::enter() const noexcept { internal::here().home = system_->number; }

}  // namespace coppice::testing
