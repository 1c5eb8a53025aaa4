// SPDX-License-Identifier: Apache-2.0
//
// wait_list: processes and threads that wait until something is so: a promise delivered, a transaction over, a marker reached.
//
// Whoever makes it so stores that with seq_cst and then calls wake_all; whoever waits asks with a seq_cst load. The entry is on
// the waiter's stack and is taken out by whoever comes first: the waker, or the waiter that gives up.
#pragma once

#include <coppice/base/detail/sync.hpp>

#include "process/mailbox.hpp"

namespace coppice::internal {

class wait_list {
 public:
  /// Waits until `ready(context)`, at most `timeout` ns (sync::never: without a limit; 0 and less: only a look).
  /// Returns:  whether it is so.   Fails: as every wait: unwinds a process that has to end, refuses in a leaf handler.
  bool wait(bool (*ready)(void*), void* context, std::int64_t timeout = sync::never);
  template <class Ready>
  bool wait(Ready&& ready, std::int64_t timeout = sync::never) {
    return wait([](void* c) -> bool { return (*static_cast<std::remove_reference_t<Ready>*>(c))(); }, &ready, timeout);
  }
  /// The same for destructors: it is so when this returns, even if the waiter has to end.
  void wait_regardless(bool (*ready)(void*), void* context) noexcept;
  template <class Ready>
  void wait_regardless(Ready&& ready) noexcept {
    wait_regardless([](void* c) -> bool { return (*static_cast<std::remove_reference_t<Ready>*>(c))(); }, &ready);
  }
  void wake_all() noexcept;
  /// Whether somebody is in the list; a hint.
  bool has_waiters() const noexcept { return first_.load(sync::acquire) != nullptr; }

 private:
  struct entry {
    slot* who;
    std::uint64_t number;
    entry* next = nullptr;
    sync::atomic<std::uint32_t> listed{1, "listed"};  // changed under lock_
  };
  class place;

  sync::spinlock lock_;
  sync::atomic<entry*> first_{nullptr, "waiters"};  // changed under lock_; looked at without it
};

/// Mutual exclusion that may be held over a user's function: who has to wait leaves its stack.
class state_mutex {
 public:
  void lock() {
    while (held_.exchange(1, sync::seq_cst) != 0)
      waiters_.wait([this] { return held_.load(sync::seq_cst) == 0; });
  }
  void unlock() noexcept {
    held_.store(0, sync::seq_cst);
    waiters_.wake_all();
  }

 private:
  sync::atomic<std::uint32_t> held_;
  wait_list waiters_;
};

template <class Mutex>
class holding {
 public:
  explicit holding(Mutex& m) : mutex_(m) { mutex_.lock(); }
  ~holding() { mutex_.unlock(); }
  holding(const holding&) = delete;
  holding& operator=(const holding&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace coppice::internal
