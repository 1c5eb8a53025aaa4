// SPDX-License-Identifier: Apache-2.0
//
// trace: the hook's inner side. Whoever has something to tell asks `tracing()` first.
#pragma once

#include <coppice/process/trace.hpp>

#include "process/slot.hpp"

namespace coppice::internal {

struct tracer;
extern detail::sync::atomic<tracer*> current_tracer;

inline bool tracing() noexcept { return current_tracer.load(detail::sync::relaxed) != nullptr; }
void trace_spawned(const detail::slot& child, const detail::slot* parent) noexcept;
void trace_exited(const detail::slot& s, const exit_reason& why) noexcept;
/// From the running process or thread.
void trace_sent(pid to, const message_descriptor* type) noexcept;
void trace_received(const detail::slot& s, const message_descriptor* type) noexcept;

}  // namespace coppice::internal
