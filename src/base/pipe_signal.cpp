// SPDX-License-Identifier: Apache-2.0
#include "base/pipe_signal.hpp"

#include <cerrno>

#include <time.h>
#include <unistd.h>

namespace coppice::internal {

namespace {

sigset_t only_pipe() noexcept {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGPIPE);
  return set;
}

}  // namespace

pipe_signal_held::pipe_signal_held() noexcept {
  const sigset_t pipe = only_pipe();
  ::pthread_sigmask(SIG_BLOCK, &pipe, &before_);
}

pipe_signal_held::~pipe_signal_held() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

void pipe_signal_held::take() noexcept {
  const int why = errno;
  sigset_t pending;
  // One that was held back already is somebody else's.
  if (::sigismember(&before_, SIGPIPE) == 0 && ::sigpending(&pending) == 0 && ::sigismember(&pending, SIGPIPE) == 1) {
    const sigset_t pipe = only_pipe();
    const timespec at_once{};
    ::sigtimedwait(&pipe, nullptr, &at_once);
  }
  errno = why;
}

ssize_t write_without_signal(int fd, const void* bytes, std::size_t count) noexcept {
  pipe_signal_held held;
  const ssize_t n = ::write(fd, bytes, count);
  if (n < 0 && errno == EPIPE) held.take();
  return n;
}

}  // namespace coppice::internal
