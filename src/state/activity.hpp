// SPDX-License-Identifier: Apache-2.0
//
// activity: what the running code is inside of: a transaction, an agent's action, an io_guard. It belongs to the stack, a
// fiber's or a thread's: a server that is called from inside runs on another fiber and is inside of nothing.
#pragma once

#include "runtime/scope.hpp"

namespace coppice {
class executor;
}
namespace coppice::detail {
struct transaction;
struct binding;
}

namespace coppice::internal {

struct action_frame;                             // agent.cpp
struct delay_stack;                              // delay.cpp

struct activity : scope_head {
  detail::transaction* transaction = nullptr;
  action_frame* action = nullptr;
  executor* send = nullptr;                      // of an executor_scope
  executor* send_off = nullptr;
  detail::binding* bound = nullptr;              // the innermost value_scope; whoever is inside keeps it alive
  delay_stack* delays = nullptr;                 // functions of delays that run
  bool in_io = false;
  bool beside_transaction = false;               // in the function of a delay that a transaction asked for
};

inline scope_head*& scope_cell(thread_block& block) noexcept { return block.on != nullptr ? block.on->scope : block.scope; }
inline scope_head*& scope_cell() noexcept { return scope_cell(here()); }
/// Of what runs on this thread. Null: inside of nothing.
inline activity* activity_at(const thread_block& block) noexcept {
  return static_cast<activity*>(block.on != nullptr ? block.on->scope : block.scope);
}
inline activity* current_activity() noexcept { return activity_at(here()); }

/// While it lives, the running stack is inside of what the outer one was and of what `change` says.
class inside {
 public:
  template <class Change>
  explicit inside(Change&& change) noexcept : cell_(scope_cell()), outer_(static_cast<activity*>(cell_)) {
    if (outer_ != nullptr) now_ = *outer_;
    change(now_);
    cell_ = &now_;
  }
  ~inside() { cell_ = outer_; }
  inside(const inside&) = delete;
  inside& operator=(const inside&) = delete;

 private:
  scope_head*& cell_;                            // the stack's own, on whichever thread that runs
  activity* const outer_;
  activity now_;
};

}  // namespace coppice::internal
