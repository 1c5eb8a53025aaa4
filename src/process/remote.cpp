// SPDX-License-Identifier: Apache-2.0
#include "process/remote.hpp"

#include "process/signal.hpp"

namespace coppice::internal {

namespace {
sync::atomic<const remote_router*> installed;
}

const remote_router* set_remote_router(const remote_router* router) noexcept {
  return installed.exchange(router, sync::acq_rel);
}

bool deliver_remote(pid to, node* n) noexcept {
  const remote_router* router = installed.load(sync::acquire);  // pairs with set_remote_router
  if (router != nullptr) return router->route(router->context, to, n);
  dispose(n, exit_reason::noconnection);
  return false;
}

}  // namespace coppice::internal
