// SPDX-License-Identifier: Apache-2.0
//
// result_place: the place that a task's end, its owner's wait and the owner's loss of interest compete for.
//
// The word: {what : 61, phase : 3}
//     running    nobody waits
//     waited     the owner's wait of the number `what` is to be ended
//     listed     the place is to be put on the done_list at `what`
//     abandoned  nobody wants it: the task gives it back
//     done       the task has ended: the place is the owner's alone
//   running|waited -> waited (a new wait), listed (yield_many), abandoned: the owner, by compare-and-swap
//   listed -> listed (another list), running: the owner, by compare-and-swap
//   running|waited|listed|abandoned -> done: the task, once, by exchange: what it finds there says what is left to do.
//
// Invariants
//   1. Before `done` the value, the reason and the exception are the task's; after it, with acquire, the owner's.
//   2. After its exchange the task touches the place only if that found `listed` or `abandoned`.
//   3. A done_list outlives the places that point to it: who takes one off the list (collects it) knows that its task is through.
//   4. Whoever is woken is named by slot and wait number, both read before the exchange: slots are never given back.
#pragma once

#include <coppice/process/detail/result_place.hpp>

#include "process/mailbox.hpp"

namespace coppice::internal {
class done_list;
}

namespace coppice::detail {

struct result_place {
  enum phase : std::uint64_t { running = 0, waited = 1, listed = 2, abandoned = 3, done = 4 };

  sync::atomic<std::uint64_t> word{0, "result"};
  sync::var<pid> owner{pid(), "owner"};          // set before the task starts
  pid task{};                                    // the same; none: there is no task
  const result_type* type = nullptr;
  exit_reason reason{};                          // why the task ended
  std::exception_ptr exception{};                // what it failed with, if that was an exception
  result_place* next = nullptr;                  // on a done_list
  internal::done_list* home = nullptr;           // owner only: the list of its group, if it has one
  std::uint32_t index = 0;                       // owner only: the group's or the stream's
  std::uint16_t bytes = 0;                       // of the block; 0: from the heap
  std::uint8_t offset = 0;                       // of the value
  bool linked = false;                           // the task's end is told to the owner as a linked process's
  /// Of a task that another process spawns for the owner: whether it may run. 0: not decided, and nobody waits; {the task's wait
  /// number, 1}: it waits to be told; `allowed`, `refused`.
  sync::atomic<std::uint64_t> permit{allowed, "permit"};
  static constexpr std::uint64_t undecided = 0, allowed = 2, refused = 4;
  sync::var<bool> has_value{false, "has value"};
  bool collected = false;                        // owner only: taken off its list
  bool taken = false;                            // owner only: the result was taken
  sync::atomic<std::uint8_t> holders{1};         // on the owner's side: the handle and, perhaps, a group
};

}  // namespace coppice::detail

namespace coppice::internal {

using detail::result_place;

inline std::uint64_t place_word(std::uint64_t what, result_place::phase p) noexcept { return what << 3 | p; }
inline result_place::phase phase_of(std::uint64_t word) noexcept { return static_cast<result_place::phase>(word & 7); }

/// Where finished tasks of one owner are put, so that it finds them without looking at all of them.
///
/// The word: 0 empty; an odd number {wait number, 1}: empty, and the owner waits; else the newest place, linked by `next`.
/// Thread: push any; everything else the owner only.
class done_list {
 public:
  done_list() noexcept = default;
  done_list(const done_list&) = delete;
  done_list& operator=(const done_list&) = delete;

  /// The task's last touch of the list.
  void push(result_place& p, slot& owner) noexcept;
  bool has_some() const noexcept {
    const std::uintptr_t word = word_.load(sync::acquire);
    return word != 0 && (word & 1) == 0;
  }
  /// All that is there, the oldest first, linked by `next`; the acquire makes their values seen.
  result_place* take_all() noexcept;
  /// The owner's wait of this number is to be ended by the next push. False: something is there already.
  bool announce(std::uint64_t number) noexcept;

  /// Told of each place whose home this list is, when it is collected; the place may be gone afterwards.
  void (*note)(done_list& home, result_place& p) noexcept = nullptr;

 private:
  sync::atomic<std::uintptr_t> word_{0, "done list"};
};

/// Whether the task has ended. For places that are on no list.
inline bool is_done(const result_place& p) noexcept { return phase_of(p.word.load(sync::seq_cst)) == result_place::done; }
/// The owner's wait of this number is to be ended by the task's end. True: it has ended already.
bool is_done_or_waited(result_place& p, std::uint64_t number) noexcept;
/// Before the task starts, or while it is on another list of the owner's. False: it has ended, and is or will be on that one.
bool put_on_list(result_place& p, done_list* list) noexcept;

/// The owner lets go of a place: given back by whoever is last.
void release_place(result_place* p) noexcept;
/// Gives back a place that no task will ever touch again.
void discard_place(result_place* p) noexcept;

/// From spawn: `child` computes for the place. `parent` is null for a plain thread.
void bind_place(result_place& p, slot& child, slot* parent);
/// The owner, after somebody else has spawned the task: it is linked, if it is to be, and runs.
void permit_task(result_place& p);
/// The same: it must not run.
void refuse_task(result_place& p) noexcept;
/// The place of an owned process; null: it has none.
result_place* place_of(slot& s) noexcept;
/// Ends an owner that is linked to the failed task and does not trap exits. Before complete_place, in the task's slot.
void fire_result_link(const result_place& p, const exit_reason& why) noexcept;
/// The task has ended; nothing of it exists any more.
void complete_place(result_place& p, const exit_reason& why) noexcept;
/// Forgets that `task` is linked to the owned `owner`. True: it was.
bool forget_task(slot& owner, pid task) noexcept;
/// The same by anybody, before he ends the task.
void unlink_task(pid owner, pid task) noexcept;

/// Whom a task counts as its callers, nearest first (EX-17). Owner only.
std::vector<pid> callers_of(const slot& s);

}  // namespace coppice::internal
