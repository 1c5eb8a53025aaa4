// SPDX-License-Identifier: Apache-2.0
//
// local_queue: a worker's own run queue, a ring of 256 pointers that idle workers steal from.
//
// One thread is the owner: it alone pushes, and it pops. Any thread may steal, also while the owner stands still in
// somebody's blocking code. The owner's push needs no locked instruction, its pop one. A full ring says so, or hands half of
// itself to the caller's global queue.
//
// `head_` and `tail_` count from 0 without end (64 bits never come round), an index modulo 256 is the place in the ring.
//
// Invariants
//  1. head <= tail <= head + 256; the items are those in [head, tail).
//  2. Only the owner moves `tail_`, only upwards. `head_` moves upwards, by compare-and-swap: whoever moved it has the items
//     it passed. Whoever fails has read places that may have been refilled, and forgets what it read.
//  3. A place is written again only after `head_` has passed it.
//
// Orders
//  - `tail_`: the owner's release store (push, steal_half_from) pairs with a thief's acquire load: the place, and the item behind
//    the pointer, are written before. Otherwise the thief runs what it cannot see yet.
//  - `head_`: a thief's compare-and-swap is a release that pairs with the owner's acquire load in push: the thief has read
//    its places before the owner writes them again. It and the owner's release in pop also pair with a thief's acquire load:
//    who sees a new head sees no tail that is older than it, which would look like more items than there are.
#pragma once

#include <coppice/base/detail/sync.hpp>

#include "runtime/planted.hpp"

#include <cstddef>
#include <cstdint>

namespace coppice::internal {

namespace sync = coppice::detail::sync;

/// `Capacity` is even; only tests choose another one.
template <class T, std::uint64_t Capacity = 256>
class local_queue {
 public:
  static constexpr std::uint64_t capacity = Capacity;

  local_queue() = default;
  local_queue(const local_queue&) = delete;
  local_queue& operator=(const local_queue&) = delete;

  /// Adds `item` at the tail. Returns: false if the ring is full. A caller that goes on to ask whether somebody sleeps needs
  /// a sequentially consistent fence between the two.
  /// Thread: the owner.
  [[nodiscard]] bool push(T* item) noexcept {
    const std::uint64_t tail = tail_.load(sync::relaxed);  // ours
    const std::uint64_t head = head_.load(sync::acquire);  // pairs with the thieves' compare-and-swap: they have read
    if (tail - head == capacity) return false;
    place(tail).store(item, sync::relaxed);
    tail_.store(tail + 1, sync::release);  // pairs with steal: the item is complete
    return true;
  }

  /// As above; if the ring is full, calls `overflow(T** items, std::size_t count)` with its older half and `item`, oldest
  /// first: they are the callee's then.
  template <class Overflow>
  void push(T* item, Overflow&& overflow) {
    while (!push(item)) {
      T* half[capacity / 2 + 1];
      const std::uint64_t head = tail_.load(sync::relaxed) - capacity;  // the one with which it is full
      if (!take(head, capacity / 2, half)) continue;                    // a thief made room
      half[capacity / 2] = item;
      overflow(static_cast<T**>(half), std::size_t{capacity / 2 + 1});
      return;
    }
  }

  /// Takes the oldest item, or null. Thread: the owner.
  T* pop() noexcept {
    const std::uint64_t tail = tail_.load(sync::relaxed);  // ours
    std::uint64_t head = head_.load(sync::relaxed);        // the compare-and-swap tells whether it still holds
    while (head != tail) {
      T* item = place(head).load(sync::relaxed);
      if (head_.cas_weak(head, head + 1, sync::release)) return item;  // pairs with steal's look at head
    }
    return nullptr;
  }

  /// Takes the older half of `victim`, at least one item: returns the oldest, the others come into this queue, as far as
  /// they fit. Null: nothing to take.
  /// Thread: the owner of this queue.
  T* steal_half_from(local_queue& victim) noexcept {
    T* taken[capacity / 2];
    const std::uint64_t tail = tail_.load(sync::relaxed);                      // ours
    const std::uint64_t room = capacity - (tail - head_.load(sync::acquire));  // as in push
    const std::uint64_t count = victim.steal(taken, room < capacity / 2 ? room + 1 : capacity / 2);
    if (count == 0) return nullptr;
    for (std::uint64_t i = 1; i != count; ++i) place(tail + i - 1).store(taken[i], sync::relaxed);
    if (count > 1) tail_.store(tail + count - 1, sync::release);  // pairs with steal, as in push
    return taken[0];
  }

  /// Takes the oldest item, or null. Thread: any.
  T* steal_one() noexcept {
    T* item = nullptr;
    return steal(&item, 1) == 0 ? nullptr : item;
  }

  /// Takes the older half, at least one and at most `most` items, oldest first. Returns: how many.
  /// Thread: any.
  std::uint64_t steal(T** into, std::uint64_t most) noexcept {
    for (;;) {
      const std::uint64_t head = head_.load(sync::acquire);  // before the tail: a tail older than head cannot be seen
      const std::uint64_t tail = tail_.load(sync::acquire);  // pairs with push: the items are complete
      const std::uint64_t held = tail - head;                // too much if the head is old news: then `take` fails
      std::uint64_t count = held - held / 2;
      if (count > most) count = most;
      if (count == 0) return 0;
      if (take(head, count, into)) return count;
    }
  }

  /// How many items are there. Exact for the owner when nobody steals; else a guess.
  std::uint64_t size() const noexcept {
    const std::uint64_t head = head_.load(sync::relaxed);
    const std::uint64_t tail = tail_.load(sync::relaxed);
    return tail < head ? 0 : tail - head;
  }

  /// The look before parking, after the announcement: sequentially consistent, so that of a worker that parks and an owner
  /// that pushes (and fences) at least one sees the other. Thread: any.
  bool empty() const noexcept {
    const std::uint64_t head = head_.load(sync::seq_cst);
    return tail_.load(sync::seq_cst) == head;
  }

 private:
  sync::atomic<T*>& place(std::uint64_t index) noexcept { return ring_[index % capacity]; }

  // Copies [head, head + count), then moves the head past them. False: they were not ours, nothing happened.
  bool take(std::uint64_t head, std::uint64_t count, T** into) noexcept {
    for (std::uint64_t i = 0; i != count; ++i) into[i] = place(head + i).load(sync::relaxed);
    if (planted::is(planted::steal_twice)) {
      head_.store(head + count, sync::release);
      return true;
    }
    return head_.cas(head, head + count, sync::release);  // pairs with push and with other thieves' looks
  }

  alignas(64) sync::atomic<std::uint64_t> head_;  // moved by everybody
  alignas(64) sync::atomic<std::uint64_t> tail_;  // moved by the owner; on the line of nobody else's writes
  sync::atomic<T*> ring_[capacity];
};

}  // namespace coppice::internal
