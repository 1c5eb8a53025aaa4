// SPDX-License-Identifier: Apache-2.0
//
// gen_core: the one compiled call of all servers. Declared for templates in coppice/otp/detail/gen.hpp.
#pragma once

#include <coppice/otp/detail/gen.hpp>

#include "process/mailbox.hpp"

namespace coppice::internal {

/// A call node: header and request, moved from `record.request`; its reply goes to `record.reply`.
node* new_call_node(const detail::call_record& record, pid caller);
/// Takes a reply slot for `record` in the name of `caller`.
void open_reply(detail::call_record& record, slot& caller);
/// Waits for the reply of a record whose reply slot is open, and settles its status.
void await_reply(detail::call_record& record);
/// Runs `handler` on a pooled fiber for the owned process `s`, with `frame` as its frame (copied to that fiber's stack).
/// Blocked: the reply was detached and the wait committed; the process is not the caller's any more.
/// done and alive: the process is the caller's still. The frame's end state is in `frame` when done.
struct handled {
  bool blocked;
  bool ended;
};
handled run_direct(slot& s, detail::trampoline handler, detail::handler_frame& frame) noexcept;

}  // namespace coppice::internal
