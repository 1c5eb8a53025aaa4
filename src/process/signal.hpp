// SPDX-License-Identifier: Apache-2.0
//
// signal: what acts as soon as the owner drains its inbox: exit, link, unlink, monitor, demonitor, their answers, alias
// messages and queries. The table of exit signals is PR-20..PR-28.
#pragma once

#include "process/mailbox.hpp"

namespace coppice::internal {

/// Acts on `n`. Owner only. Takes the node.
void act(slot& s, node* n);
/// Answers for a signal or message that nobody will handle, and drops it.
void dispose(node* n, const exit_reason& why) noexcept;

/// The header between a call node and its payload.
inline detail::call_header& header_of(node& n) noexcept { return *reinterpret_cast<detail::call_header*>(&n + 1); }
/// What stands between the node and the payload of a message to an alias.
struct alias_header {
  std::uint64_t class_key = 0;                   // where a typed info has it, too: the class the sender means; 0: any
  std::uint64_t ref = 0;
};
/// node::extra of an exit signal that the owner of a task sends at its end.
inline constexpr std::uint8_t over_link = 1;
inline alias_header& alias_of(node& n) noexcept { return *reinterpret_cast<alias_header*>(&n + 1); }

void send_exit(pid to, pid from, const exit_reason& why) noexcept;
void append_exit_message(slot& s, pid from, const exit_reason& why);
void append_down(slot& s, const detail::watch_entry& watch, pid who, const exit_reason& why);

}  // namespace coppice::internal
