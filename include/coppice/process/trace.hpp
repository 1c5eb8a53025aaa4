// SPDX-License-Identifier: Apache-2.0
//
// trace: one handler for the whole program that hears of processes being made, ending, sending and taking messages. For
// finding out what a running system does; sys::trace looks into one server instead.
#pragma once

#include <coppice/base/function.hpp>
#include <coppice/process/exit_reason.hpp>
#include <coppice/process/pid.hpp>

#include <string>
#include <string_view>

namespace coppice {

enum class trace_kind : unsigned char { spawned, exited, sent, received };

/// Something that happened. Valid only while the handler runs.
struct trace_event {
  trace_kind kind;
  pid who;                                 ///< spawned, exited: the process; sent: the sender (none: a plain thread); received: the receiver
  pid other;                               ///< spawned: by whom; sent: to whom
  std::string_view class_name;             ///< of `who`; empty for a plain thread
  std::string_view message;                ///< the type's name, of sent and received
  const exit_reason* reason = nullptr;     ///< of exited
};
/// "<0.41> ch3 received want", in one line.
std::string to_text(const trace_event& event);

/// From now on `handler` is called for each event that `filter` (empty: all) lets through. It replaces an earlier one.
/// Returns: whether there was an earlier one.
/// Thread:  any. The handler runs on the thread, and within the process, of the event, on several at once: it must neither
///          wait nor send. What it throws is dropped.
/// Late:    an event under way still reaches the handler that was there; handlers are kept until the program ends.
/// Cost:    while there is no handler: one load and one branch an event.   Spec: OL-81.
bool trace(function<void(const trace_event&) const> handler, function<bool(const trace_event&) const> filter = {});
/// Ends tracing.   Returns: whether there was a handler.
bool stop_trace();

/// Filters.
function<bool(const trace_event&) const> traced_pid(pid who);
function<bool(const trace_event&) const> traced_class(std::string name);
function<bool(const trace_event&) const> traced_kind(trace_kind kind);
/// Ends with a reason that is not quiet.
function<bool(const trace_event&) const> traced_crashes();

}  // namespace coppice
