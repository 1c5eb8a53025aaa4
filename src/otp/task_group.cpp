// SPDX-License-Identifier: Apache-2.0
//
// task_group: the list of what runs, and the end of the scope.
#include <coppice/otp/task_group.hpp>

#include <coppice/base/to_text.hpp>
#include <coppice/process/process.hpp>

#include "otp/task_core.hpp"

#include <string>

namespace coppice::internal {

using detail::group_core;

namespace {

/// The group's share of a place that has ended.
void let_go_of(result_place* p) noexcept { release_place(p); }

bool none_runs(void* raw) { return static_cast<const group_core*>(raw)->running.empty(); }
bool none_runs_or_one_failed(void* raw) {
  const auto& g = *static_cast<const group_core*>(raw);
  return g.running.empty() || !g.failed.empty();
}

void tell_all(const group_core& g, exit_reason::code signal) {
  for (const result_place* p : g.running) exit(p->task, signal);
}

/// Ends what runs; nothing cuts it short.
void end_all(group_core& g) noexcept {
  if (g.running.empty()) return;
  slot& owner = *g.owner.where();
  tell_all(g, exit_reason::shutdown);
  if (await_list_regardless(owner, g, nanoseconds(g.shutdown), &none_runs, &g)) return;
  tell_all(g, exit_reason::kill);
  await_list_regardless(owner, g, sync::never, &none_runs, &g);
}

/// The first failure that nobody has taken through a handle.
result_place* first_failure(group_core& g) noexcept {
  result_place* first = nullptr;
  for (result_place* p : g.failed) {
    if (first == nullptr && !p->taken) first = p;
    else let_go_of(p);
  }
  g.failed.clear();
  return first;
}

constexpr std::size_t most_failures = 64;       // kept: a group that nobody asks must not grow

void note_done(done_list& home, result_place& p) noexcept {
  auto& g = static_cast<group_core&>(home);
  result_place* last = g.running.back();
  g.running[p.index] = last;
  last->index = p.index;
  g.running.pop_back();
  if (!p.has_value && !p.taken && g.failed.size() < most_failures)
    g.failed.push_back(&p);
  else
    let_go_of(&p);
}

}  // namespace
}  // namespace coppice::internal

namespace coppice::detail {

using namespace coppice::internal;

group_core* make_group(const task_group_options& options) {
  if (options.shutdown < duration{0}) throw std::invalid_argument("task_group: a negative time for the shutdown");
  slot& me = here();
  if (has(me, leaf)) throw exit_error(exit_reason::blocking_in_leaf, "task_group: a leaf handler must not wait, and the end of a group does");
  auto* g = new group_core;
  g->note = &note_done;
  g->owner = pid_of(me);
  g->shutdown = options.shutdown;
  g->failed.reserve(most_failures);              // note_done has no way to say that there is no memory
  return g;
}

void end_group(group_core* g) noexcept {
  collect(*g);
  end_all(*g);
  for (result_place* p : g->failed) let_go_of(p);
  delete g;
}

result_place* start_in_group(group_core& g, const task_start& what) {
  owner_only(g.owner, "a task of a group");
  if (g.has_some()) collect(g);
  result_place* p = new_place(*what.type, false);
  p->home = &g;
  p->holders.store(2, sync::relaxed);
  p->word.store(reinterpret_cast<std::uintptr_t>(static_cast<done_list*>(&g)) | result_place::listed, sync::relaxed);
  try {
    p->index = static_cast<std::uint32_t>(g.running.size());
    g.running.push_back(p);
    spawn_for(p, what);
  } catch (...) {
    if (p->task) {
      let_go_of(p);                              // the handle's share: its end comes on the list
      throw;
    }
    g.running.pop_back();
    discard_place(p);
    throw;
  }
  return p;
}

void await_group(group_core& g, duration timeout) {
  slot& me = owner_only(g.owner, "await_all of a group");
  const std::int64_t deadline = deadline_after(timeout);
  for (;;) {
    if (!await_list(me, g, nanoseconds(time_until(deadline)), &none_runs_or_one_failed, &g)) break;
    if (result_place* failed = first_failure(g)) {
      end_all(g);
      task_failed why = failure_of(*failed);
      let_go_of(failed);
      throw why;
    }
    if (g.running.empty()) return;
  }
  throw task_timeout(g.running.front()->task, "await_all: " + std::to_string(g.running.size()) + " tasks of the group still run after " +
                                                  duration_text(timeout.count()));
}

void cancel_group(group_core& g) {
  owner_only(g.owner, "cancel of a group");
  collect(g);
  tell_all(g, exit_reason::shutdown);
}

std::size_t running_in_group(group_core& g) {
  owner_only(g.owner, "size of a group");
  collect(g);
  return g.running.size();
}

}  // namespace coppice::detail
