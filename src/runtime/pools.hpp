// SPDX-License-Identifier: Apache-2.0
//
// pools: the memory that outlives every runtime: message nodes, process slots, timers. One set for the program, made at first
// use and never destroyed, so that a stale pid always meets a constructed slot, whichever runtime it came from.
#pragma once

#include "runtime/fiber.hpp"
#include "runtime/slab.hpp"
#include "runtime/timer_wheel.hpp"

#include <vector>

namespace coppice::internal {

/// Timer wheels, type-stable: a worker's goes to another worker when the runtime is gone.
class wheel_depot {
 public:
  wheel_depot() = default;
  ~wheel_depot();
  wheel_depot(const wheel_depot&) = delete;
  timer_wheel& take();
  void give(timer_wheel& empty);

 private:
  sync::spinlock lock_;
  std::vector<timer_wheel*> spare_;
};

struct pools {
  static constexpr std::size_t timer_bytes = 64;

  pools(construct_block make_slot, construct_block make_reply, construct_block make_timer)
      : slots(make_slot),
        proxies({.block_bytes = slot_arena::sizes[0], .construct = make_slot}),
        replies({.block_bytes = 64, .construct = make_reply}),
        timers({.block_bytes = timer_bytes, .construct = make_timer}) {}
  block_depot nodes;
  slot_arena slots;
  // The hidden processes of plain threads. Never a process's slot: what was sent to one that ended, a moment too late, would
  // wait until that thread looks at its mailbox, and a caller for its answer as long.
  block_pool proxies;
  block_pool replies;
  block_pool timers;
  fiber_pool fibers;
  wheel_depot wheels;
};

pools& program_pools();
/// Starts over with new pools; the old ones are left behind. Only for the simulation, between two runs.
void renew_program_pools();
/// Gives the pools back. Only for the simulation, at the end of a run: no thread's block is left, no process lives.
void drop_program_pools();
/// Construct a slot's control block, a reply slot, and a timer in a fresh block. The process room tells before the first use.
extern construct_block make_slot;
extern construct_block make_reply;
extern construct_block make_timer;

}  // namespace coppice::internal
