// SPDX-License-Identifier: Apache-2.0
//
// Supervisors against children that die, unlink, or cannot start, at any moment.
#include <coppice/otp/gen_server.hpp>
#include <coppice/otp/supervisor.hpp>

#include "sim/runtime/silence.hpp"
#include "sim/runtime/world.hpp"

namespace {

using namespace coppice;
using namespace coppice::testing;

struct leave_alone { using reply = void; pid who; };
struct sheep {
  sync::atomic<int>* alive = nullptr;
  int failing_start = 0;                                       // the start of this number fails
  sync::atomic<int>* starts = nullptr;
  init_outcome<> init(sync::atomic<int>* a, sync::atomic<int>* s, int failing) {
    if (s->fetch_add(1, sync::relaxed) + 1 == failing) return fail(exit_reason("no"));
    alive = a;
    alive->fetch_add(1, sync::relaxed);
    return ok();
  }
  sheep() = default;
  sheep(const sheep&) = delete;
  ~sheep() {
    if (alive != nullptr) alive->fetch_sub(1, sync::relaxed);
  }
  void handle_call(leave_alone l) { unlink(l.who); }
};

struct counters {
  sync::atomic<int> alive{0, "children"};
  sync::atomic<int> starts{0, "starts"};
};

supervisor start_shepherd(counters& c, int failing = 0, child_options options = {}) {
  options.id = "a";
  return start_supervisor({.intensity = 10, .period = 1h, .children = {child<sheep>(options, &c.alive, &c.starts, failing)}});
}
pid child_of(const supervisor& s) { return s.which_child("a").who; }

/// A child is killed, and unlinks itself, while its supervisor stops it: it is gone, and stays away or comes back once.
void dies_while_stopped() {
  const silence nobody_listens;
  world w({.workers = 2});
  counters count;
  const supervisor s = start_shepherd(count, 0, {.shutdown = infinity});
  const pid a = child_of(s);
  const pid killer = spawn([a] { exit(a, exit_reason::kill); });
  s.terminate_child("a");
  await_end(killer);
  const child_information now = s.which_child("a");
  sim::check(now.state == child_state::stopped, "a child that was stopped is not stopped");
  sim::check(count.alive.load(sync::relaxed) == 0, "a stopped child lives");
  s.restart_child("a");
  sim::check(count.alive.load(sync::relaxed) == 1, "one child, one process");
  stop(s.id());
  sim::check(count.alive.load(sync::relaxed) == 0, "an orphan");
}

void unlinked_while_stopped() {
  const silence nobody_listens;
  world w({.workers = 2});
  counters count;
  const supervisor s = start_shepherd(count, 0, {.shutdown = infinity});
  const server_ref<sheep> a(child_of(s));
  const pid unlinker = spawn([a, s] { (void)try_call(a, leave_alone{s.id()}, infinity); });
  s.terminate_child("a");
  await_end(unlinker);
  sim::check(count.alive.load(sync::relaxed) == 0, "a stopped child lives");
  stop(s.id());
}

pid start_alone(sync::atomic<int>* alive, sync::atomic<int>* starts) { return start<sheep>({}, alive, starts, 0); }

/// A child that its function did not link is killed as soon as it is known: its supervisor sees that.
void start_against_kill() {
  const silence nobody_listens;
  world w({.workers = 2});
  counters count;
  const supervisor s = start_supervisor({.intensity = 10, .period = 1h});
  const pid a = s.start_child(child({.id = "a"}, &start_alone, &count.alive, &count.starts)).who();
  const pid killer = spawn([a] { exit(a, exit_reason::kill); });
  await_end(killer);
  await_end(a);
  const child_information now = s.which_child("a");
  sim::check(now.state == child_state::running && now.who != a, "the end of a child was not seen");
  sim::check(count.starts.load(sync::relaxed) == 2, "a crash is one restart");
  stop(s.id());
  sim::check(count.alive.load(sync::relaxed) == 0, "an orphan");
}

/// A child whose restart fails is stopped while the next attempt waits in the mailbox.
void stopped_while_restarting() {
  const silence nobody_listens;
  world w({.workers = 2});
  counters count;
  const supervisor s = start_shepherd(count, 2);
  const pid a = child_of(s);
  exit(a, exit_reason::kill);
  s.terminate_child("a");
  sim::check(s.which_child("a").state == child_state::stopped, "an attempt that was cancelled was made");
  sim::check(count.alive.load(sync::relaxed) == 0, "a stopped child lives");
  s.restart_child("a");
  (void)s.count_children();
  sim::check(count.alive.load(sync::relaxed) == 1, "a child was started twice");
  stop(s.id());
  sim::check(count.alive.load(sync::relaxed) == 0, "an orphan");
}

/// A named child is killed again and again: each replacement has the name, at the first attempt.
void restart_against_name() {
  const silence nobody_listens;
  world w({.workers = 2});
  counters count;
  const supervisor s = start_shepherd(count, 0, {.name = "sheep"});
  for (int times = 0; times != 2; ++times) {
    const pid a = child_of(s);
    const pid killer = spawn([a] { exit(a, exit_reason::kill); });
    await_end(a);
    await_end(killer);
    const pid now = child_of(s);
    sim::check(bool(now) && now != a, "the end of a child was not seen");
    sim::check(whereis("sheep") == now, "the replacement has not the name");
  }
  sim::check(count.starts.load(sync::relaxed) == 3, "a restart found its own name taken");
  stop(s.id());
}

const sim::scenario scenarios[] = {
    {"supervisor_dies_while_stopped", &dies_while_stopped, whole_program()},
    {"supervisor_unlinked_while_stopped", &unlinked_while_stopped, whole_program()},
    {"supervisor_start_against_kill", &start_against_kill, whole_program()},
    {"supervisor_stopped_while_restarting", &stopped_while_restarting, whole_program()},
    {"supervisor_restart_against_name", &restart_against_name, whole_program()},
};

}  // namespace
