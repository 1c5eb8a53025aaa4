// SPDX-License-Identifier: Apache-2.0
//
// registry_lock, see registry_lock.hpp.
#include "otp/registry_lock.hpp"

#include "otp/registry_core.hpp"
#include "process/mailbox.hpp"

namespace coppice::detail {

using internal::begin_wait;
using internal::wait_state;
using internal::wait_until;
using internal::wake;

namespace {

using place = registry_lock::place;

bool same(const place& a, const place& b, const registry_types& types) {
  return a.hash == b.hash && (types.text_keys ? a.key.text == b.key.text : types.equal(a.key.object, b.key.object));
}

/// The link behind which `p` stands; under the guard.
void take_out(registry_locks::bucket& b, place& p) noexcept {
  if (b.oldest.get() == &p) {
    b.oldest = p.next;
    return;
  }
  place* before = b.oldest;
  while (before->next != &p) before = before->next;
  before->next = p.next;
}

/// Under the guard: whoever waits longest for the lock that `p` had gets it.   Returns: whom to wake, or null.
place* grant_next(registry_locks::bucket& b, const place& p, const registry_types& types) {
  for (place* q = b.oldest; q != nullptr; q = q->next)
    if (same(*q, p, types)) return q;
  return nullptr;
}

/// Takes `p` out; if it had the lock the next one gets it.
void leave_place(registry_core& core, place& p) noexcept {
  registry_locks::bucket& b = core.locks.all[p.hash % registry_locks::buckets];
  slot* waiter = nullptr;
  std::uint64_t wait = 0;
  {
    sync::lock_guard held(b.guard);
    take_out(b, p);
    place* const next = p.granted.load(sync::relaxed) != 0 ? grant_next(b, p, core.types) : nullptr;
    if (next != nullptr) {
      waiter = next->waiter;                     // its place may be gone as soon as it sees that it has the lock
      wait = next->wait;
      next->granted.store(1, sync::seq_cst);     // and now it may: pairs with has_lock
    }
  }
  if (waiter != nullptr) wake(*waiter, wait);
}

bool has_lock(void* raw) { return static_cast<place*>(raw)->granted.load(sync::seq_cst) != 0; }

}  // namespace

registry_lock::registry_lock(registry_core& core, const key_ref& key) : core_(core), place_(new place) {
  place& p = *place_;
  slot& me = here();
  p.key = key;
  p.hash = core.hash_of_key(key);
  p.waiter = &me;
  p.serial = me.serial.load(sync::relaxed);
  p.wait = begin_wait(me);
  registry_locks::bucket& b = core.locks.all[p.hash % registry_locks::buckets];
  bool mine = false;
  {
    sync::lock_guard held(b.guard);
    place* last = nullptr;
    bool taken = false;
    for (place* q = b.oldest; q != nullptr; q = q->next) {
      last = q;
      if (!same(*q, p, core.types)) continue;
      taken = true;
      mine = mine || (q->granted.load(sync::relaxed) != 0 && q->waiter == &me && q->serial == p.serial);
    }
    if (!mine) {
      if (!taken) p.granted.store(1, sync::relaxed);
      if (last != nullptr) last->next = &p;
      else b.oldest = &p;
    }
  }
  if (mine) {
    delete place_;
    throw registry_error(registry_error::locked_already, pid_of(me), "registry: " + to_text(pid_of(me)) + " has this lock already");
  }
  if (has_lock(&p)) return;
  try {
    wait_until(me, p.wait, wait_state::signals, sync::never, &has_lock, &p);
  } catch (...) {                                // it ends while it waits, or with the lock just granted
    leave_place(core, p);
    delete place_;
    throw;
  }
}

registry_lock::~registry_lock() {
  leave_place(core_, *place_);
  delete place_;
}

}  // namespace coppice::detail
