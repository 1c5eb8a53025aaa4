// SPDX-License-Identifier: Apache-2.0
//
// parallel_start: each child is started by a process of its own, a starter, which hands it over and ends. Until the hand-over
// the child is linked to its starter and the starter to the supervisor, so that nothing is orphaned whoever dies when. A
// starter waits for an init that may never end, and does not die of its child: so a guard beside it kills it when the supervisor
// ends, and the child with it.
#include "otp/parallel_start.hpp"

#include <coppice/process/process.hpp>
#include <coppice/process/receive.hpp>

#include "otp/supervisor_core.hpp"
#include "process/adopt.hpp"
#include "runtime/planted.hpp"

#include <algorithm>

namespace coppice::internal {

namespace {

struct started_at {
  reference batch;
  std::size_t at;
  pid starter;
  started_child outcome;
};
struct handed_over {};

/// The body of a guard.
void guard(pid supervisor, pid starter) {
  const reference of_supervisor = monitor(supervisor);
  (void)monitor(starter);
  receive([&](down d) {
    if (d.ref == of_supervisor) exit(starter, exit_reason::kill);
  });
}

/// The body of a starter.
struct starter {
  child_spec spec;
  pid supervisor;
  reference batch;
  std::size_t at;

  void operator()() {
    trap_exit(true);                                     // a child that dies at once is the supervisor's business
    if (!planted::is(planted::starter_unguarded)) spawn([of = supervisor, me = self()] { guard(of, me); }, {.label = "guard of a starter"});
    started_child outcome = start_linked(spec);
    const pid child = outcome.who();
    const bool made = outcome.is(started_child::started);
    send(supervisor, started_at{batch, at, self(), std::move(outcome)});
    if (!made) return;
    receive<handed_over>();
    unlink(child);
  }
};

}  // namespace

std::vector<started_child> start_in_parallel(const std::vector<child_spec*>& specs) {
  const reference batch = reference::make();
  std::vector<pid> starters;
  for (std::size_t i = 0; i < specs.size(); ++i)
    starters.push_back(spawn_link(starter{*specs[i], self(), batch, i}, {.label = "starter of " + specs[i]->id}));
  std::vector<started_child> outcomes(specs.size(), started_child::failure(exit_reason::killed));
  std::vector<bool> settled(specs.size());
  std::size_t left = specs.size();
  const auto settle = [&](std::size_t at, started_child outcome) {
    outcomes[at] = std::move(outcome);
    settled[at] = true;
    --left;
  };
  while (left != 0) {
    receive(when([&](const started_at& s) { return s.batch == batch; },
                 [&](started_at s) {
                   settle(s.at, std::move(s.outcome));
                   if (!outcomes[s.at].is(started_child::started)) return;
                   link(outcomes[s.at].who());           // dead already: its EXIT comes, and with it a restart
                   adopt(outcomes[s.at].who());
                   send(s.starter, handed_over{});
                 }),
            when([&](const exit_signal& e) { return std::find(starters.begin(), starters.end(), e.who) != starters.end() && !e.reason.is(exit_reason::normal); },
                 [&](exit_signal e) {                    // somebody killed a starter; what it had started before counts
                   const std::size_t at = static_cast<std::size_t>(std::find(starters.begin(), starters.end(), e.who) - starters.begin());
                   if (!settled[at] || planted::is(planted::starter_counted_twice)) settle(at, started_child::failure(std::move(e.reason)));
                 }));
  }
  for (const pid s : starters) unlink_and_flush(s);
  for (std::size_t i = 0; i < specs.size(); ++i)
    if (outcomes[i].is(started_child::started) && specs[i]->restart == temporary) specs[i]->start.forget_arguments();
  return outcomes;
}

}  // namespace coppice::internal
