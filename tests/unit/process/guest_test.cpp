// SPDX-License-Identifier: Apache-2.0
//
// Who comes to a runtime from outside finds it only while its workers are there: its number may have been another one's, whose pids
// are still about.
#include <doctest/doctest.h>

#include "process/system.hpp"
#include "runtime/thread_block.hpp"

using namespace coppice;
using namespace coppice::internal;

namespace {

const internal::system* host_of(unsigned number) { return guest(here(), number).host(); }

}  // namespace

TEST_CASE("a runtime lets nobody in before its workers have started") {
  auto* made = new internal::system({.report_faults = false}, {.workers = 1, .monitor = false});
  CHECK(host_of(made->number) == nullptr);
  made->start();
  CHECK(host_of(made->number) == made);
  CHECK(made->sched.stop(detail::sync::never));
  const unsigned number = made->number;
  delete made;
  CHECK(host_of(number) == nullptr);
}
