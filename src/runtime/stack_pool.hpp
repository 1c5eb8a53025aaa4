// SPDX-License-Identifier: Apache-2.0
//
// stack_pool: where the stacks of fibers come from.
//
// Stacks are cut from slabs (one mapping each, unreserved, 64 stacks), each with a guard below it, and are never unmapped
// while the pool lives: an address inside a stack stays readable for ever. The pool hands out *fresh* stacks only; used
// ones go round as fibers (fiber.hpp).
//
//   slab   | header page | guard | stack 0 | guard | stack 1 | ...        a stack is used from its top downwards
//
// Thread: any, all functions. `find` is safe in a signal handler.
//
// Invariants
//   1. `used` of a slab only grows, and only under the lock; stacks below it have been handed out.
//   2. A slab is complete before it is published in `newest_` and does not move or vanish until the pool dies.
//   3. The lock is never held over a system call.
//
// Design note: docs/internals/fibers.md.
#pragma once

#include <coppice/base/detail/sync.hpp>
#include <cstddef>
#include <cstdint>

namespace coppice::internal {

namespace sync = coppice::detail::sync;

enum class stack_class : std::uint8_t { k16, k64, k256, k1024 };
inline constexpr std::size_t stack_class_count = 4;

/// Bytes between the guard and the top of a stack of this class.
constexpr std::size_t stack_bytes(stack_class c) noexcept {
  return std::size_t{16 * 1024} << (2 * static_cast<unsigned>(c));
}

/// How an overflow is noticed. `marker` (Linux 6.13) costs no mapping; `protection` costs two mappings a stack, of which
/// the kernel allows 65,530 in all; `none` notices nothing.
enum class stack_guard : std::uint8_t { marker, protection, none };

struct stack_pool_options {
  stack_guard strongest = stack_guard::marker;  // what to try first; weaker ones follow. gdb's gcore needs `protection`
  std::uint32_t max_protected = 20'000;         // stacks with the guard `protection`; later ones have none
};

struct stack {
  std::byte* bottom;     // lowest usable byte; the guard lies below
  std::byte* top;        // one past the highest byte
  std::uint32_t index;   // number in the order of addresses within the pool's slabs, for colouring
  stack_class size;
};

class stack_pool {
 public:
  explicit stack_pool(stack_pool_options options = {}) noexcept;
  /// Unmaps all stacks. Nobody may run on, or look at, any of them.
  ~stack_pool();
  stack_pool(const stack_pool&) = delete;
  stack_pool& operator=(const stack_pool&) = delete;

  /// A fresh stack, all zero.
  /// Returns:  false if the system has no memory or address space left.
  bool take(stack_class size, stack& out) noexcept;

  struct location {
    stack where;
    bool in_guard;
  };
  /// The stack that was handed out and holds `address` in itself or its guard. Safe in a signal handler.
  bool find(const void* address, location& out) const noexcept;

  /// Calls `visit(context, stack)` for each stack handed out so far.
  void for_each(void (*visit)(void* context, const stack& s), void* context) const;

  /// The guard that fresh stacks get now.
  stack_guard guard() const noexcept { return static_cast<stack_guard>(guard_.load(sync::relaxed)); }
  std::size_t guard_bytes() const noexcept { return guard_bytes_; }

  /// Gives the pages of [bottom, needed) back to the system; they read as zero afterwards.
  static void give_back_pages(std::byte* bottom, std::byte* needed) noexcept;

 private:
  struct slab;
  bool add_slab(stack_class size) noexcept;
  slab* map_slab(stack_class size) const noexcept;
  static void unmap_slab(slab* s) noexcept;
  bool claim(stack_class size, stack& out) noexcept;
  void put_guard(const stack& s) noexcept;
  bool weaken_guard(stack_guard from, stack_guard to) noexcept;

  const std::size_t page_bytes_;
  const std::size_t guard_bytes_;
  const std::uint32_t max_protected_;
  sync::spinlock lock_;  // slab lists and `used`
  sync::atomic<slab*> newest_[stack_class_count];  // release by take, acquire by find and for_each
  std::uint32_t stacks_mapped_ = 0;                // under lock_
  sync::atomic<std::uint8_t> guard_;               // a stack_guard; only ever becomes weaker
  sync::atomic<std::uint32_t> protected_count_;
};

}  // namespace coppice::internal
