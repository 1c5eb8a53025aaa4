// SPDX-License-Identifier: Apache-2.0
//
// activity: what the running code is inside of: a transaction, an agent's action, an io_guard. It belongs to the stack, a
// fiber's or a thread's: a server that is called from inside runs on another fiber and is inside of nothing.
#pragma once

#include "runtime/thread_block.hpp"

namespace coppice {
class executor;
}
namespace coppice::detail {
struct transaction;
}

namespace coppice::internal {

/// Looks of an executor's thread at its queue before it sleeps. The simulation makes it small.
extern int spins_of_pools;

struct action_frame;                             // agent.cpp

struct activity {
  detail::transaction* transaction = nullptr;
  action_frame* action = nullptr;
  executor* send = nullptr;                      // of an executor_scope
  executor* send_off = nullptr;
  bool in_io = false;
};

inline void*& scope_cell() noexcept {
  thread_block& block = here();
  return block.on != nullptr ? block.on->scope : block.scope;
}
/// Null: inside of nothing.
inline activity* current_activity() noexcept { return static_cast<activity*>(scope_cell()); }

/// While it lives, the running stack is inside of what the outer one was and of what `change` says.
class inside {
 public:
  template <class Change>
  explicit inside(Change&& change) noexcept : outer_(current_activity()) {
    if (outer_ != nullptr) now_ = *outer_;
    change(now_);
    scope_cell() = &now_;
  }
  ~inside() { scope_cell() = outer_; }
  inside(const inside&) = delete;
  inside& operator=(const inside&) = delete;

 private:
  activity* outer_;
  activity now_;
};

}  // namespace coppice::internal
