// SPDX-License-Identifier: Apache-2.0
//
// held_send: something that is sent when the transaction, or the agent's action, in which it was made is over; or never. Whoever
// makes one puts it in front of what it needs.
#pragma once

namespace coppice::detail {

/// Both functions take it.
struct held_send {
  void (*go)(held_send& self) noexcept = nullptr;
  void (*drop)(held_send& self) noexcept = nullptr;
  held_send* next = nullptr;
};

}  // namespace coppice::detail
