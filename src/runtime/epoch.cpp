// SPDX-License-Identifier: Apache-2.0
//
// epoch: announcing, retiring, advancing. See include/coppice/runtime/detail/epoch.hpp and docs/internals/epochs.md.
#include "runtime/epoch.hpp"

#include "runtime/planted.hpp"
#include "runtime/pools.hpp"

#include <coppice/base/assert.hpp>

namespace coppice::internal {
epoch_limits limits_of_epochs;
}

namespace coppice::detail {

sync::atomic<std::uint64_t> current_epoch{1, "epoch"};

namespace {

using internal::here;
using internal::limits_of_epochs;
namespace planted = internal::planted;

constexpr std::uint32_t batch_size = 124;

/// Boxes that were retired together. `stamp` is an epoch in which all of them were unlinked already.
struct batch {
  batch* next = nullptr;
  std::uint64_t stamp = 0;
  std::size_t bytes = 0;
  std::uint32_t count = 0;
  box* boxes[batch_size];
};

struct chain {                                   // oldest first
  batch* first = nullptr;
  batch* last = nullptr;
  std::size_t length = 0;

  void append(batch* b) noexcept {
    b->next = nullptr;
    (last != nullptr ? last->next : first) = b;
    last = b;
    ++length;
  }
  batch* take_first() noexcept {
    batch* b = first;
    first = b->next;
    if (first == nullptr) last = nullptr;
    --length;
    return b;
  }
};

/// All readers, and the batches of threads that have ended.
struct program_state {
  sync::spinlock lock;
  reader* readers = nullptr;
  chain orphans;
  sync::atomic<std::uint64_t> bytes;             // in closed batches
};
program_state program;

}  // namespace

/// A thread's own.
struct retired_boxes {
  batch* open = nullptr;
  batch* spare = nullptr;
  chain closed;
  bool is_forcing = false;                       // at the next outermost guard
  std::size_t forced_at = limits_of_epochs.batches;
};

namespace {

void destroy_and_free(box* b) noexcept {
  const std::size_t bytes = b->cls->bytes;
  if (b->cls->destroy != nullptr) b->cls->destroy(*b);
  free_box(b, bytes);
}

void free_batch(batch* b) noexcept {
  program.bytes.fetch_sub(b->bytes, sync::relaxed);
  for (std::uint32_t i = 0; i != b->count; ++i) free_unreachable(b->boxes[i]);
}

void register_reader(reader& r) noexcept {
  if (r.waiting != nullptr) return;
  r.waiting = new retired_boxes;
  sync::lock_guard held(program.lock);
  r.next_reader = program.readers;
  program.readers = &r;
}

/// Whether `r` can hold nothing that was unlinked before the epoch became `now`. Who lags and holds nothing is made passive.
bool has_passed(reader& r, std::uint64_t now, bool after_heavy_fence) noexcept {
  std::uint64_t announced = r.announced.load(sync::seq_cst);
  if (announced == now || announced == passive_reader) return true;
  if (!after_heavy_fence || r.guards.load(sync::acquire) != nullptr) return false;
  if (planted::is(planted::passive_by_store)) {
    sync::relax();
    r.announced.store(passive_reader, sync::seq_cst);
    return true;
  }
  r.announced.cas(announced, passive_reader, sync::seq_cst);  // if not, it has just come back: after the fence, so it has announced `now`
  return true;
}

/// Moves the epoch on by one if all readers allow. `force`: also past those that lag and have no guard. `self`, if given,
/// is the calling thread's and holds nothing.
bool advance(bool force, const reader* self = nullptr) noexcept {
  if (!program.lock.try_lock()) return false;
  const std::uint64_t now = current_epoch.load(sync::seq_cst);
  bool all = true;
  const bool fenced = force && sync::heavy_fence();
  for (reader* r = program.readers; r != nullptr && all; r = r->next_reader)
    all = r == self || has_passed(*r, now, fenced) || planted::is(planted::lagging_reader_passed_over);
  if (all) current_epoch.store(now + 1, sync::seq_cst);
  program.lock.unlock();
  return all;
}

bool is_free(const batch& b) noexcept {
  const std::uint64_t grace = planted::is(planted::freed_one_epoch_early) ? 1 : 2;
  return b.stamp + grace <= current_epoch.load(sync::seq_cst);
}

/// Frees what is due. The list is left consistent before each destructor runs: it may retire more.
void free_due(retired_boxes& own) noexcept {
  while (own.closed.first != nullptr && is_free(*own.closed.first)) {
    batch* b = own.closed.take_first();
    free_batch(b);
    if (own.spare == nullptr)
      own.spare = b;
    else
      delete b;
  }
}

void adopt_orphans(retired_boxes& own) noexcept {
  if (!program.lock.try_lock()) return;
  chain found = program.orphans;
  program.orphans = {};
  program.lock.unlock();
  while (found.first != nullptr) {
    batch* b = found.take_first();
    b->stamp = current_epoch.load(sync::seq_cst);  // keeps the chain in order
    own.closed.append(b);
  }
}

void close_batch(retired_boxes& own) noexcept {
  batch* full = own.open;
  own.open = nullptr;
  sync::fence(sync::seq_cst);                    // the last one may have been unlinked by a plain store
  full->stamp = current_epoch.load(sync::seq_cst);
  for (std::uint32_t i = 0; i != full->count; ++i) full->bytes += full->boxes[i]->cls->bytes;
  program.bytes.fetch_add(full->bytes, sync::relaxed);
  own.closed.append(full);
}

/// Somebody lags. The calling thread holds nothing.
void force(const reader& r, retired_boxes& own) noexcept {
  own.is_forcing = false;
  adopt_orphans(own);
  advance(true, &r);
  advance(true, &r);
  free_due(own);
  own.forced_at = own.closed.length + limits_of_epochs.batches;  // no second barrier before as much again has gathered
}

void make_room(reader& r, retired_boxes& own) noexcept {
  close_batch(own);
  const bool holds_nothing = r.guards.load(sync::relaxed) == nullptr;
  if (holds_nothing) announce(r);                // it may never look at anything itself
  advance(false);
  free_due(own);
  if (own.closed.length < own.forced_at) return;
  if (holds_nothing) return force(r, own);
  // Who retires in a guard of its own cannot move the epoch past that: it is left to the next outermost one.
  own.is_forcing = true;
  r.announced.store(0, sync::release);
}

}  // namespace

static_assert(pooled_blocks == internal::block_depot::classes && block_class_of(internal::block_depot::largest) == pooled_blocks - 1 &&
              block_class_of(internal::block_depot::largest + 1) == pooled_blocks && block_class_of(129) == internal::block_depot::class_of(129));
void* allocate_block(std::uint32_t block_class) { return here().blocks.take(block_class); }
void free_block(void* place, std::uint32_t block_class) noexcept { here().blocks.give(place, block_class); }
void discard(box* b) noexcept { destroy_and_free(b); }
void free_unreachable(box* b) noexcept {
  if (b->holders.load(sync::acquire) == 1)       // pairs with drop_holder: what the last other holder did is over
    destroy_and_free(b);
  else
    drop_holder(b);
}

void drop_holder(box* b) noexcept {
  if (b->holders.fetch_sub(1, sync::acq_rel) == 1) destroy_and_free(b);
}

void retire(box* b) noexcept {
  reader& r = here();
  register_reader(r);
  retired_boxes& own = *r.waiting;
  if (own.open == nullptr) own.open = own.spare != nullptr ? ::new (std::exchange(own.spare, nullptr)) batch : new batch;
  own.open->boxes[own.open->count++] = b;
  if (own.open->count >= limits_of_epochs.boxes || sync::buggify()) [[unlikely]] make_room(r, own);
}

void announce(reader& r) noexcept {
  static_assert(unfenced_guard == planted::guard_without_fence);
  register_reader(r);
  if (r.waiting->is_forcing) force(r, *r.waiting);
  r.announced.store(current_epoch.load(sync::relaxed), sync::release);
  if (planted::is(planted::guard_without_fence)) return;
  sync::fence(sync::seq_cst);                    // before the loads that the guard protects: pairs with the unlinking
}

void guard::enter_again() noexcept {
  drop_count();
  counted = false;
  node = nullptr;
  enter_guards(this_reader(), *this);
}

void guard::unlink(reader& r) noexcept {
  for (guard_link* g = r.guards.load(sync::relaxed); g != nullptr; g = g->below)
    if (g->below == this) {
      g->below = below;
      return;
    }
  COPPICE_ASSERT(false, "a view was destroyed on another stack than it was made on");
}

}  // namespace coppice::detail

