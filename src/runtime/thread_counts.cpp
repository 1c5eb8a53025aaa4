// SPDX-License-Identifier: Apache-2.0
#include "runtime/thread_counts.hpp"

#include <new>

namespace coppice::internal {

namespace {

struct all_counts {
  sync::spinlock lock;
  thread_counts* first = nullptr;
  std::uint64_t of_ended[thread_counts::kinds] = {};
};
all_counts all;

}  // namespace

thread_counts::thread_counts() noexcept {
  sync::lock_guard held(all.lock);
  next = all.first;
  if (next != nullptr) next->before = this;
  all.first = this;
}

thread_counts::~thread_counts() {
  sync::lock_guard held(all.lock);
  (before != nullptr ? before->next : all.first) = next;
  if (next != nullptr) next->before = before;
  for (std::size_t i = 0; i != kinds; ++i) all.of_ended[i] += of[i].get();
}

std::uint64_t sum_of(counted what) noexcept {
  const auto i = static_cast<std::size_t>(what);
  sync::lock_guard held(all.lock);
  std::uint64_t sum = all.of_ended[i];
  for (const thread_counts* t = all.first; t != nullptr; t = t->next) sum += t->of[i].get();
  return sum;
}

void renew_thread_counts() noexcept { ::new (&all) all_counts; }

}  // namespace coppice::internal
