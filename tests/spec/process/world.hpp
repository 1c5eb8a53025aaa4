// SPDX-License-Identifier: Apache-2.0
//
// world: a runtime of a test's own, and the few words that most tests of processes need. The test's thread is a caller like
// any other: it spawns, monitors and receives.
#pragma once

#include <doctest/doctest.h>

#include <coppice/base/log_sink.hpp>
#include <coppice/process/process.hpp>
#include <coppice/process/receive.hpp>

#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/eventually.hpp"

namespace coppice::testing {

/// Takes everything out of the caller's mailbox. Returns: how many messages that were.
inline int flush() {
  int n = 0;
  while (receive([](message&) {}, after(duration{0}, [] {}))) ++n;
  return n;
}

/// A runtime that this thread uses until the end of the scope. What an earlier test left in the mailbox is gone.
struct world {
  explicit world(const runtime_options& o = {.workers = 2}) : r(patient(o)), scope(r) { flush(); }
  /// Its processes use the test's locals: it does not give up on them because the machine stood still.
  static runtime_options patient(runtime_options o) {
    o.stop_timeout = 1min;
    return o;
  }
  runtime r;
  runtime_scope scope;
};

/// Waits for the DOWN of a monitor. Returns: the reason in it.
inline exit_reason reason_of(reference ref) {
  exit_reason why;
  receive(when([&](const down& d) { return d.ref == ref; }, [&](down d) { why = std::move(d.reason); }));
  return why;
}

/// Waits for the end of `who`. Returns: why it ended; noproc if it was dead before.
inline exit_reason end_of(pid who) { return reason_of(monitor(who)); }
inline void await_end(pid who) { static_cast<void>(end_of(who)); }

/// Runs `body` in a process. Returns: why that ended, when it has.
template <class F>
exit_reason run(F&& body, const spawn_options& o = {}) {
  return reason_of(spawn_monitor(static_cast<F&&>(body), o).ref);
}

/// Runs `body` in a process and checks that it came to its end.
template <class F>
void in_process(F&& body, const spawn_options& o = {}) {
  const exit_reason why = run(static_cast<F&&>(body), o);
  INFO("the process ended with: ", to_text(why));
  CHECK(why.is(exit_reason::normal));
}

/// A process that lives until it is told otherwise: it takes every message and does nothing.
inline void idle() {
  for (;;) receive([](message&) {});
}

/// The same, after telling `parent` that it has come so far.
struct ready {};
inline void idle_for(pid parent) {
  send(parent, ready{});
  idle();
}
inline void await_ready() { receive<ready>(); }

struct go {};                                    // the word that lets a waiting process go on
inline void wait_for_go() { receive<go>(); }

/// Keeps reports from the screen, and for the test. One at a time.
class reports {
 public:
  reports() : before_(set_log_sink(&sink())) { take(); }
  ~reports() { set_log_sink(before_); }
  reports(const reports&) = delete;
  reports& operator=(const reports&) = delete;

  /// Those written so far; the list is empty then.
  std::vector<report> take() {
    std::lock_guard held(store().lock);
    return std::exchange(store().list, {});
  }

 private:
  struct kept {
    std::mutex lock;
    std::vector<report> list;
  };
  static kept& store() {
    static auto* k = new kept;                   // outlives every report
    return *k;
  }
  static log_sink& sink() {
    static log_sink s{.write = [](void*, const report& r) {
                        std::lock_guard held(store().lock);
                        store().list.push_back(r);
                      },
                      .context = nullptr,
                      .least = log_level::debug};
    return s;
  }
  const log_sink* before_;
};

inline std::string field(const report& r, std::string_view name) {
  for (const report_field& f : r.fields)
    if (f.name == name) return f.value;
  return {};
}

/// Counts its destructions.
struct counted {
  explicit counted(int& c) : count(&c) {}
  counted(counted&& other) noexcept : count(std::exchange(other.count, nullptr)) {}
  counted& operator=(counted&& other) noexcept {
    std::swap(count, other.count);
    return *this;
  }
  ~counted() {
    if (count != nullptr) ++*count;
  }
  int* count;
};

}  // namespace coppice::testing