namespace coppice::internal {

using namespace coppice::detail;

void count_views(thread_block& block, const fiber& leaving) noexcept {
  const void* const bottom = leaving.bottom;
  const void* const top = leaving.top;
  for (guard_link* g = block.guards.load(sync::relaxed); g != nullptr && g >= bottom && g < top; g = g->below) {
    if (g->node != nullptr && !planted::is(planted::view_left_uncounted)) g->node->holders.fetch_add(1, sync::relaxed);
    g->counted = true;
    block.guards.store(g->below, sync::release);
  }
}

void leave_epochs(reader& ending) noexcept {
  if (ending.waiting == nullptr) return;
  retired_boxes* own = std::exchange(ending.waiting, nullptr);
  if (own->open != nullptr) close_batch(*own);
  {
    sync::lock_guard held(program.lock);
    for (reader** at = &program.readers; *at != nullptr; at = &(*at)->next_reader)
      if (*at == &ending) {
        *at = ending.next_reader;
        break;
      }
    while (own->closed.first != nullptr) program.orphans.append(own->closed.take_first());
  }
  delete own->spare;
  delete own;
}

std::size_t reclaim() noexcept {
  reader& r = here();
  register_reader(r);
  retired_boxes& own = *r.waiting;
  for (int round = 0; round != 3; ++round) {
    if (own.open != nullptr) close_batch(own);
    adopt_orphans(own);
    advance(true);
    free_due(own);
  }
  std::size_t left = own.open != nullptr ? own.open->count : 0;
  for (const batch* b = own.closed.first; b != nullptr; b = b->next) left += b->count;
  return left;
}

std::size_t retired_bytes() noexcept { return program.bytes.load(sync::relaxed); }

void renew_epochs() noexcept {
  ::new (&program) program_state;
  ::new (&current_epoch) sync::atomic<std::uint64_t>(1, "epoch");
}

void drop_retired() noexcept {
  while (program.orphans.first != nullptr) {
    batch* dead = program.orphans.take_first();
    for (std::uint32_t i = 0; i != dead->count; ++i) {
      box* b = dead->boxes[i];
      const std::size_t bytes = b->cls->bytes;
      if (b->cls->destroy != nullptr) b->cls->destroy(*b);
      // Past the threads' caches: this thread has none any more.
      if (bytes > block_depot::largest) ::operator delete(b, std::align_val_t{64});
      else program_pools().nodes.pool(block_depot::class_of(bytes)).give_one(b);
    }
    delete dead;
  }
}

}  // namespace coppice::internal
