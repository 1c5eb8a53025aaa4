// SPDX-License-Identifier: Apache-2.0
//
// ending_signals: SIGTERM and SIGINT as a word that somebody waits for. While an object of this class lives, the first of them
// is told to who waits and does nothing else; at the same moment both get their default effect back, so a second one ends the
// program at once, whatever its threads are doing. The handler stores one word and wakes its waiter: both are safe in a handler.
//
// told: {0} -> | signal by the handler; -> | interrupted by anybody; read by the waiter, who starts over with 0.
//
// A signal that the program was started to ignore (nohup, a shell's background job) stays ignored.
#pragma once

#include <coppice/base/detail/sync.hpp>

namespace coppice::internal {

namespace sync = coppice::detail::sync;

class ending_signals {
 public:
  /// Throws: std::logic_error when there is one already.
  ending_signals();
  /// Puts back what was there before.
  ~ending_signals();
  ending_signals(const ending_signals&) = delete;
  ending_signals& operator=(const ending_signals&) = delete;

  /// Waits for a signal, for `interrupt`, or for `deadline`.
  /// Returns: the signal; 0 if it was not one.
  /// Blocks:  the thread; for plain threads.
  int wait(std::int64_t deadline = sync::never) noexcept;
  /// Ends the wait, or the next one.   Thread: any.
  static void interrupt() noexcept;
};

}  // namespace coppice::internal
