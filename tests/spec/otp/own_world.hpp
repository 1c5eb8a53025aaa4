// SPDX-License-Identifier: Apache-2.0
//
// A runtime of a test's own, whose reports are caught: for tests of servers that must not meet what other tests left.
#pragma once

#include "spec/otp/otp_test.hpp"

namespace coppice::testing {

/// Takes everything out of the caller's mailbox.
inline void empty_mailbox() {
  while (receive([](message&) {}, after(duration{0}, [] {}))) {}
}

/// This thread uses a new runtime until the end of the scope; reports go to `reports`. What its servers write to until they
/// end (a journal, a gate) is declared before it.
struct own_world {
  explicit own_world(const runtime_options& options = {.workers = 2}) : r(patient(options)), scope(r) { empty_mailbox(); }
  /// What its servers use goes behind it: it does not give up on them because the machine stood still.
  static runtime_options patient(runtime_options options) {
    options.stop_timeout = 1min;
    return options;
  }
  caught_reports reports;                       // outlives all that may report
  runtime r;
  runtime_scope scope;
};

/// A gate at which a handler waits until the test opens it, and that tells when somebody has come.
class watched_gate {
 public:
  void open() { opened_.store(true); }
  void pass() const {
    entered_.store(true);
    while (!opened_.load()) sleep_for(1ms);
  }
  /// Waits until a handler is at the gate.
  bool is_entered() const {
    return eventually([&] { return entered_.load(); });
  }

 private:
  mutable std::atomic<bool> entered_{false};
  std::atomic<bool> opened_{false};
};

/// Waits for the end of `who`. Returns: why it ended; noproc if it was gone before.
inline exit_reason end_of(pid who) { return reason_of_end(who, monitor(who)); }

/// The words in which a failed call speaks; empty if it did not fail.
template <class F>
std::optional<call_error> error_in(F&& f) {
  try {
    f();
  } catch (const call_error& e) {
    return e;
  }
  return std::nullopt;
}

}  // namespace coppice::testing
