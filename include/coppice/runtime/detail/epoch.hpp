// SPDX-License-Identifier: Apache-2.0
//
// epoch: memory that readers look at without a lock and without a count, and when it may be freed.
//
// A value lives in a *box*. Who replaces it unlinks the box and *retires* it; it is freed when no reader can see it any
// more. A reader enters by a *guard* on its own stack: it announces the present epoch, once per epoch and not per read, so
// that a read costs no locked instruction. A fiber that leaves its stack inside a guard turns it into a count on the box:
// whoever sleeps holds back one box and not the reclamation of all.
//
// Thread: guards belong to the stack they stand on. Everything else any thread.
//
// Invariants
//   1. A guard is in its thread's list before the pointer it protects is loaded; the announcement of a new epoch is fenced
//      before the first such load.
//   2. A batch of retired boxes is stamped with the epoch after the last of them was unlinked, with a full fence between, and
//      freed two epochs later.
//   3. The epoch moves from e to e + 1 only when every reader has announced e or is passive. A reader that lags and has no guard is
//      made passive, after a heavy fence; its next outermost guard announces anew.
//   4. `holders` is 1 for whom the box is linked (or retired) for, and one more for each snapshot and each counted guard. A box
//      is freed by who takes it to 0.
// Design note: docs/internals/epochs.md.
#pragma once

#include <coppice/base/detail/sync.hpp>

#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>
#include <utility>

namespace coppice::detail {

struct box;

/// What the core knows of the boxes of one type.
struct box_class {
  std::uint32_t bytes;                           // of the whole block
  std::uint32_t offset;                          // from the box to its value
  void (*destroy)(box& of) noexcept;             // destroys the box object and what it holds, not its memory; null: nothing to do
};

/// The head of a block that holds a value.
struct box {
  explicit box(const box_class& c) noexcept : cls(&c) {}
  sync::atomic<std::uint32_t> holders{1, "holders"};
  const box_class* const cls;
};

template <class T, class Head = box>
struct value_box : Head {
  template <class Make>
  explicit value_box(const box_class& c, Make&& make) : Head(c), value(static_cast<Make&&>(make)()) {}
  T value;

