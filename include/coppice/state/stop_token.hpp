// SPDX-License-Identifier: Apache-2.0
//
// stop_token: how the function of a future learns that nobody wants its result any more.
//
//     future<int> f([](stop_token stop) {
//       int n = 0;
//       while (!stop.is_stop_requested()) n += step();
//       return n;
//     });
//     f.cancel();
//
// Nothing is interrupted: a function that does not ask runs to its end, and its result is dropped.
#pragma once

#include <coppice/state/detail/eventual.hpp>

#include <utility>

namespace coppice {

/// Asks whether a future was cancelled.   Thread: any; copies ask for the same future.   Spec: FU-5.
class stop_token {
 public:
  /// For the library: the token of that future.
  stop_token(detail::made_by, detail::eventual_handle of) noexcept : of_(std::move(of)) {}

  /// Whether the future was cancelled. Stays so.
  bool is_stop_requested() const noexcept { return detail::is_cancelled(*of_); }
  /// Waits until it is cancelled, at most `limit`: a pause that ends at once when nobody wants the result any more.
  /// Returns: whether it was cancelled.   Blocks: the calling process or thread.
  bool wait_for(duration limit) const { return detail::wait_cancelled(*of_, limit); }

 private:
  detail::eventual_handle of_;
};

}  // namespace coppice
