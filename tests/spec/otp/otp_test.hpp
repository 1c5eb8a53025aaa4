// SPDX-License-Identifier: Apache-2.0
//
// What the tests of servers share: reports are caught instead of printed, and a body can be run as a process.
#pragma once

#include <coppice/base/log_sink.hpp>
#include <coppice/otp/gen_server.hpp>
#include <coppice/process/process.hpp>
#include <coppice/process/receive.hpp>

#include "support/eventually.hpp"

#include <atomic>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace coppice::testing {

/// Catches all reports while it lives. One at a time.
class caught_reports {
 public:
  caught_reports() : sink_{&take, this, log_level::debug}, before_(set_log_sink(&sink_)) {}
  ~caught_reports() { set_log_sink(before_); }
  caught_reports(const caught_reports&) = delete;

  std::vector<report> all() const {
    std::lock_guard held(lock_);
    return reports_;
  }
  std::vector<report> of(std::string_view kind, pid who) const {
    std::vector<report> out;
    for (const report& r : all())
      if (r.kind == kind && r.headline.find(to_text(who)) != std::string::npos) out.push_back(r);
    return out;
  }
  bool any_about(pid who) const {
    for (const report& r : all())
      if (r.headline.find(to_text(who)) != std::string::npos && r.level >= log_level::error) return true;
    return false;
  }

 private:
  static void take(void* raw, const report& r) {
    auto& self = *static_cast<caught_reports*>(raw);
    std::lock_guard held(self.lock_);
    self.reports_.push_back(r);
  }
  mutable std::mutex lock_;
  std::vector<report> reports_;
  log_sink sink_;
  const log_sink* before_;
};

inline std::string field_of(const report& r, std::string_view name) {
  for (const auto& f : r.fields)
    if (f.name == name) return f.value;
  return {};
}

/// Runs `body` as a process and waits for its end.
template <class F>
exit_reason run_process(F body, const spawn_options& options = {}) {
  const monitored m = spawn_monitor(std::move(body), options);
  exit_reason why;
  receive(when([&](const down& d) { return d.ref == m.ref; }, [&](down d) { why = std::move(d.reason); }));
  return why;
}

/// Waits until `who` has ended. Returns: why.
inline exit_reason reason_of_end(pid who, reference ref) {
  exit_reason why;
  receive(when([&](const down& d) { return d.ref == ref && d.who == who; }, [&](down d) { why = std::move(d.reason); }));
  return why;
}

/// True if nothing is in the mailbox of the calling process or thread.
inline bool mailbox_is_empty() {
  bool empty = true;
  receive([&](message) { empty = false; }, after(duration{0}, [] {}));
  return empty;
}

/// What callbacks did, for tests to read.
class journal {
 public:
  void add(std::string what) {
    std::lock_guard held(lock_);
    lines_.push_back(std::move(what));
  }
  std::vector<std::string> lines() const {
    std::lock_guard held(lock_);
    return lines_;
  }
  bool has(const std::string& what) const {
    for (const auto& l : lines())
      if (l == what) return true;
    return false;
  }

 private:
  mutable std::mutex lock_;
  std::vector<std::string> lines_;
};

using lines = std::vector<std::string>;

/// A gate that a test opens for a handler that waits at it. Handlers poll it by sleeping as processes do.
class gate {
 public:
  void open() { opened_.store(true); }
  void pass() const {
    while (!opened_.load()) sleep_for(1ms);
  }
  bool is_open() const { return opened_.load(); }

 private:
  std::atomic<bool> opened_{false};
};

}  // namespace coppice::testing