  static void destroy(box& b) noexcept { static_cast<value_box&>(b).~value_box(); }
};
template <class T, class Head>
inline constexpr box_class class_of_box{sizeof(value_box<T, Head>), (sizeof(Head) + alignof(T) - 1) / alignof(T) * alignof(T),
                                        std::is_trivially_destructible_v<value_box<T, Head>> ? nullptr : &value_box<T, Head>::destroy};
inline const void* value_in(const box& b) noexcept { return reinterpret_cast<const char*>(&b) + b.cls->offset; }

/// Blocks of 64, 128, 256 and 512 bytes are pooled; larger ones are not.
constexpr std::uint32_t pooled_blocks = 4;
constexpr std::uint32_t block_class_of(std::size_t bytes) noexcept {
  return bytes <= 64 ? 0 : bytes <= 128 ? 1 : bytes <= 256 ? 2 : bytes <= 512 ? 3 : pooled_blocks;
}
void* allocate_block(std::uint32_t block_class);
void free_block(void* place, std::uint32_t block_class) noexcept;

/// Memory of a box, aligned to 64. With a constant size there is no branch on it.
inline void* allocate_box(std::size_t bytes) {
  const std::uint32_t c = block_class_of(bytes);
  return c != pooled_blocks ? allocate_block(c) : ::operator new(bytes, std::align_val_t{64});
}
inline void free_box(void* place, std::size_t bytes) noexcept {
  const std::uint32_t c = block_class_of(bytes);
  if (c != pooled_blocks) free_block(place, c);
  else ::operator delete(place, std::align_val_t{64});
}

/// A box with `make()` in it.
template <class T, class Head = box, class Make>
value_box<T, Head>* make_box(Make&& make) {
  static_assert(alignof(T) <= 64, "a value's alignment is at most a cache line");
  void* place = allocate_box(sizeof(value_box<T, Head>));
  try {
    return ::new (place) value_box<T, Head>(class_of_box<T, Head>, static_cast<Make&&>(make));
  } catch (...) {
    free_box(place, sizeof(value_box<T, Head>));
    throw;
  }
}
/// Frees a box that nobody else has seen.
void discard(box* b) noexcept;
/// Frees `b`, which nobody can come to any more, unless it has other holders: then the last of them does.
void free_unreachable(box* b) noexcept;
/// Frees `b`, which is unlinked, when nobody can see it any more.
void retire(box* b) noexcept;
/// One holder less; the last one frees it.
void drop_holder(box* b) noexcept;

/// A guard, as it stands in the list of its thread.
struct guard_link {
  guard_link* below;
  box* node;                                     // what it protects
  bool counted;                                  // its fiber has left the stack: it protects by a count, and is in no list
};

/// What a thread is to the reclamation. The first part of its block.
struct reader {
  sync::atomic<std::uint64_t> announced{0, "announced"};  // the last epoch announced; 0: none yet; passive_reader
  sync::atomic<guard_link*> guards{nullptr, "guards"};    // the newest on the stacks of this thread
  reader* next_reader = nullptr;                          // list of all readers; guarded by its lock
  struct retired_boxes* waiting = nullptr;                      // what this thread has retired; made at first use
};

/// Announced by others for who has been away: nobody waits for it.
inline constexpr std::uint64_t passive_reader = ~std::uint64_t{0};

extern sync::atomic<std::uint64_t> current_epoch;

reader& make_reader() noexcept;
inline reader& this_reader() noexcept {
  void* block = sync::this_thread_block();
  return block != nullptr ? *static_cast<reader*>(block) : make_reader();
}
/// Announces the present epoch. The calling thread has no guard, or one that protects nothing yet.
void announce(reader& r) noexcept;
/// A planted fault of the simulation: planted::guard_without_fence.
inline constexpr int unfenced_guard = 1;

/// `g` comes into the list of `r`, the calling thread's: nothing that is loaded from now on is freed while it is there.
inline void enter_guards(reader& r, guard_link& g) noexcept {
  guard_link* const below = r.guards.load(sync::relaxed);
  g.below = below;
  r.guards.store(&g, sync::release);
  if (!sync::fault(unfenced_guard)) sync::light_fence();  // pairs with heavy_fence in epoch.cpp: our guard is seen, or its epoch by us
  if (below == nullptr && r.announced.load(sync::relaxed) != current_epoch.load(sync::relaxed)) [[unlikely]]
    announce(r);
}

/// While it lives, what it protects is not freed. On the stack only; may be left and come back to with its fiber.
class guard : guard_link {
 public:
  guard() noexcept : guard_link{nullptr, nullptr, false} { enter_guards(this_reader(), *this); }
  ~guard() {
    if (counted) [[unlikely]] {
      drop_count();
      return;
    }
    reader& r = this_reader();
    if (r.guards.load(sync::relaxed) == this) [[likely]]
      r.guards.store(below, sync::release);
    else
      unlink(r);
  }
  guard(const guard&) = delete;
  guard& operator=(const guard&) = delete;
  static void* operator new(std::size_t) = delete;
  static void* operator new[](std::size_t) = delete;

  /// Loads a box and protects it. What was protected before is not any more.
  box* protect(const sync::atomic<box*>& from) noexcept {
    if (counted) [[unlikely]] enter_again();
    return node = from.load(sync::acquire);
  }
  /// From now on protects `b`, which was visible at some time since this guard (or one below it) came into the list.
  void keep(box* b) noexcept { node = b; }
  box* kept() const noexcept { return node; }
  /// Its fiber has left its stack since: only the box, if any, that it then protected is protected.
  bool is_counted() const noexcept { return counted; }
  /// Protects `b` instead, which the caller holds by a count that this guard takes over.
  void take_over(box* b) noexcept {
    drop_count();
    node = b;
  }

 private:
  void enter_again() noexcept;
  void drop_count() noexcept {
    if (node != nullptr) drop_holder(node);
  }
  void unlink(reader& r) noexcept;
};

/// A guard for a look that is over before its stack can be left: all that is loaded while it lives is protected. Nobody counts for it.
class brief_guard : guard_link {
 public:
  explicit brief_guard(reader& of_this_thread) noexcept : reader_(of_this_thread) { enter_guards(of_this_thread, *this); }
  ~brief_guard() { reader_.guards.store(below, sync::release); }
  brief_guard(const brief_guard&) = delete;
  brief_guard& operator=(const brief_guard&) = delete;

 private:
  reader& reader_;
};

}  // namespace coppice::detail
