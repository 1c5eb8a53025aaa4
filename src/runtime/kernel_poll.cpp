// SPDX-License-Identifier: Apache-2.0
#include "runtime/kernel_poll.hpp"

#include <cerrno>
#include <system_error>

#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

namespace coppice::internal {

namespace sync = detail::sync;

kernel_poll::kernel_poll() : epoll_(::epoll_create1(EPOLL_CLOEXEC)), bell_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  epoll_event bell{.events = EPOLLIN | EPOLLET, .data = {.ptr = nullptr}};
  if (epoll_ >= 0 && bell_ >= 0 && ::epoll_ctl(epoll_, EPOLL_CTL_ADD, bell_, &bell) == 0) return;
  const int why = errno;
  for (const int fd : {epoll_, bell_})
    if (fd >= 0) ::close(fd);
  throw std::system_error(why, std::generic_category(), "epoll");
}

kernel_poll::~kernel_poll() {
  ::close(bell_);
  ::close(epoll_);
}

bool kernel_poll::add(int fd, void* tag) noexcept {
  epoll_event interest{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.ptr = tag}};
  return ::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &interest) == 0;
}

void kernel_poll::remove(int fd) noexcept { ::epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr); }

void kernel_poll::close(int fd) noexcept { ::close(fd); }  // ends the registration, too

/// A limit in nanoseconds; on kernels before 5.11 in milliseconds, rounded up.
int kernel_poll::wait(epoll_event* into, int most, std::int64_t until) noexcept {
  if (until == sync::never) return ::epoll_wait(epoll_, into, most, -1);
  const std::int64_t now = until > 0 ? sync::now() : 0;
  const std::int64_t left = until > now ? until - now : 0;
  const timespec limit{.tv_sec = left / 1'000'000'000, .tv_nsec = left % 1'000'000'000};
  const int n = ::epoll_pwait2(epoll_, into, most, &limit, nullptr);
  if (n >= 0 || errno != ENOSYS) return n;
  const std::int64_t ms = (left + 999'999) / 1'000'000;
  return ::epoll_wait(epoll_, into, most, ms > 60'000 ? 60'000 : static_cast<int>(ms));
}

void kernel_poll::ring() noexcept {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(bell_, &one, sizeof one);
}

}  // namespace coppice::internal
