// SPDX-License-Identifier: Apache-2.0
//
// fiber: a stack with something that runs on it. Handlers run to completion on a *pooled* fiber; only one that blocks in
// the middle keeps it. To enter and to leave is one switch each.
//
//   enter(f, job, argument) -> done        job returned; f may go back to the pool
//                           -> blocked     job called suspend(f); the caller commits the wait, then leaves f alone
//                           -> abandoned   job called abandon(f); the stack is leaked on purpose and never used again
//   resume(f)               -> the same three, for a fiber that is blocked; any thread
//
// Thread: a fiber is touched by one thread at a time. enter and resume return on the thread that called them, however
// deep they nest; only suspend may return on another one. So a thread-local address is stale after suspend and sound
// after enter and resume.
//
// Invariants
//   1. state: idle -> running (enter) -> idle (job returned) | suspended (suspend) | abandoned (abandon);
//      suspended -> running (resume). Nothing leads out of abandoned.
//   2. A fiber is resumed only after its context is saved: the wait is committed by whoever enter or resume returned
//      *blocked* to, never by the fiber itself before suspend. After the commit the committer touches it no more.
//   3. The C++ exception state of the thread (caught exceptions, count of uncaught ones) belongs to what runs. enter and
//      resume set the caller's aside and give it back; a suspended fiber keeps its own in `exceptions`.
//   4. A fiber lives at the top of its own stack and is found from the stack alone (fiber_pool::at); its memory is never
//      given back while its pool lives, so its address may be compared and read for ever.
//   5. No exception leaves a job (std::terminate).
//
// Design note: docs/internals/fibers.md.
#pragma once

#include "context_switch.hpp"
#include "runtime/stack_pool.hpp"
#include "sanitizer_fiber.hpp"

#include <coppice/base/detail/sync.hpp>
#include <cstddef>
#include <cstdint>

namespace coppice::internal {

class fiber_pool;

/// What enter and resume report.
enum class fiber_outcome : std::uint8_t { done, blocked, abandoned };

/// What a fiber is at; see invariant 1. The first three are the outcomes, in their order.
enum class fiber_state : std::uint8_t { idle, suspended, abandoned, running };

/// A thread's C++ exception state as the common C++ ABI lays it out behind __cxa_get_globals.
struct exception_state {
  void* caught = nullptr;       // chain of the exceptions in whose handlers the thread is
  unsigned int uncaught = 0;    // thrown and not yet caught

  bool is_clear() const noexcept { return caught == nullptr && uncaught == 0; }
};

/// The calling thread's exception state; one address per thread, for its whole life. Out of line because the compiler
/// takes that address for constant, which a switch to another thread refutes. Cost: about 1 ns.
[[gnu::noinline]] exception_state& this_thread_exceptions() noexcept;

using fiber_job = void (*)(void* argument);

struct scope_head;  // scope.hpp

struct alignas(64) fiber {
  context self;     // where this fiber goes on while it is left
  context resumer;  // where its resumer goes on while it runs

  fiber_job job = nullptr;
  void* argument = nullptr;
  sync::var<fiber_state> state{fiber_state::idle};
  stack_class size = stack_class::k64;
  bool is_cold = false;             // its pages but the top one have been given back
  void* process = nullptr;          // who runs here, for reports; null: nobody. Upkeep: the upper room
  void* user = nullptr;             // the upper room's word
  scope_head* scope = nullptr;      // what runs here is inside of: a transaction, an agent's action. Upkeep: the room state
  sync::var<fiber*> next{nullptr};  // link of a free list, or the upper room's
  exception_state exceptions;       // of a suspended fiber; otherwise clear
  std::byte* bottom = nullptr;      // lowest usable byte of the stack
  std::byte* top = nullptr;         // one past its highest byte
  fiber_pool* pool = nullptr;
  [[no_unique_address]] sanitizer_fiber sanitizer;
};

namespace fiber_detail {

/// To the fiber and back. The calling thread's exception state must be the fiber's.
[[gnu::always_inline]] inline fiber_state visit(fiber& f) noexcept {
  f.state = fiber_state::running;
  f.sanitizer.before_enter();
  switch_context(f.resumer, f.self);
  f.sanitizer.after_leave();
  sync::switch_point();
  return f.state;
}

/// The rarer ends of a visit.
void count_abandoned(fiber& f) noexcept;
fiber_outcome enter_from_handler(fiber& f, fiber_job job, void* argument, exception_state& thread) noexcept;
fiber_outcome resume_from_handler(fiber& f, exception_state& thread) noexcept;

[[gnu::always_inline]] inline fiber_outcome settle(fiber& f, fiber_state left_as, exception_state& thread) noexcept {
  if (left_as == fiber_state::idle) [[likely]] return fiber_outcome::done;
  if (left_as == fiber_state::suspended) {
    if (!thread.is_clear()) [[unlikely]] {
      f.exceptions = thread;
      thread = {};
    }
    return fiber_outcome::blocked;
  }
  thread = {};
  count_abandoned(f);
  return fiber_outcome::abandoned;
}

}  // namespace fiber_detail

/// Runs `job(argument)` on the idle fiber `f` until it returns or leaves. `thread` is this_thread_exceptions().
/// Cost: two switches.
[[nodiscard]] inline fiber_outcome enter(fiber& f, fiber_job job, void* argument, exception_state& thread) noexcept {
  if (!thread.is_clear()) [[unlikely]] return fiber_detail::enter_from_handler(f, job, argument, thread);
  f.job = job;
  f.argument = argument;
  return fiber_detail::settle(f, fiber_detail::visit(f), thread);
}
[[nodiscard]] inline fiber_outcome enter(fiber& f, fiber_job job, void* argument) noexcept {
  return enter(f, job, argument, this_thread_exceptions());
}

/// Goes on with the suspended fiber `f`, which this thread has won. `thread` is this_thread_exceptions().
[[nodiscard]] inline fiber_outcome resume(fiber& f, exception_state& thread) noexcept {
  if (!thread.is_clear()) [[unlikely]] return fiber_detail::resume_from_handler(f, thread);
  if (!f.exceptions.is_clear()) [[unlikely]] {
    thread = f.exceptions;
    f.exceptions = {};
  }
  return fiber_detail::settle(f, fiber_detail::visit(f), thread);
}
[[nodiscard]] inline fiber_outcome resume(fiber& f) noexcept { return resume(f, this_thread_exceptions()); }

/// Leaves the running fiber `self` to whoever entered or resumed it, with `blocked`. Returns when resumed, perhaps on
/// another thread: no thread-local address may be kept across.
inline void suspend(fiber& self) noexcept {
  self.state = fiber_state::suspended;
  self.sanitizer.before_leave();
  switch_context(self.self, self.resumer);
  self.sanitizer.after_enter();
}

/// Leaves the running fiber `self` for ever, with `abandoned`. Nothing is unwound.
[[noreturn]] void abandon(fiber& self) noexcept;

struct fiber_pool_options {
  stack_pool_options stacks = {};
  std::uint32_t warm_idle = 1024;  // idle fibers of a class in the pool beyond which stack pages are given back
};

/// All fibers of a runtime, and the idle ones that no thread keeps. Thread: any, all functions.
class fiber_pool {
 public:
  explicit fiber_pool(fiber_pool_options options = {}) noexcept;
  /// Unmaps all stacks. Every fiber must be idle or given up; no cache may hold any.
  ~fiber_pool();
  fiber_pool(const fiber_pool&) = delete;
  fiber_pool& operator=(const fiber_pool&) = delete;

