// SPDX-License-Identifier: Apache-2.0
//
// A runtime of one worker without the monitor thread, which on a slow machine lets a second one take what is there: two workers
// keep no order between them.
#pragma once

#include <doctest/doctest.h>

#include "process/system.hpp"
#include "runtime/thread_block.hpp"

namespace coppice::testing {

class one_worker {
 public:
  one_worker() : system_(new internal::system({.report_faults = false}, {.workers = 1, .monitor = false})) {
    internal::here().home = system_->number;
    system_->start();
  }
  ~one_worker() {
    CHECK(system_->sched.stop(detail::sync::never));
    internal::here().home = before_;
    delete system_;
  }
  one_worker(const one_worker&) = delete;
  one_worker& operator=(const one_worker&) = delete;

 private:
  decltype(internal::here().home) before_ = internal::here().home;
  internal::system* system_;
};

}  // namespace coppice::testing
