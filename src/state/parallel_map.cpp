// SPDX-License-Identifier: Apache-2.0
//
// parallel_map: how many calls of its function run, and the end of it: nothing begins any more, what runs is waited for.
#include <coppice/state/parallel_map.hpp>

#include <coppice/base/detail/sync.hpp>
#include <coppice/state/state_error.hpp>

#include "state/wait_list.hpp"

namespace coppice::detail {

/// Counted: a call that ends last may outlive the range.
struct running_tasks {
  static constexpr std::uint32_t closed = 1;
  static constexpr std::uint32_t one = 2;

  sync::atomic<std::uint32_t> holders{1, "running tasks"};
  sync::atomic<std::uint32_t> word{0, "calls that run"};  // closed, and two for each call
  internal::wait_list waiters;
};

running_tasks* make_running_tasks() { return new running_tasks; }
void hold_running(running_tasks& r) noexcept { r.holders.fetch_add(1, sync::relaxed); }
void drop_running(running_tasks* r) noexcept {
  if (r->holders.fetch_sub(1, sync::acq_rel) == 1) delete r;
}

void close_running(running_tasks& r) noexcept {
  r.word.fetch_add(running_tasks::closed, sync::seq_cst);
  r.waiters.wait_regardless([&] { return r.word.load(sync::seq_cst) == running_tasks::closed; });
}

std::size_t default_ahead() noexcept { return std::size_t{sync::cores()} + 2; }

running_one::running_one(running_tasks& of) : of_(of) {
  if ((of.word.fetch_add(running_tasks::one, sync::seq_cst) & running_tasks::closed) == 0) return;
  of.word.fetch_sub(running_tasks::one, sync::seq_cst);
  of.waiters.wake_all();                         // the closing may have seen this one
  throw cancelled("parallel_map: its results are not wanted any more");
}

running_one::~running_one() {
  of_.word.fetch_sub(running_tasks::one, sync::seq_cst);
  of_.waiters.wake_all();
}

}  // namespace coppice::detail
