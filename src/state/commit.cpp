// SPDX-License-Identifier: Apache-2.0
//
// commit: how what a transaction has made becomes everybody's, and who is told. The protocol is described in attempt.hpp.
#include "state/attempt.hpp"

#include <algorithm>
#include <cstddef>
#include <exception>
#include <utility>
#include <vector>

namespace coppice::detail {

namespace {

void own_commuted(transaction& t) {
  std::vector<ref_core*>& refs = t.commuted;
  refs.clear();
  for (const log_entry& e : t.log)
    if (e.commuted && !e.owned) refs.push_back(e.ref);
  if (refs.size() > 1) std::sort(refs.begin(), refs.end(), [](const ref_core* a, const ref_core* b) { return a->order < b->order; });
  struct mark {
    bool& of;
    explicit mark(bool& m) noexcept : of(m) { of = true; }
    ~mark() { of = false; }
  } const in_order(t.owns_commuted);
  for (ref_core* r : refs) {
    log_entry* e = t.log.find(*r);
    const bool ensured = e->ensured;
    check_alive(t);
    own(t, *r, e);
    if (ensured) check_version(t, *r);
  }
}

/// Each commuted ref begins anew with what is committed now.
void run_commutes(transaction& t) {
  for (log_entry& e : t.log)
    if (e.commuted && e.value != nullptr) free_unreachable(std::exchange(e.value, nullptr));  // the body is over, and with it all views of this
  t.commuting = true;
  for (commute_record* c = t.first_commute; c != nullptr; c = c->next) {
    guard g;
    const box& base = value_now(t, *c->ref, g);
    box* fresh = c->apply(*c, base);
    if (log_entry& e = *t.log.find(*c->ref); box* before = std::exchange(e.value, fresh)) retire(before);
  }
  t.commuting = false;
}

/// Validators run in the transaction: the log may grow.
[[gnu::noinline]] void run_validators(transaction& t) {
  for (std::uint32_t i = 0; i < t.log.size(); ++i) {
    const log_entry e = t.log[i];
    if (e.value == nullptr) continue;
    if (observers* x = e.ref->observers_.load(sync::acquire); x != nullptr) validate(*x, value_in(*e.value), "ref");
  }
}

struct outlook {                                 // on a commit
  std::size_t versions = 0;                      // made, and perhaps dropped
  bool observed = false;
};
outlook look_ahead(const transaction& t) noexcept {
  outlook o;
  for (const log_entry& e : t.log) {
    if (e.value == nullptr) continue;
    o.versions += std::size_t{1} + e.ref->history.load(sync::relaxed);
    o.observed |= e.ref->observers_.load(sync::acquire) != nullptr;
  }
  return o;
}

/// Validators, and room for all that the commit notes: from then on nothing may fail.   Returns: whether anything is written.
bool prepare(transaction& t) {
  outlook o = look_ahead(t);
  if (o.observed) [[unlikely]] {
    run_validators(t);
    o = look_ahead(t);
  }
  t.dead.reserve(o.versions + 64);
  if (t.room_to_tell < t.log.size()) [[unlikely]] t.told.reserve(t.room_to_tell = 2 * t.log.size());
  return o.versions != 0;
}

/// How many older versions are kept from now on.
std::uint32_t grown_history(ref_core& r) noexcept {
  std::uint32_t count = r.history.load(sync::relaxed);
  const bool wanted = r.faulted.load(sync::relaxed) != 0 && count < r.most.load(sync::relaxed);
  if (!wanted && count >= r.least.load(sync::relaxed)) return count;
  r.faulted.store(0, sync::relaxed);
  r.history.store(++count, sync::release);
  return count;
}

/// Takes out of the chain behind `newer` what is kept no longer.
void trim(transaction& t, version_head& newest, std::uint32_t keep, bool registered) {
  version_head* behind = &newest;
  for (box* b = newest.older.load(sync::relaxed); b != nullptr;) {
    version_head& v = version_of(*b);
    box* older = v.older.load(sync::relaxed);
    if (keep != 0) --keep, behind = &v;
    else if (registered && transactions.snapshots.is_needed(v, v.until.load(sync::relaxed))) behind = &v;
    else {
      behind->older.store(older, sync::release);
      t.dead.push_back(b);
    }
    b = older;
  }
}

/// `fresh` is about to replace `old`: links what is kept of the older versions.   Returns: whether anything is.
[[gnu::noinline]] bool keep_history(transaction& t, version_head& fresh, box* old, std::uint32_t keep, bool registered) {
  fresh.older.store(old, sync::relaxed);
  version_of(*old).until.store(fresh.version.get(), sync::release);
  trim(t, fresh, keep, registered);
  return fresh.older.load(sync::relaxed) != nullptr;
}

[[gnu::noinline]] void note_change(transaction& t, ref_core& r, box* old, box* now) {
  old->holders.fetch_add(1, sync::relaxed);
  now->holders.fetch_add(1, sync::relaxed);
  t.told.push_back({&r, old, now});
}

/// Publishes the value of an entry. What is replaced is not touched where nothing of the past is kept: its line may be far away.
void publish(transaction& t, const log_entry& e, std::uint64_t as, bool registered) {
  ref_core& r = *e.ref;
  box* old = r.head.load(sync::relaxed);
  if (observers* x = r.observers_.load(sync::acquire); x != nullptr && is_watched(*x)) [[unlikely]] note_change(t, r, old, e.value);
  version_head& fresh = version_of(*e.value);
  fresh.version = as;
  const std::uint32_t keep = grown_history(r);
  bool is_chain = false;
  if (keep == 0 && !has_chain(r.number.load(sync::relaxed)) && !registered) [[likely]] t.dead.push_back(old);
  else is_chain = keep_history(t, fresh, old, keep, registered);
  if (planted::is(planted::word_before_number) && r.has_word) {
    r.head_word.store(word_in(fresh), sync::release);
    sync::relax();
  }
  r.number.store(as | is_chain, sync::relaxed);
  if (r.has_word) r.head_word.store(word_in(fresh), sync::release);
  r.head.store(e.value, sync::release);
}

/// A reader who meets the others of the commit waits for them.
void let_go(const log_entry& e) noexcept {
  if (e.owned) e.ref->word.store(0, sync::release);
  if (e.ensured) release_ensured(*e.ref);
}

}  // namespace

bool commit(transaction& t) {
  if (t.first_commute != nullptr) [[unlikely]] {
    own_commuted(t);
    run_commutes(t);
  }
  const bool writes = prepare(t);
  if (t.doomed && !planted::is(planted::doomed_forgotten)) [[unlikely]] signal_anew(t);  // and a function of the user's caught that
  t.status.store(status_of(t.attempt, phase::committing), sync::release);
  sync::light_fence();                           // pairs with the heavy one in take_from
  if (t.stop.load(sync::acquire) == t.attempt && !planted::is(planted::kill_unseen)) [[unlikely]] {
    t.status.store(status_of(t.attempt, phase::running), sync::release);
    return false;
  }
  std::uint64_t as = 0;
  bool registered = false;
  if (writes) [[likely]] {
    as = transactions.clock.draw();
    t.written_as.store(as, sync::release);
    registered = transactions.snapshots.is_used();
  }
  for (const log_entry& e : t.log) {
    if (e.value != nullptr) publish(t, e, as, registered);
    let_go(e);
  }
  become_idle(t);
  return true;
}

void tell(std::vector<told_change>&& told, held_sends sends) {
  std::exception_ptr first;
  for (const told_change& c : told) {
    try {
      if (observers* x = c.ref->observers_.load(sync::acquire); x != nullptr)
        notify(*x, c.ref->reference(), value_in(*c.old), value_in(*c.now), true);
    } catch (...) {
      if (first == nullptr) first = std::current_exception();
    }
    drop_holder(c.old);
    drop_holder(c.now);
  }
  while (sends.first != nullptr) {
    dispatch_held(sends.take_first());
  }
  if (first != nullptr) std::rethrow_exception(first);
}

}  // namespace coppice::detail
