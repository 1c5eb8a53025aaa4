// SPDX-License-Identifier: Apache-2.0
//
// Children that start at the same time: one fails, its starter is killed, the supervisor is killed. Whatever comes of it,
// nobody is left who belongs to nobody.
#include <coppice/otp/gen_server.hpp>
#include <coppice/otp/supervisor.hpp>
#include <coppice/process/process_info.hpp>

#include "sim/runtime/silence.hpp"
#include "sim/runtime/world.hpp"

namespace {

using namespace coppice;
using namespace coppice::testing;

struct victim { pid who; };
struct sign {};
struct waiting { pid who; };
struct go {};

enum class lot { starts, fails, dies_at_once, loses_its_starter, gives_sign, waits, hangs };

/// A child whose init does what its lot is. Told to `killer`: its starter, or, of one that hangs, its supervisor. With
/// one that loses its starter, another gives the sign for it, and a third waits until that is done.
struct twin {
  sync::atomic<int>* alive = nullptr;
  init_outcome<> init(sync::atomic<int>* a, lot mine, pid killer) {
    alive = a;
    alive->fetch_add(1, sync::relaxed);
    const std::vector<pid> above = process_info(self())->ancestors;
    switch (mine) {
      case lot::starts: break;
      case lot::fails: return fail(exit_reason("no"));
      case lot::dies_at_once: send(killer, victim{self()}); break;
      case lot::loses_its_starter: send(killer, victim{above.front()}); break;
      case lot::gives_sign: send(killer, sign{}); break;
      case lot::waits: send(killer, waiting{self()}), receive<go>(); break;
      case lot::hangs: send(killer, victim{above.at(1)}), receive<go>();
    }
    return ok();
  }
  twin() = default;
  twin(const twin&) = delete;
  ~twin() {
    if (alive != nullptr) alive->fetch_sub(1, sync::relaxed);
  }
};

/// What a start comes to whose first child has this lot; nobody lives after it and after a stop.
void start_three(lot of_one, bool may_start, bool may_fail) {
  const silence nobody_listens;
  sync::atomic<int> first{0, "first child"}, others{0, "other children"};
  world w({.workers = 2});
  const bool by_sign = of_one == lot::loses_its_starter;
  const pid killer = spawn([by_sign] {
    const pid who = receive<victim>().who;
    if (by_sign) receive<sign>();
    const reference end = monitor(who);
    exit(who, exit_reason::kill);
    await_end(end);
    send(receive<waiting>().who, go{});
  });
  const auto one = [&](const char* id, lot mine, sync::atomic<int>& alive) { return child<twin>({.id = id, .restart = temporary}, &alive, mine, killer); };
  const auto started = try_start_supervisor(
      {.start_in_parallel = true, .children = {one("a", of_one, first), one("b", by_sign ? lot::gives_sign : lot::starts, others), one("c", by_sign ? lot::waits : lot::starts, others)}});
  sim::check(started ? may_start : may_fail, "a start came to something else");
  if (started) {
    const child_counts now = started->count_children();
    sim::check(now.active == now.specs && now.specs >= 2, "children that are known run");
    stop(started->id());
  } else if (of_one != lot::hangs) {
    sim::check(others.load(sync::relaxed) == 0, "a start failed and left a child");
  }
  exit(killer, exit_reason::kill);
  for (std::vector<pid> left; !(left = processes()).empty();)
    for (const pid p : left) await_end(p);                   // who is forgotten stays, and so does this
  sim::check(first.load(sync::relaxed) == 0 && others.load(sync::relaxed) == 0, "an orphan");
}

void one_fails() { start_three(lot::fails, false, true); }
void one_dies() { start_three(lot::dies_at_once, true, false); }
void starter_killed() { start_three(lot::loses_its_starter, true, true); }
void supervisor_killed() { start_three(lot::hangs, false, true); }

const sim::scenario scenarios[] = {{"parallel_start_one_fails", &one_fails, whole_program()},
                                   {"parallel_start_one_dies", &one_dies, whole_program()},
                                   {"parallel_start_starter_killed", &starter_killed, whole_program()},
                                   {"parallel_start_supervisor_killed", &supervisor_killed, whole_program()}};

}  // namespace
