// SPDX-License-Identifier: Apache-2.0
//
// socket_calls: recv and send, where the sanitizer sees them.
#pragma once

#include <cstddef>

#include <sys/socket.h>
#include <sys/types.h>

namespace coppice::internal {

/// Whether calls may be made by io_uring, unseen.
inline constexpr bool ring_is_understood = false;

inline ssize_t receive_now(int fd, void* into, std::size_t bytes) noexcept { return ::recv(fd, into, bytes, 0); }
inline ssize_t send_now(int fd, const void* bytes, std::size_t count, int flags) noexcept { return ::send(fd, bytes, count, flags); }

}  // namespace coppice::internal
