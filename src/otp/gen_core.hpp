// SPDX-License-Identifier: Apache-2.0
//
// gen_core: the one compiled call of all servers. Declared for templates in coppice/otp/detail/gen.hpp.
#pragma once

#include <coppice/otp/detail/gen.hpp>

#include "process/mailbox.hpp"

namespace coppice::internal {

/// A node of kind call: header and request, which is moved from `request`. Throws what that throws; then nothing is left.
node* new_request_node(const message_descriptor& type, void* request, detail::trampoline run, const detail::call_header& header);
/// Takes a reply slot for `record` in the name of `caller`, in its wait `number`.
void open_reply(detail::call_record& record, slot& caller, std::uint64_t number);
/// The same, and makes the node of the call.
node* open_call(detail::call_record& record, slot& caller, std::uint64_t number);
/// What the server's end, or its refusal, means for the caller.
detail::call_status status_of(const exit_reason& why) noexcept;
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
