// SPDX-License-Identifier: Apache-2.0
//
// The mechanisms of the runtime, each under every interleaving and the whole memory model. The scenarios are beside this file.
#include "sim/driver.hpp"

#include <doctest/doctest.h>

#include <initializer_list>

namespace {

namespace sim = coppice::internal::sim;

void check(std::initializer_list<const char*> scenarios) {
  for (const char* scenario : scenarios) {
    const sim::verdict v = sim::seeds(scenario);
    CHECK_MESSAGE(v.passed(), v.report);
  }
}

}  // namespace

TEST_CASE("PR-52 of one sender nothing is lost, doubled or overtaken; a direct call overtakes nothing") {
  check({"mailbox_two_senders", "mailbox_direct_call"});
}
TEST_CASE("PR-1 the next tenant of a slot gets nothing that was meant for the one before") { check({"mailbox_stale_pid"}); }
TEST_CASE("a wait meets every wake, signal and message, and is ended by no other wait's") {
  check({"wait_commit_against_wake", "wait_wake_against_signal", "wait_signal_against_commit", "wait_receive_against_push",
         "wait_timeout_against_wake", "wait_thread_waits", "wait_thread_leaves"});
}
