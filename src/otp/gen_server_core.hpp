// SPDX-License-Identifier: Apache-2.0
//
// gen_server_core: what the call path needs of a server class.
#pragma once

#include <coppice/otp/detail/gen.hpp>

#include "process/slot.hpp"

namespace coppice::internal {

/// The trampoline of a message that came without one: by key in the class's protocol. Null: the class does not know it.
detail::trampoline find_trampoline(const detail::class_descriptor& cls, detail::node_kind kind, std::uint64_t key) noexcept;

/// The frame whose handler runs now on this stack, or null. Set around each handler of a server.
detail::handler_frame* current_frame() noexcept;

}  // namespace coppice::internal
