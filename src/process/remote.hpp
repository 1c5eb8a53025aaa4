// SPDX-License-Identifier: Apache-2.0
//
// remote: the door for signals to processes of other nodes. Without a router every remote process counts as unreachable.
#pragma once

#include "process/mailbox.hpp"

namespace coppice::internal {

/// Installed by the cluster. `route` takes the node and tells whether it is on its way.
struct remote_router {
  bool (*route)(void* context, pid to, node* n) = nullptr;
  void* context = nullptr;
};

/// Installs `router` for the whole program; returns the former one.
const remote_router* set_remote_router(const remote_router* router) noexcept;
bool deliver_remote(pid to, node* n) noexcept;

}  // namespace coppice::internal
