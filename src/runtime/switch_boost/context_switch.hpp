// SPDX-License-Identifier: Apache-2.0
//
// context_switch, portable variant over Boost.Context: about 5 ns a switch. CMake puts this folder or switch_own on the
// include path; both offer `context`, `make_context` and `switch_context` with the same meaning.
//
// Boost hands the context that was left to whoever runs next. So the *receiver* stores it, in the place that the sender
// named: `from` is complete as soon as the other side runs, which is all that a fiber needs (its wait is committed there).
//
// Thread: a context is touched by one thread at a time. Design note: docs/internals/fibers.md.
#pragma once

#include <boost/context/detail/fcontext.hpp>
#include <cstddef>

namespace coppice::internal {

/// Where a context that is not running goes on.
struct context {
  boost::context::detail::fcontext_t handle = nullptr;  // Boost keeps the saved registers at this stack address
  void (*entry)(void*) = nullptr;                       // of a fresh context
  void* argument = nullptr;

  /// The lowest stack address that a context which is not running still needs.
  std::byte* lowest() const noexcept { return static_cast<std::byte*>(handle) - 128; }
};

/// What travels with a jump; lives on the sender's stack and is read before anything else happens.
struct context_jump {
  context* from;
  context* to;
};

/// First function of a fresh context.
inline void context_begin(boost::context::detail::transfer_t arrival) noexcept {
  const context_jump jump = *static_cast<context_jump*>(arrival.data);
  jump.from->handle = arrival.fctx;
  jump.to->entry(jump.to->argument);
  __builtin_trap();  // an entry function never returns
}

/// Makes `fresh` start with `entry(argument)` below `top` when it is first switched to. `entry` must never return.
inline void make_context(context& fresh, std::byte* bottom, std::byte* top, void (*entry)(void*),
                         void* argument) noexcept {
  fresh = {.handle = boost::context::detail::make_fcontext(top, static_cast<std::size_t>(top - bottom), &context_begin),
           .entry = entry,
           .argument = argument};
}

/// Saves the running context in `from` and goes on with `to`. Returns when somebody switches to `from`.
[[gnu::always_inline]] inline void switch_context(context& from, context& to) noexcept {
  context_jump jump{&from, &to};
  const auto arrival = boost::context::detail::jump_fcontext(to.handle, &jump);
  static_cast<context_jump*>(arrival.data)->from->handle = arrival.fctx;
}

}  // namespace coppice::internal
