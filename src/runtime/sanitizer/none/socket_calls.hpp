// SPDX-License-Identifier: Apache-2.0
//
// socket_calls: recv and send of sockets that never block, as system calls. The C library's own are points where a thread may be cancelled,
// which costs a program with several threads two atomic exchanges for each call; nobody cancels ours.
#pragma once

#include <cstddef>

#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

namespace coppice::internal {

/// Whether calls may be made by io_uring.
inline constexpr bool ring_is_understood = true;

inline ssize_t receive_now(int fd, void* into, std::size_t bytes) noexcept {
  return ::syscall(SYS_recvfrom, fd, into, bytes, 0, nullptr, nullptr);
}
inline ssize_t send_now(int fd, const void* bytes, std::size_t count, int flags) noexcept {
  return ::syscall(SYS_sendto, fd, bytes, count, flags, nullptr, 0);
}

}  // namespace coppice::internal
