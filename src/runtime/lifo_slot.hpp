// SPDX-License-Identifier: Apache-2.0
//
// lifo_slot: a worker's place for the one thing that it runs next. The owner puts and takes many millions of times a second,
// the monitor thread empties it when the owner is stuck: a few times an hour. So the owner pays no locked instruction, and the
// thief pays for both: a lock that is biased towards the owner.
//
//   owner:  inside_ = 1;  light fence;  wanted_ == 0?  -> use the slot;  inside_ = 0
//   thief:  wanted_ = 1;  heavy fence;  inside_ == 0?  -> use the slot;  wanted_ = 0
//
// The two fences together are two sequentially consistent ones (sync::light_fence): of an owner and a thief who come at the
// same moment at least one sees the other. A thief who sees the owner inside goes away; an owner who sees a thief waits for the
// few instructions that it takes. Where the system has no heavy fence nothing may be stolen, and the scheduler uses no slot.
//
// Invariants
//  1. Only the owner fills the slot, and only when it is empty: so it needs to be inside only to empty it.
//  2. Whoever reads a thing out of the slot has stored null there before anybody else may read it.
//
// Orders: `wanted_ = 0` is a release that pairs with the owner's acquire look, and `inside_ = 0` one that pairs with the
// thief's: what the one did to the slot is seen by the other. The slot's own release and acquire carry the thing itself.
#pragma once

#include <coppice/base/detail/sync.hpp>

#include "runtime/planted.hpp"

namespace coppice::internal {

namespace sync = coppice::detail::sync;

template <class T>
class lifo_slot {
 public:
  lifo_slot() = default;
  lifo_slot(const lifo_slot&) = delete;
  lifo_slot& operator=(const lifo_slot&) = delete;

  /// What it was a moment ago. Thread: any.
  bool is_empty() const noexcept { return item_.load(sync::relaxed) == nullptr; }

  /// Puts `item` here. Returns: what was here before, or null. Thread: the owner.
  T* put(T* item) noexcept {
    T* before = item_.load(sync::relaxed) != nullptr ? take() : nullptr;
    item_.store(item, sync::release);  // a thief sees the thing as we left it
    return before;
  }

  /// Empties it. Thread: the owner.
  T* take() noexcept {
    if (item_.load(sync::relaxed) == nullptr) return nullptr;   // only the owner fills it
    for (;;) {
      inside_.store(1, sync::relaxed);
      if (!planted::is(planted::lifo_without_fence)) sync::light_fence();
      if (wanted_.load(sync::acquire) == 0) [[likely]] break;
      inside_.store(0, sync::release);
      while (wanted_.load(sync::acquire) != 0) sync::relax();
    }
    T* item = item_.load(sync::relaxed);
    item_.store(nullptr, sync::relaxed);
    inside_.store(0, sync::release);
    return item;
  }

  /// Empties it, unless the owner is just there. Thread: one at a time that is not the owner.
  T* steal() noexcept {
    wanted_.store(1, sync::relaxed);
    const bool fenced = sync::heavy_fence();
    T* item = nullptr;
    if (fenced && (inside_.load(sync::acquire) == 0 || planted::is(planted::lifo_by_load_store))) {
      item = item_.load(sync::acquire);
      if (item != nullptr) item_.store(nullptr, sync::relaxed);
    }
    wanted_.store(0, sync::release);
    return item;
  }

 private:
  sync::atomic<T*> item_{nullptr, "lifo"};
  sync::atomic<std::uint32_t> inside_{0, "lifo inside"};   // 1: the owner is emptying it
  sync::atomic<std::uint32_t> wanted_{0, "lifo wanted"};   // 1: a thief is
};

}  // namespace coppice::internal
