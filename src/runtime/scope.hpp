// SPDX-License-Identifier: Apache-2.0
//
// scope: whether what runs here may run again from its beginning, as the body of a transaction does. Then nothing may wait for an
// answer to what it asks, and what it tells others has to wait until it is certain. The room state says so by the rules; whoever
// sends for a program asks for them.
#pragma once

#include <coppice/runtime/detail/held_send.hpp>

#include "runtime/thread_block.hpp"

namespace coppice::internal {

/// What holds for a stack that may run again.
struct scope_rules {
  /// Throws: `what` is not to be done here.
  void (*refuse)(const char* what);
  /// Takes `s`, to send it when that is certain, or to drop it.
  void (*hold)(detail::held_send* s) noexcept;
};

/// Head of what a fiber or a thread block has as its `scope`.
struct scope_head {
  const scope_rules* rules = nullptr;            // null: what runs here runs once
};

inline const scope_rules* rules_of(const thread_block& block) noexcept {
  const scope_head* scope = block.on != nullptr ? block.on->scope : block.scope;
  return scope == nullptr ? nullptr : scope->rules;
}
inline const scope_rules* current_rules() noexcept { return rules_of(here()); }

}  // namespace coppice::internal
