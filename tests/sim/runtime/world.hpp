// SPDX-License-Identifier: Apache-2.0
//
// world: what scenarios of the runtime stand on: program-wide state that is new in each run, a system whose workers give up
// searching at once, and a process that begins on the calling thread.
//
// Inside a simulated run only. End a scenario by its own protocol and without a time limit: a world that is stopped waits for
// its threads as long as it takes, so whoever was forgotten shows as a deadlock.
#pragma once

#include <coppice/process/process.hpp>
#include <coppice/process/receive.hpp>

#include "process/mailbox.hpp"
#include "process/spawn.hpp"
#include "process/system.hpp"
#include "sim/driver.hpp"
#include "sim/structures/runs.hpp"

#include <utility>

namespace coppice::testing {

namespace sim = internal::sim;
namespace sync = detail::sync;
using internal::slot;

/// For scenarios that use pools, processes or systems.
sim::scenario_options whole_program();

struct world_options {
  unsigned workers = 1;
  bool monitor = false;
  int search_rounds = 1;
};

class world {
 public:
  explicit world(const world_options& options = {});
  /// Checks that no process is left.
  ~world();
  world(const world&) = delete;
  world& operator=(const world&) = delete;

  /// Makes it the calling thread's, too.
  void enter() const noexcept;
  internal::system& system() noexcept { return *system_; }

 private:
  internal::system* system_;
};

/// Ended once, waited for by anybody, however late.
class signpost {
 public:
  void set() noexcept {
    word_.store(1, sync::release);
    sync::futex_wake(&word_, 16);
  }
  void wait() noexcept {
    while (word_.load(sync::acquire) == 0) sync::futex_wait(word_, 0);
  }

 private:
  sync::futex_word word_{0, "signpost"};
};

/// Where the threads of a scenario wait for one another, each with its caches filled: from there on they race.
class start_line {
 public:
  explicit start_line(std::uint32_t runners) : missing_(runners) {}
  void pass() noexcept {
    if (missing_.fetch_sub(1, sync::acq_rel) == 1) return open_.set();
    open_.wait();
  }

 private:
  sync::atomic<std::uint32_t> missing_;
  signpost open_;
};

/// A process that is made but not scheduled: the calling thread owns it.
template <class F>
slot& make_process(internal::system& in, F body) {
  slot& s = internal::new_process(detail::body_of<F>::plain[0], in);
  detail::body_of<F>::construct(detail::state_of(s), &body);
  detail::set(s, detail::started);
  return s;
}

/// Takes everything out of the caller's mailbox. Returns: how many messages that were.
inline int flush() {
  int n = 0;
  while (receive([](message&) {}, after(duration{0}, [] {}))) ++n;
  return n;
}

/// Waits for the DOWN of `ref`; any other DOWN fails the run.
inline exit_reason await_down(reference ref) {
  exit_reason why;
  receive([&](down d) {
    sim::check(d.ref == ref, "a DOWN for a monitor that is not");
    why = std::move(d.reason);
  });
  return why;
}

inline void await_end(reference ref) { static_cast<void>(await_down(ref)); }
inline void await_end(pid who) { await_end(monitor(who)); }

}  // namespace coppice::testing
