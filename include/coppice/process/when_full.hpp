// SPDX-License-Identifier: Apache-2.0
//
// when_full: what happens to messages that are too many for a bounded mailbox (`mailbox_bound` of the options of a process or
// server). Calls, casts and plain messages count; signals, system requests, EXIT and DOWN never do.
#pragma once

#include <cstdint>

namespace coppice {

/// What becomes of a message that finds the mailbox full. The caller of a call that is dropped gets call_error::full.
/// Spec: PR-56, GS-X2.
enum class when_full : std::uint8_t {
  refuse,        ///< it is not taken; its sender learns of it (`try_cast`, `call`)
  drop_newest,   ///< it is dropped, its sender is not told
  drop_oldest,   ///< it is taken; the oldest goes as soon as the process looks at its mailbox, for which it is woken. Until then
                 ///< as many again are taken as the bound says, and what is beyond that goes itself
  end_receiver,  ///< the process ends as by `kill`, and the message is not taken
};

}  // namespace coppice
