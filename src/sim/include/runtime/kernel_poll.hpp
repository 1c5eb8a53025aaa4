// SPDX-License-Identifier: Apache-2.0
//
// kernel_poll, simulated: the twin of src/runtime/kernel_poll.hpp, with the same interface. Sockets are numbers; what happens to them is said by
// `happen`, and told once, as an edge.
#pragma once

#include <coppice/base/detail/sync.hpp>

#include <cstdint>

#include <sys/epoll.h>

namespace coppice::internal {

class kernel_poll {
 public:
  kernel_poll() noexcept { current = this; }
  ~kernel_poll() { current = nullptr; }
  kernel_poll(const kernel_poll&) = delete;
  kernel_poll& operator=(const kernel_poll&) = delete;

  bool add(int fd, void* tag) noexcept;
  void remove(int fd) noexcept;
  void close(int fd) noexcept { remove(fd); }
  int wait(epoll_event* into, int most, std::int64_t until) noexcept;
  void ring() noexcept;

  /// As the system: `events` (EPOLLIN and its kin) of the socket `fd`. Nothing if nobody watches it.
  void happen(int fd, std::uint32_t events) noexcept;

  static inline kernel_poll* current = nullptr;   // the one of this run

 private:
  static constexpr int most_sockets = 16;
  int take(epoll_event* into, int most) noexcept;
  void tell() noexcept;

  detail::sync::spinlock lock_;
  epoll_event watched_[most_sockets] = {};        // tag and what has happened; by number
  bool is_watched_[most_sockets] = {};
  bool has_rung_ = false;
  detail::sync::futex_word changes_{0, "kernel poll"};
};

}  // namespace coppice::internal
