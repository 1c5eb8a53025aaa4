// SPDX-License-Identifier: Apache-2.0
//
// planted: the faults that the simulation switches on, one at a time, to prove that it would find them. Each is named
// after what the code then does wrong; `sync::fault(...)` is constexpr false outside the simulation.
#pragma once

#include <coppice/base/detail/sync.hpp>

namespace coppice::internal::planted {

enum fault : int {
  guard_without_fence = 1,    // the public header of epochs names it by this number
  change_without_fence = 2,   // the public header of agents names it by this number
  park_without_recheck,
  announce_after_recheck,
  commit_before_context,      // the wait is published before the fiber is stored
  fiber_left_after_commit,    // a failed commit leaves the fiber in the slot
  wake_without_exchange,
  wake_without_second_look,   // who is awake for another reason is not looked at again after the fence
  commit_without_recheck,     // a waiter does not look for signals after its commit
  wait_without_serial,
  thread_asked_late,          // whether a waiter is a thread, asked when it may be gone
  release_by_store,
  serial_unchecked_on_claim,
  serial_unchecked_on_node,
  chain_not_reversed,
  reply_claimed_by_store,
  timeout_by_store,
  waiter_read_late,
  down_before_names_freed,
  unlink_without_id,
  lifo_by_load_store,         // a thief empties the slot although the owner is there
  lifo_without_fence,         // the owner looks for a thief before its own mark is seen
  steal_twice,
  lifo_overwritten,           // what was in the slot is forgotten
  look_before_push,           // whether somebody sleeps, asked before the work is there
  wake_without_fence,
  look_before_start,          // how long the worker sleeps, asked before the timer is there
  timer_fires_cancelled,
  timers_outlive_serial,      // a process is dead for others while its timers are not dropped yet
  push_relaxed,
  drain_relaxed,
  claim_relaxed,
  release_relaxed,
  every_push_schedules,
  reply_relaxed,
  stop_waits_for_link,        // a supervisor waits for a child's EXIT instead of its DOWN
  child_not_linked,           // a child that a function started is taken as linked
  retry_without_attempt,      // an attempt that was cancelled starts the child all the same
  lagging_reader_passed_over, // the epoch moves on although a reader may still look
  freed_one_epoch_early,
  roll_back_by_store,         // a word that a killer has taken is given free by its victim
  doomed_forgotten,           // a body that catches the signal to begin anew may commit
  publishing_not_awaited,     // a reader sees one half of a commit
  killed_while_committing,    // a word is taken from one who commits
  version_unchecked,          // a writer does not see what was committed since its snapshot
  kill_unseen,                // one who commits does not look whether it was killed
  action_pushed_relaxed,
  agent_released_by_store,    // a runner gives its agent up with what was sent a moment ago
  soon_unseen,                // who goes to sleep does not look at what is given to be taken back
  soon_left,                  // who takes something else leaves it where it is
  turns_left,                 // who naps does not see to the jobs of a thread that is kept by one
  turns_taken_from_present,   // a thread's jobs are taken away while it takes one itself
  lent_past_executor,         // who awaits an agent runs what was sent to another executor, too
  restart_without_run,        // a parked agent is not handed over by its restart
  settled_relaxed,            // a future is there before its value is
  view_left_uncounted,        // a fiber leaves its stack with a view, and nothing holds what that shows
  result_waited_by_store,     // an owner's wait overwrites the end of its task
  result_done_by_store,       // a task's end overwrites its owner's wait
  result_done_relaxed,
  abandoned_by_store,         // who gives a result up overwrites the end of the task
  owner_read_late,            // the owner of a place, read when the place may be gone
  listed_without_wake,
  announced_by_store,         // an owner's wait overwrites what is on its list
  linked_swept_unheard,       // a task that failed is forgotten before its owner, who is linked to it, has heard of it
  permit_waited_by_store,     // a task's wait for its owner's leave overwrites that leave
  permit_without_wake,
  registry_open_unchecked,    // a registry that has ended takes registrations
  registry_slot_emptied,      // although a key behind it is found past it
  lanes_out_of_sight,         // who goes to sleep does not look at the lanes of priorities
  left_to_sleepers,           // work is left to workers that all sleep
  left_alone_while_stuck,     // what a worker holds is for it alone although it stands still
  retired_with_slot,          // a spare worker parks with what lies in its LIFO slot
  starter_counted_twice,      // a starter that is killed after it has handed its child over counts for two
  starter_unguarded,          // a starter goes on waiting for a child whose supervisor has ended
  cancelled_timeout_kept,     // a machine keeps a timeout that it cancels, unless its timer can still be stopped
  pump_behind_mail,           // what a machine has in line comes behind its mailbox
  postponed_forgotten,        // a machine that ends does not answer the calls that it has postponed
  receipt_by_load_store,      // who holds the receipt of a sync_notify is counted by load and store
  handler_failure_ends_event, // the handlers behind one that fails do not get the event
  partition_unchecked,        // a reader takes a place and a serial that do not belong together
  word_before_number,         // a reader takes a ref's new value for that of the version before
  passive_by_store,           // a reader that has just come back is taken for one that is away
  notice_put_over_reading,    // a socket's owner comes back while it is being read for it
  look_unmentioned,           // a worker that met the monitor thread's look at the sockets sleeps where no socket wakes it
  notice_not_again,           // what arrives while a notice is under way is not told to the owner
  count
};

inline bool is(fault f) noexcept { return detail::sync::fault(static_cast<int>(f)); }

}  // namespace coppice::internal::planted
