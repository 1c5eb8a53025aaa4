// SPDX-License-Identifier: Apache-2.0
//
// pipe_signal: writing to a pipe or a socket that nobody reads any more raises SIGPIPE, whose default effect is the end of the program. send
// can be told not to (MSG_NOSIGNAL); write and sendfile cannot: here is how they are called without it, whatever the program has done about
// the signal.
//
// Thread: any.
#pragma once

#include <cstddef>

#include <signal.h>
#include <sys/types.h>

namespace coppice::internal {

/// Holds the signal back from the calling thread while it lives. Keeps errno.
class pipe_signal_held {
 public:
  pipe_signal_held() noexcept;
  ~pipe_signal_held();
  pipe_signal_held(const pipe_signal_held&) = delete;
  /// A call has failed with EPIPE: its signal is taken away.
  void take() noexcept;

 private:
  sigset_t before_;
};

/// As write(2); somebody who has gone is EPIPE and nothing else.
ssize_t write_without_signal(int fd, const void* bytes, std::size_t count) noexcept;

}  // namespace coppice::internal
