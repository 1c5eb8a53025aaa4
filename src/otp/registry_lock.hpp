// SPDX-License-Identifier: Apache-2.0
//
// registry_lock: mutual exclusion by key, in a space of its own beside the entries. Who has a lock, or waits for one, has a
// place for it; the places of one bucket are chained under its spinlock. The lock goes from place to place in the order of
// coming.
//
// Invariants
//  1. Of the places of one key exactly one is granted, the one that came first; outside of the spinlock no key has places
//     none of which is granted.
//  2. A place is in its chain from the constructor of registry_lock to its destructor, or until the wait is unwound.
#pragma once

#include <coppice/otp/detail/registry.hpp>

#include "process/slot.hpp"

#include <cstdint>

namespace coppice::detail {

struct registry_lock::place {
  place* next = nullptr;                         // a newer one of the bucket
  key_ref key{};                                 // on the stack of who has or wants the lock
  std::uint64_t hash = 0;
  slot* waiter = nullptr;
  std::uint64_t serial = 0;                      // of the waiter
  std::uint64_t wait = 0;
  sync::atomic<int> granted{0, "lock granted"};
};

/// All places, by key.
struct registry_locks {
  static constexpr std::size_t buckets = 16;
  struct alignas(64) bucket {
    sync::spinlock guard;
    sync::var<registry_lock::place*> oldest;
  };
  bucket all[buckets];
};

}  // namespace coppice::detail

namespace coppice::internal {
using detail::registry_locks;
}
