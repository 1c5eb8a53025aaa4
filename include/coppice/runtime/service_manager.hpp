// SPDX-License-Identifier: Apache-2.0
//
// service_manager: systemd, or whoever else speaks its notification protocol: datagrams to the socket that $NOTIFY_SOCKET names.
// `run` tells it READY, STOPPING and WATCHDOG by itself; a program may add `STATUS=…` or anything else of sd_notify(3).
#pragma once

#include <coppice/base/time.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace coppice {

/// Sends `state`, for instance "STATUS=8 channels", to the service manager that started this program.
/// Returns:  false if none did, or if it could not be reached.
/// Blocks:   at most a second, where its queue is full.
/// Thread:   any.   Cost: four system calls; one look into the environment where nobody listens.   Spec: EX-124.
bool notify_service_manager(std::string_view state) noexcept;

/// A socket that the service manager has opened for this program (LISTEN_FDS of sd_listen_fds(3)), and what it calls it.
struct inherited_socket {
  int fd;
  std::string name;                      ///< FileDescriptorName= of the socket unit; empty if it has none
};
/// The sockets that were passed to this program; they are the caller's, and are closed in programs that it starts.
/// Returns:  none, if there are none, if they are for another OS process, or if they were taken before.
/// Thread:   the first, before others look at the environment, which forgets them.
std::vector<inherited_socket> inherited_sockets();

/// How often at least the service manager wants to hear WATCHDOG=1; infinity: it does not.   Spec: EX-124.
duration service_watchdog() noexcept;

}  // namespace coppice
