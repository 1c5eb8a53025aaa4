// SPDX-License-Identifier: Apache-2.0
//
// thread_block: what the library keeps for each OS thread, worker or not: who runs on it, its caches, its budget. Reached
// only through `here()`, never kept over a switch: a fiber may go on on another thread (docs/internals/fibers.md).
//
// Only its own thread touches it.
#pragma once

#include <coppice/base/detail/sync.hpp>
#include <coppice/runtime/detail/epoch.hpp>

#include "runtime/fiber.hpp"
#include "runtime/slab.hpp"
#include "runtime/thread_counts.hpp"

#include <cstdint>

namespace coppice::detail {
struct slot;
}

namespace coppice::internal {

class scheduler;
struct worker;

struct thread_block : detail::reader {  // first: detail::this_reader() takes the one for the other
  thread_block();
  ~thread_block();

  worker* at = nullptr;                 // the worker this thread is, or null
  detail::slot* process = nullptr;      // the process that runs now, or null
  fiber* on = nullptr;                  // the fiber that runs now, or null: the thread's own stack
  exception_state& exceptions = this_thread_exceptions();  // one address for the thread's whole life
  int budget = 0;                       // reductions left
  int accounted = 0;                    // the budget at the last account
  std::uint64_t done = 0;               // reductions spent and messages handled, by everybody who ran here
  int nested = 0;                       // signals acted on for others, one inside the other
  unsigned home = 0;                    // the runtime a plain thread chose, by number; 0: the default one
  std::uint64_t leaving = 0;            // the wait that the fiber which just left wants committed
  std::int64_t clock = 0;               // the last look at the clock, for "since when"
  std::uint64_t next_serial = 0;        // the range that pids and references are drawn from
  std::uint64_t last_serial = 0;
  std::uint64_t random = 0;
  fiber_cache fibers;
  fiber* warm = nullptr;                // an idle fiber of the usual size
  block_cache blocks;
  slot_cache slots;
  pool_cache replies;                   // reply slots: type-stable
  pool_cache timers;                    // type-stable, too
  void* leaf_call = nullptr;            // the record of the direct call whose leaf handler runs now: who called it
  detail::slot* proxy = nullptr;        // the hidden process of a plain thread
  scope_head* scope = nullptr;          // fiber::scope of what runs on the thread's own stack
  void* member = nullptr;               // of a pool of threads, which an upper room keeps: what it knows of this thread
  std::int64_t* stopwatch = nullptr;    // where the time that the next action of an agent takes goes to, in ns, if somebody wants to know
  void* keepsake = nullptr;             // something that an upper room keeps with the thread …
  void (*drop_keepsake)(void*) noexcept = nullptr;  // … and wants back at its end
  thread_counts counts;

  /// A number that was never given out in this program.
  std::uint64_t serial() noexcept {
    if (next_serial == last_serial) refill_serials();
    return next_serial++;
  }
  std::uint32_t dice() noexcept {
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    return static_cast<std::uint32_t>(random >> 32);
  }

 private:
  void refill_serials() noexcept;
};

thread_block& make_block();

/// The calling thread's block, made at first use.
inline thread_block& here() noexcept {
  void* b = detail::sync::this_thread_block();
  return b != nullptr ? *static_cast<thread_block*>(b) : make_block();
}

inline void count(counted what, std::uint64_t n = 1) noexcept { here().counts.add(what, n); }

/// Called when a thread that has a proxy ends. Installed by the process room.
extern void (*retire_proxy)(thread_block&) noexcept;

}  // namespace coppice::internal
