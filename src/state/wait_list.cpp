// SPDX-License-Identifier: Apache-2.0
//
// wait_list: see wait_list.hpp.
#include "state/wait_list.hpp"

namespace coppice::internal {

/// The waiter's entry, in the list until it is woken or gives up, however it leaves.
class wait_list::place {
 public:
  place(wait_list& in, slot& who, std::uint64_t number) noexcept : list_(in), entry_{.who = &who, .number = number} {
    sync::lock_guard held(list_.lock_);
    entry_.next = list_.first_.load(sync::relaxed);
    list_.first_.store(&entry_, sync::seq_cst);
  }
  ~place() {
    sync::lock_guard held(list_.lock_);
    if (!is_listed()) return;
    entry* e = list_.first_.load(sync::relaxed);
    if (e == &entry_) {
      list_.first_.store(entry_.next, sync::relaxed);
      return;
    }
    while (e->next != &entry_) e = e->next;
    e->next = entry_.next;
  }
  place(const place&) = delete;
  bool is_listed() const noexcept { return entry_.listed.load(sync::seq_cst) != 0; }
  place& operator=(const place&) = delete;

 private:
  wait_list& list_;
  entry entry_;
};

bool wait_list::wait(bool (*ready)(void*), void* context, std::int64_t timeout) {
  if (ready(context)) return true;
  if (timeout <= 0) return false;
  const std::int64_t deadline = timeout == sync::never ? sync::never : sync::now() + timeout;
  slot& s = detail::here();
  for (;;) {
    const std::uint64_t number = begin_wait(s);
    const place here_i_wait(*this, s, number);
    // What was so when it was woken may be otherwise by the time it asks: then it needs a place again.
    const auto ready_or_woken = [&] { return ready(context) || !here_i_wait.is_listed(); };
    const std::int64_t left = deadline == sync::never ? sync::never : deadline - sync::now();
    wait_until(s, number, wait_state::signals, left, [](void* c) -> bool { return (*static_cast<decltype(ready_or_woken)*>(c))(); },
               const_cast<void*>(static_cast<const void*>(&ready_or_woken)));
    if (ready(context)) return true;
    if (deadline != sync::never && sync::now() >= deadline) return false;
  }
}

void wait_list::wait_regardless(bool (*ready)(void*), void* context) noexcept {
  while (!ready(context)) {
    slot& s = detail::here();
    const std::uint64_t number = begin_wait(s);
    const place here_i_wait(*this, s, number);
    const auto ready_or_woken = [&] { return ready(context) || !here_i_wait.is_listed(); };
    internal::wait_regardless(s, number, sync::never, [](void* c) -> bool { return (*static_cast<decltype(ready_or_woken)*>(c))(); },
                              const_cast<void*>(static_cast<const void*>(&ready_or_woken)));
  }
}

void wait_list::wake_all() noexcept {
  // Pairs with `place`: either it is in the list, or it asks after this and finds the answer.
  sync::fence(sync::seq_cst);
  while (first_.load(sync::seq_cst) != nullptr) {
    slot* who = nullptr;
    std::uint64_t number = 0;
    {
      sync::lock_guard held(lock_);
      entry* e = first_.load(sync::relaxed);
      if (e == nullptr) return;
      first_.store(e->next, sync::relaxed);
      who = e->who;
      number = e->number;
      e->listed.store(0, sync::seq_cst);         // when the lock is given back it may be gone
    }
    wake(*who, number);
  }
}

}  // namespace coppice::internal
