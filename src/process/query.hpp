// SPDX-License-Identifier: Apache-2.0
//
// query: asks the owner of a process to look at, or change, what only the owner may touch, between two messages.
#pragma once

#include "process/mailbox.hpp"

namespace coppice::internal {

/// Runs `answer(slot of who, context)` as the owner of `who`, or `answer(nullptr, context)` if it is dead, and waits for it.
/// An idle process is claimed and answers on this thread; a busy one answers when it next looks at its inbox.
/// `answer` must not throw and not wait.
void ask(pid who, void (*answer)(slot* target, void* context), void* context);

}  // namespace coppice::internal
