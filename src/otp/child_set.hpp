// SPDX-License-Identifier: Apache-2.0
//
// child_set: the children of one supervisor, in the order in which they are started, found by id and by pid. Every operation
// but a walk costs the same however many there are (SV-90). Owned and touched by the supervisor alone.
//
// Invariants:
//   1. The ring through `older`/`newer` is the start order; a child keeps its place when it is restarted (SV-55).
//   2. `who` is set exactly while `state` is running, and exactly then the child is found by its pid.
//   3. A child's `attempt` changes whenever what it waits for is over, so a late retry is recognised.
#pragma once

#include <coppice/otp/supervisor.hpp>

#include "otp/restart_intensity.hpp"

#include <memory>
#include <string_view>
#include <unordered_map>

namespace coppice::internal {

struct supervised {
  child_spec spec;
  pid who{};
  child_state state = child_state::stopped;
  std::uint64_t attempt = 0;              // never used twice in a supervisor
  unsigned failures = 0;                  // in a row: for the back-off
  std::int64_t restarted_at = 0;          // kept with a back-off only; the first life has no failures before it
  restart_intensity own;                  // used with a limit of its own only
  supervised* older = nullptr;
  supervised* newer = nullptr;
};

class child_set {
 public:
  child_set() = default;
  child_set(const child_set&) = delete;
  child_set& operator=(const child_set&) = delete;

  supervised* find(std::string_view id) const noexcept {
    const auto at = by_id_.find(id);
    return at != by_id_.end() ? at->second.get() : nullptr;
  }
  supervised* find(pid who) const noexcept {
    const auto at = by_pid_.find(who);
    return at != by_pid_.end() ? at->second : nullptr;
  }
  supervised* oldest() const noexcept { return oldest_; }
  supervised* newest() const noexcept { return newest_; }

  /// Behind all others. The id is not there yet.
  supervised& append(child_spec spec) {
    auto made = std::make_unique<supervised>();
    supervised& c = *made;
    c.spec = std::move(spec);
    c.attempt = ++last_attempt_;
    by_id_.emplace(std::string_view(c.spec.id), std::move(made));
    c.older = newest_;
    (newest_ != nullptr ? newest_->newer : oldest_) = &c;
    newest_ = &c;
    if (c.spec.type == child_type::supervisor) ++supervisors_;
    return c;
  }
  /// It does not run.
  void erase(supervised& c) noexcept {
    (c.older != nullptr ? c.older->newer : oldest_) = c.newer;
    (c.newer != nullptr ? c.newer->older : newest_) = c.older;
    if (c.spec.type == child_type::supervisor) --supervisors_;
    by_id_.erase(std::string_view(c.spec.id));
  }
  /// The id stays.
  void replace_spec(supervised& c, child_spec spec) {
    if (c.spec.type == child_type::supervisor) --supervisors_;
    auto holder = by_id_.extract(std::string_view(c.spec.id));   // its key is text in the old spec
    c.spec = std::move(spec);
    holder.key() = c.spec.id;
    by_id_.insert(std::move(holder));
    if (c.spec.type == child_type::supervisor) ++supervisors_;
  }

  void runs(supervised& c, pid who) {
    by_pid_.emplace(who, &c);
    c.who = who;
    c.state = child_state::running;
    c.attempt = ++last_attempt_;
  }
  /// It has no process any more, and is `now` instead.
  void ended(supervised& c, child_state now) noexcept {
    if (c.who) by_pid_.erase(c.who);
    c.who = {};
    c.state = now;
    c.attempt = ++last_attempt_;
  }

  child_counts counts() const noexcept {
    return {.specs = by_id_.size(), .active = by_pid_.size(), .supervisors = supervisors_, .workers = by_id_.size() - supervisors_};
  }

 private:
  std::unordered_map<std::string_view, std::unique_ptr<supervised>> by_id_;   // the text is in the spec
  std::unordered_map<pid, supervised*> by_pid_;
  supervised* oldest_ = nullptr;
  supervised* newest_ = nullptr;
  std::uint64_t last_attempt_ = 0;
  std::size_t supervisors_ = 0;
};

}  // namespace coppice::internal
