// SPDX-License-Identifier: Apache-2.0
#include "sim/include/runtime/kernel_poll.hpp"

#include <coppice/base/assert.hpp>

#include "sim/driver.hpp"

#include <utility>

namespace coppice::internal {

namespace sync = detail::sync;

bool kernel_poll::add(int fd, void* tag) noexcept {
  COPPICE_ASSERT(fd >= 0 && fd < most_sockets, "the simulation knows few sockets");
  {
    sync::lock_guard held(lock_);
    watched_[fd] = {.events = EPOLLOUT, .data = {.ptr = tag}};   // a new socket can be written
    is_watched_[fd] = true;
  }
  tell();
  return true;
}

void kernel_poll::remove(int fd) noexcept {
  sync::lock_guard held(lock_);
  is_watched_[fd] = false;
}

void kernel_poll::happen(int fd, std::uint32_t events) noexcept {
  {
    sync::lock_guard held(lock_);
    if (!is_watched_[fd]) return;
    watched_[fd].events |= events;
  }
  tell();
}

void kernel_poll::ring() noexcept {
  {
    sync::lock_guard held(lock_);
    has_rung_ = true;
  }
  tell();
}

void kernel_poll::tell() noexcept {
  changes_.fetch_add(1, sync::seq_cst);
  sync::futex_wake(&changes_, 1);
}

int kernel_poll::take(epoll_event* into, int most) noexcept {
  sync::lock_guard held(lock_);
  int n = 0;
  if (std::exchange(has_rung_, false)) into[n++] = {.events = EPOLLIN, .data = {.ptr = nullptr}};
  for (int fd = 0; fd < most_sockets && n < most; ++fd) {
    if (!is_watched_[fd] || watched_[fd].events == 0) continue;
    into[n++] = watched_[fd];
    watched_[fd].events = 0;
  }
  return n;
}

int kernel_poll::wait(epoll_event* into, int most, std::int64_t until) noexcept {
  if (sim::random(4) == 0) {              // the caller loses its core on the way
    sync::futex_word nobody;
    sync::futex_wait(nobody, 0, sync::now() + 30'000);
  }
  for (;;) {
    const std::uint32_t seen = changes_.load(sync::seq_cst);
    if (const int n = take(into, most); n > 0) return n;
    if (until <= 0) return 0;
    if (!sync::futex_wait(changes_, seen, until)) return 0;
  }
}

}  // namespace coppice::internal
