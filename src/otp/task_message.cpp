// SPDX-License-Identifier: Apache-2.0
#include <coppice/otp/task_message.hpp>

#include "process/signal.hpp"

namespace coppice::detail {

void send_reply(const alias_ref& to, node* n, trampoline run, std::uint64_t class_key) {
  n->run = run;
  internal::alias_of(*n).class_key = run != nullptr ? class_key : 0;
  deliver_to_alias(to, n);
}

}  // namespace coppice::detail
