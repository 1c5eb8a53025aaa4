// SPDX-License-Identifier: Apache-2.0
//
// kernel_poll: what the system tells of sockets: epoll, and a bell that ends a wait. In the simulation another file of this name stands in front, where
// a scenario says what happens.
//
// Thread: one at a time waits; the rest any.
#pragma once

#include <coppice/base/detail/sync.hpp>

#include <cstdint>

#include <sys/epoll.h>

namespace coppice::internal {

class kernel_poll {
 public:
  /// Throws: std::system_error when the system grants no descriptor.
  kernel_poll();
  ~kernel_poll();
  kernel_poll(const kernel_poll&) = delete;
  kernel_poll& operator=(const kernel_poll&) = delete;

  /// Tells of each change of `fd` from now on, with `tag`. False: the system refuses; errno says why.
  bool add(int fd, void* tag) noexcept;
  /// Tells no more of it. The open file may live on elsewhere.
  void remove(int fd) noexcept;
  /// Removes and closes it.
  void close(int fd) noexcept;

  /// Waits until something has happened, the bell rings, or it is `until`. An event without a tag is the bell's.
  /// Returns: how many events there are, at most `most`.
  int wait(epoll_event* into, int most, std::int64_t until) noexcept;
  /// Ends a wait that is under way, or the next one.
  void ring() noexcept;

 private:
  int epoll_ = -1;
  int bell_ = -1;  // an eventfd: written, never read (edge-triggered)
};

}  // namespace coppice::internal
