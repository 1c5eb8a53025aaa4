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
TEST_CASE("PR-49 of reply, death and time limit one wins; GS-38 a late reply lands nowhere") {
  check({"reply_against_death", "reply_against_timeout", "reply_late_answers"});
}
TEST_CASE("EX-2 EX-11 of a task's end, its owner's wait, a time limit and a loss of interest each is seen, no value is lost") {
  check({"result_end_against_wait", "result_end_against_loss", "result_many_against_ends"});
}
TEST_CASE("EX-3 EX-8 owners and tasks that are killed leave no process, no message, and no task beyond its scope") {
  check({"result_owner_killed", "result_task_dies", "result_group_killed"});
}
TEST_CASE("EX-5 EX-44 an owner that does not trap exits ends by the failure of its task; SV-134 a task waits until its owner knows it") {
  check({"result_linked_fails", "result_permitted"});
}
TEST_CASE("EX-42 EX-43 EX-45 a stream yields each result once, in order, and leaves no task behind") {
  check({"result_stream_read", "result_stream_killed"});
}
TEST_CASE("PR-40 each death is heard of once; PR-33, PR-44 what was taken back does not fire; PR-15 names are free by then") {
  check({"signal_both_die", "signal_unlink_against_exit", "signal_link_both_ways", "signal_demonitor_against_death",
         "signal_names_before_down", "signal_many_exits"});
}
TEST_CASE("no wake-up is lost, by a worker that parks or by stop()") {
  check({"scheduler_push_from_thread", "scheduler_push_from_worker", "scheduler_push_pinned", "scheduler_foreign_timer",
         "scheduler_stop_idle"});
}
TEST_CASE("what a stuck worker holds runs elsewhere, once") {
  check({"scheduler_stuck_worker", "scheduler_spare_worker", "scheduler_spare_retires", "scheduler_almost_stuck"});
}
TEST_CASE("a worker that is left alone, or made to stand aside, keeps nothing from being run") { check({"scheduler_left_alone", "scheduler_left_to_sleepers"}); }
TEST_CASE("what arrives at a socket is read once, by its owner or for it") { check({"notice_all_is_read", "notice_owner_is_called"}); }
TEST_CASE("whatever happens to a socket, somebody comes and tells its owner") { check({"poller_one_worker", "poller_two_workers"}); }
TEST_CASE("PR-80 no timer is early, none is slept past; PR-81 a cancelled one does not fire; PR-82 the dead have none") {
  check({"timer_foreign_start", "timer_own_start", "timer_cancel_against_fire", "timer_addressee_ends",
         "timer_addressee_killed"});
}
TEST_CASE("SV-20 SV-23 SV-50 SV-60 a tree under a storm comes to rest: nobody is orphaned, no name held by a stranger, no call forgotten") {
  check({"chaos_one_for_one", "chaos_one_for_all", "chaos_rest_for_one"});
}
TEST_CASE("EX-82 EX-88 the dead hold no key; EX-89 who gets into a registry that ends is told; EX-92 a lock; EX-95 readers") {
  check({"registry_passes_on", "registry_grows", "registry_death_against_register", "registry_end_against_register",
         "registry_lock_and_kill"});
}
TEST_CASE("servers call one another on two workers, one is killed, all end") { check({"whole_servers"}); }
TEST_CASE("SV-50 SV-51 a child that is stopped ends once, however it ends; SV-26 no end of a child goes unseen") {
  check({"supervisor_dies_while_stopped", "supervisor_unlinked_while_stopped", "supervisor_start_against_kill"});
}
TEST_CASE("SV-42 an attempt that was cancelled is not made; a replacement has the name at the first attempt") {
  check({"supervisor_stopped_while_restarting", "supervisor_restart_against_name"});
}
TEST_CASE("SV-15 children that start in parallel: one fails, dies, loses its starter, or all lose their supervisor; nobody is forgotten") {
  check({"parallel_start_one_fails", "parallel_start_one_dies", "parallel_start_starter_killed", "parallel_start_supervisor_killed"});
}
TEST_CASE("SE-12 SE-34 of a machine's events none is lost, doubled or overtaken, no cancelled timeout comes; SE-41 who waits hears of its end") {
  check({"machine_timers", "machine_ends"});
}
TEST_CASE("SE-62 SE-68 SE-69 handlers come, are swapped, crash and go: no event is lost, sync_notify comes back when all have seen it") {
  check({"event_come_and_go", "event_distant_handlers", "event_supervised"});
}
TEST_CASE("SV-122 SV-123 the way to a partition that is restarted never leads to a mixture of two") {
  check({"partition_read_against_put", "partition_restarted_while_asked", "partition_resized_while_asked"});
}
TEST_CASE("AT-1 what a reader looks at is not freed; AT-2, AT-10 swaps and resets make one chain") {
  check({"epoch_read_against_reset", "epoch_announced", "epoch_forced", "epoch_come_and_go", "epoch_view_over_wait", "epoch_swap"});
}
TEST_CASE("TX-2, TX-3 commits are seen whole and none is lost; TX-9 ensure; TX-13 a killed writer; TX-15 a body that catches all") {
  check({"transaction_transfers", "transaction_looks", "transaction_boxed", "transaction_opposite_orders", "transaction_barging", "transaction_killing", "transaction_killed_at_first", "transaction_catching", "transaction_ensuring"});
}
TEST_CASE("AG-6 each action runs once and in order; AG-34 a restarted agent goes on; AG-39 await") {
  check({"agent_two_senders", "agent_while_sending", "agent_restart", "agent_held_sends", "agent_lent", "agent_not_awaited",
         "agent_beside_one_that_waits"});
}
TEST_CASE("FU-4 PM-2 PM-4 of deliveries, ends and cancellations one wins, and all who wait hear of it; FU-7 a loop that is left") {
  check({"future_two_deliver", "future_cancelled_at_the_end", "future_gone_undelivered", "future_left_early"});
}
TEST_CASE("DL-1 DL-4 a delay's function runs once, and delays that ask for each other lock nobody up") {
  check({"future_two_ask_a_delay", "future_ring_of_delays"});
}