  /// A chain (by `next`) of 1 to `wanted` idle fibers; a fresh one if the pool has none.
  /// Returns:  null if there is no memory left. `taken` is the chain's length.
  fiber* take(stack_class size, std::uint32_t wanted, std::uint32_t& taken) noexcept;
  /// Takes back a chain of `count` idle fibers of one class.
  void give(fiber* first, std::uint32_t count) noexcept;

  /// The fiber of a stack, or null while it is being made.
  static fiber* at(const stack& s) noexcept;
  /// Calls `visit` for each fiber. Those that run or change hands meanwhile are seen in any of their states: whoever
  /// needs more than a guess stops them first or holds them.
  void for_each(void (*visit)(void* context, fiber& f), void* context) const;

  stack_pool& stacks() noexcept { return stacks_; }
  const stack_pool& stacks() const noexcept { return stacks_; }
  struct statistics {
    std::uint64_t made;       // stacks mapped so far
    std::uint64_t idle;       // in the pool, caches not counted
    std::uint64_t abandoned;  // leaked on purpose
  };
  statistics count() const noexcept;

 private:
  friend void fiber_detail::count_abandoned(fiber& f) noexcept;

  fiber* make(stack_class size) noexcept;

  struct free_list {
    sync::spinlock lock;                // guards first; never held over a system call
    sync::var<fiber*> first{nullptr};
    sync::atomic<std::uint32_t> count;  // changed under lock; read without it by count()
  };
  stack_pool stacks_;
  const std::uint32_t warm_idle_;
  free_list idle_[stack_class_count];
  sync::atomic<std::uint64_t> made_;
  sync::atomic<std::uint64_t> abandoned_;
};

/// A thread's own idle fibers: at most 64 of each class, exchanged with the pool in batches. Part of the runtime's
/// per-thread block; its destructor (the thread's end) returns them all. Thread: its own only.
class fiber_cache {
 public:
  explicit fiber_cache(fiber_pool& pool) noexcept : pool_(pool) {}
  ~fiber_cache() { release(); }
  fiber_cache(const fiber_cache&) = delete;
  fiber_cache& operator=(const fiber_cache&) = delete;

  static constexpr std::uint32_t capacity = 64;
  static constexpr std::uint32_t batch = 32;

  /// An idle fiber, or null if there is no memory left.
  fiber* take(stack_class size) noexcept {
    list& l = lists_[static_cast<std::size_t>(size)];
    fiber* f = l.first;
    if (f == nullptr) [[unlikely]] return refill(l, size);
    l.first = f->next;
    --l.count;
    return f;
  }

  /// Takes back an idle fiber.
  void give(fiber* f) noexcept {
    list& l = lists_[static_cast<std::size_t>(f->size)];
    f->next = l.first;
    l.first = f;
    if (++l.count > capacity) [[unlikely]] spill(l);
  }

  /// Returns everything to the pool.
  void release() noexcept;

 private:
  struct list {
    fiber* first = nullptr;
    std::uint32_t count = 0;
  };
  fiber* refill(list& l, stack_class size) noexcept;
  void spill(list& l) noexcept;

  fiber_pool& pool_;
  list lists_[stack_class_count];
};

}  // namespace coppice::internal
