// SPDX-License-Identifier: Apache-2.0
//
// http_service: what answers the requests of a server, from one restart to the next. Each request holds the one that it began with, so
// an old one is gone when its last request is.
//
// Thread: any. Invariant: `handler` is called, and destroyed by the last holder, without a lock.
#pragma once

#include <coppice/app/http_handler.hpp>
#include <coppice/base/detail/sync.hpp>

#include <cstdint>
#include <utility>

namespace coppice::internal {

namespace sync = detail::sync;

struct http_service {
  explicit http_service(http_handler&& h) noexcept : handler(std::move(h)) {}
  const http_handler handler;
  sync::atomic<std::uint32_t> holders{1};  // the server while it is the current one, each exchange, who waits for its end
  sync::atomic<std::uint32_t> is_over;     // 1: its requests have had their time
};

}  // namespace coppice::internal
