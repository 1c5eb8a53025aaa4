// SPDX-License-Identifier: Apache-2.0
//
// Each planted fault (src/runtime/planted.hpp), switched on alone, is found by the scenario of its mechanism within 1,000
// seeds. What is printed: the first seed that found it and the share of seeds that do, so that a scenario that grows blind
// is seen before it is.
#include "runtime/planted.hpp"
#include "sim/driver.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdio>

namespace {

namespace sim = coppice::internal::sim;
namespace planted = coppice::internal::planted;

struct row {
  planted::fault fault;
  const char* name;
  const char* scenario;
};

constexpr row table[] = {
    {planted::release_by_store, "release by store", "mailbox_two_senders"},
    {planted::chain_not_reversed, "chain not reversed", "mailbox_two_senders"},
    {planted::serial_unchecked_on_claim, "serial unchecked on claim", "mailbox_stale_pid"},
    {planted::serial_unchecked_on_node, "serial unchecked on a node", "mailbox_stale_pid"},
    {planted::commit_before_context, "fiber stored after the commit", "wait_commit_against_wake"},
    {planted::fiber_left_after_commit, "fiber left after a failed commit", "wait_commit_against_wake"},
    {planted::wake_without_exchange, "wake without exchange", "wait_wake_against_signal"},
    {planted::wake_without_second_look, "who is awake for another reason is not looked at again", "reply_or_signal"},
    {planted::commit_without_recheck, "commit without a look at the inbox", "wait_signal_against_commit"},
    {planted::thread_asked_late, "asked late whether a waiter is a thread", "wait_thread_leaves"},
    {planted::wait_without_serial, "wake without the wait's number", "wait_timeout_against_wake"},
    {planted::reply_claimed_by_store, "reply claimed by store", "reply_against_death"},
    {planted::timeout_by_store, "time limit by store", "reply_against_timeout"},
    {planted::waiter_read_late, "waiter read after the reply was published", "reply_against_timeout"},
    {planted::down_before_names_freed, "DOWN before names are free", "signal_names_before_down"},
    {planted::unlink_without_id, "unlink without its link's id", "signal_link_both_ways"},
    {planted::park_without_recheck, "park without a second look", "scheduler_push_from_thread"},
    {planted::announce_after_recheck, "announced after the second look", "scheduler_push_from_thread"},
    {planted::lifo_by_load_store, "slot emptied while its owner is there", "scheduler_slot_and_thief"},
    {planted::lifo_without_fence, "slot emptied before the owner's mark is seen", "scheduler_slot_and_thief"},
    {planted::steal_twice, "stolen by load and store", "scheduler_almost_stuck"},
    {planted::lifo_overwritten, "slot overwritten when full", "scheduler_push_from_worker"},
    {planted::look_before_push, "sleepers looked for before the push", "scheduler_push_from_thread"},
    {planted::wake_without_fence, "sleepers looked for without a fence", "scheduler_push_from_worker"},
    {planted::look_before_start, "sleeper looked for before the timer was started", "scheduler_foreign_timer"},
    {planted::timer_fires_cancelled, "a cancelled timer fires", "timer_cancel_against_fire"},
    {planted::timers_outlive_serial, "a process is dead before its timers are gone", "timer_addressee_killed"},
    {planted::push_relaxed, "push relaxed", "mailbox_two_senders"},
    {planted::drain_relaxed, "drain relaxed", "mailbox_two_senders"},
    {planted::claim_relaxed, "claim relaxed", "mailbox_direct_call"},
    {planted::release_relaxed, "release relaxed", "mailbox_direct_call"},
    {planted::every_push_schedules, "every push schedules", "wait_receive_against_push"},
    {planted::reply_relaxed, "reply published relaxed", "reply_against_death"},
    {planted::guard_without_fence, "a guard entered without a fence", "epoch_forced"},
    {planted::lagging_reader_passed_over, "a reader that lags is passed over", "epoch_read_against_reset"},
    {planted::freed_one_epoch_early, "freed one epoch early", "epoch_read_against_reset"},
    {planted::roll_back_by_store, "a word that was taken is set free by its former owner", "transaction_killing"},
    {planted::doomed_forgotten, "a doomed body commits", "transaction_catching"},
    {planted::publishing_not_awaited, "half of a commit is read", "transaction_transfers"},
    {planted::killed_while_committing, "a word is taken from one who commits", "transaction_killing"},
    {planted::version_unchecked, "a write on top of a commit that was not seen", "transaction_catching"},
    {planted::kill_unseen, "one who was killed commits", "transaction_killing"},
    {planted::action_pushed_relaxed, "an action queued relaxed", "agent_two_senders"},
    {planted::change_without_fence, "observers looked for before the change is seen", "agent_first_watch"},
    {planted::agent_released_by_store, "an agent given up with what was just sent to it", "agent_while_sending"},
    {planted::soon_unseen, "what was to be taken back is not seen before sleep", "agent_not_awaited"},
    {planted::soon_left, "what was to be taken back is left by who takes something else", "agent_beside_one_that_waits"},
    {planted::turns_left, "the turns of a thread that is kept are left with it", "agent_kept_turns"},
    {planted::turns_taken_from_present, "turns are taken from a thread that is there", "agent_turns_at_shutdown"},
    {planted::lent_past_executor, "an action run by who awaits, though sent elsewhere", "agent_lent"},
    {planted::restart_without_run, "a restarted agent is not run", "agent_restart"},
    {planted::settled_relaxed, "a future settled relaxed", "future_two_deliver"},
    {planted::view_left_uncounted, "a fiber leaves its stack with an uncounted view", "epoch_view_over_wait"},
    {planted::result_waited_by_store, "an owner's wait by store", "result_end_against_wait"},
    {planted::result_done_by_store, "a task's end by store", "result_end_against_wait"},
    {planted::result_done_relaxed, "a task's end relaxed", "result_end_against_wait"},
    {planted::abandoned_by_store, "a result given up by store", "result_end_against_loss"},
    {planted::owner_read_late, "the owner read after the task's end", "result_end_against_wait"},
    {planted::listed_without_wake, "put on the list without a wake", "result_many_against_ends"},
    {planted::announced_by_store, "an owner's wait for the list by store", "result_many_against_ends"},
    {planted::stop_waits_for_link, "a stop waits for the link", "supervisor_unlinked_while_stopped"},
    {planted::child_not_linked, "a child is not linked", "supervisor_start_against_kill"},
    {planted::retry_without_attempt, "a cancelled attempt is made", "supervisor_stopped_while_restarting"},
    {planted::linked_swept_unheard, "a linked task that failed is forgotten unheard", "result_linked_fails"},
    {planted::permit_waited_by_store, "a task's wait for its permit by store", "result_permitted"},
    {planted::permit_without_wake, "a permit without a wake", "result_permitted"},
    {planted::registry_open_unchecked, "a registry that has ended takes registrations", "registry_end_against_register"},
    {planted::registry_slot_emptied, "a slot is emptied before others that are in use", "registry_passes_on"},
    {planted::left_to_sleepers, "work is left to workers that all sleep", "scheduler_left_to_sleepers"},
    {planted::retired_with_slot, "a spare worker parks with what lies in its LIFO slot", "scheduler_spare_retires"},
    {planted::left_alone_while_stuck, "what a worker holds is for it alone although it stands still", "scheduler_left_alone"},
    {planted::lanes_out_of_sight, "the lanes of priorities are not looked at before sleep", "scheduler_lanes"},
    {planted::starter_counted_twice, "a starter counts twice", "parallel_start_starter_killed"},
    {planted::starter_unguarded, "a starter outlives its supervisor", "parallel_start_supervisor_killed"},
    {planted::cancelled_timeout_kept, "a cancelled timeout is kept", "machine_timers"},
    {planted::pump_behind_mail, "what is in line comes behind the mailbox", "machine_timers"},
    {planted::postponed_forgotten, "postponed calls are forgotten at the end", "machine_ends"},
    {planted::receipt_by_load_store, "a receipt counted by load and store", "event_distant_handlers"},
    {planted::handler_failure_ends_event, "an event ends at a handler that fails", "event_come_and_go"},
    {planted::word_before_number, "a word is stored before the number of its version", "transaction_looks"},
    {planted::passive_by_store, "a reader that has come back is made passive", "epoch_come_and_go"},
    {planted::notice_put_over_reading, "an owner comes back while its socket is read for it", "notice_owner_is_called"},
    {planted::look_unmentioned, "a worker meets the monitor's look at the sockets", "poller_one_worker"},
    {planted::notice_not_again, "what arrives behind a notice is not told", "notice_all_is_read"},
    {planted::partition_unchecked, "a partition's serial is not looked at again", "partition_read_against_put"},
};

}  // namespace

TEST_CASE("each planted fault is found") {
  for (const row& r : table) {
    const sim::planted_fault named(r.fault, r.name);
    const sim::discovery d = sim::find_fault(r.scenario, r.fault);
    std::puts(d.summary.c_str());
    CHECK_MESSAGE(d.found(), d.summary);
  }
}

TEST_CASE("no planted fault is without a scenario") {
  std::array<bool, planted::count> looked_for{};
  for (const row& r : table) looked_for.at(r.fault) = true;
  for (int fault = 1; fault != planted::count; ++fault) CHECK_MESSAGE(looked_for.at(static_cast<std::size_t>(fault)), "fault ", fault);
}
