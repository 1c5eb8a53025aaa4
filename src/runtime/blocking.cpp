// SPDX-License-Identifier: Apache-2.0
#include <coppice/runtime/blocking.hpp>

#include "runtime/scheduler.hpp"

namespace coppice {

blocking_scope::blocking_scope() noexcept {
  internal::thread_block& block = internal::here();
  if (block.at != nullptr) block.at->of->leave_queue_to_others();
}

}  // namespace coppice
