// SPDX-License-Identifier: Apache-2.0
//
// child_stop: monitor, tell, wait, kill. The monitor and not the link says that a child is gone, so that one which unlinked
// itself cannot hold its supervisor up (SV-51). The link stays until the end: a supervisor that is killed while it waits
// takes its children with it.
//
// A child that had ended before anybody told it to has its EXIT in the mailbox: that says why, its DOWN only says noproc.
#include "otp/child_stop.hpp"

#include <coppice/base/detail/sync.hpp>
#include <coppice/process/process.hpp>
#include <coppice/process/receive.hpp>

#include "process/mailbox.hpp"
#include "runtime/planted.hpp"

#include <algorithm>
#include <unordered_map>

namespace coppice::internal {

namespace {

namespace sync = detail::sync;

/// Waits for the end of the monitored process.
bool wait_for_end(reference ref, duration wait, exit_reason& why) {
  if (planted::is(planted::stop_waits_for_link)) return receive([&](exit_signal e) { why = std::move(e.reason); }, after(wait, [] {}));
  return receive(when([&](const down& d) { return d.ref == ref; }, [&](down d) { why = std::move(d.reason); }), after(wait, [] {}));
}

/// The EXIT of `who`, if it is here. Says why a child ended that the monitor found dead.
void flush_exit(pid who, exit_reason& why) {
  unlink(who);
  receive(when([&](const exit_signal& e) { return e.who == who; },
               [&](exit_signal e) { if (why.is(exit_reason::noproc)) why = std::move(e.reason); }),
          after(duration{0}, [] {}));
}

}  // namespace

exit_reason stop_child(pid who, const shutdown_time& time) {
  const bool kill = time.is_brutal_kill();
  const exit_reason as_told = kill ? exit_reason::killed : exit_reason::shutdown;
  if (!planted::is(planted::stop_waits_for_link) && end_if_idle(who, as_told, kill)) return as_told;
  const reference ref = monitor(who);
  exit_reason why;
  if (kill) {
    exit(who, exit_reason::kill);
    wait_for_end(ref, infinity, why);
  } else {
    exit(who, exit_reason::shutdown);
    if (!wait_for_end(ref, time.wait(), why)) {
      exit(who, exit_reason::kill);
      wait_for_end(ref, infinity, why);
    }
  }
  flush_exit(who, why);
  return why;
}

namespace {

/// Those that have not ended, by monitor and by pid.
struct leaving_children {
  struct entry {
    ending_child child;
    std::uint64_t ref;
    exit_reason told{};                   // by its EXIT
    bool has_told = false;
  };
  std::unordered_map<pid, entry> all;
  void (*gone)(void*, void*, pid, const exit_reason&);
  void* context;

  void note_exit(const exit_signal& e) {
    const auto c = all.find(e.who);
    if (c == all.end()) return;
    c->second.told = e.reason;
    c->second.has_told = true;
  }
  void note_down(const down& d) {
    const auto c = all.find(d.who);
    const entry e = std::move(c->second);
    all.erase(c);
    gone(context, e.child.child, d.who, d.reason.is(exit_reason::noproc) && e.has_told ? e.told : d.reason);
  }
  bool awaits(const down& d) const {
    const auto c = all.find(d.who);
    return c != all.end() && c->second.ref == d.ref.number();
  }

  /// Returns: false when the time has passed first.
  bool next(duration wait) {
    return receive(when([this](const down& d) { return awaits(d); }, [this](const down& d) { note_down(d); }),
                   when([this](const exit_signal& e) { return all.contains(e.who); }, [this](const exit_signal& e) { note_exit(e); }),
                   after(wait, [] {}));
  }
};

void kill_those_due(leaving_children& leaving, duration time) {
  for (auto& [who, e] : leaving.all)
    if (!e.child.time.is_brutal_kill() && e.child.time.wait() <= time) exit(who, exit_reason::kill);
}

}  // namespace

void stop_children(std::vector<ending_child> children, void (*gone)(void*, void*, pid, const exit_reason&), void* context) {
  leaving_children leaving{.all = {}, .gone = gone, .context = context};
  leaving.all.reserve(children.size());
  std::vector<duration> times;
  for (const ending_child& c : children) {
    leaving.all.emplace(c.who, leaving_children::entry{c, monitor(c.who).number()});
    if (!c.time.is_brutal_kill() && c.time.wait() != infinity) times.push_back(c.time.wait());
  }
  std::sort(times.begin(), times.end());
  times.erase(std::unique(times.begin(), times.end()), times.end());
  const std::int64_t began = times.empty() ? 0 : sync::now();
  for (const ending_child& c : children) exit(c.who, c.time.is_brutal_kill() ? exit_reason::kill : exit_reason::shutdown);
  for (const duration time : times) {
    while (!leaving.all.empty())
      if (!leaving.next(time_until(began + time.count()))) break;
    kill_those_due(leaving, time);
  }
  while (!leaving.all.empty()) leaving.next(infinity);
}

bool is_expected_end(const exit_reason& why, restart_type restart, const shutdown_time& time) noexcept {
  if (why.is(exit_reason::shutdown) && (why.text().empty() || restart != permanent)) return true;
  if (why.is(exit_reason::normal) && restart != permanent) return true;
  return time.is_brutal_kill() && why.is(exit_reason::killed);
}

}  // namespace coppice::internal
