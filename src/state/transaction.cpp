// SPDX-License-Identifier: Apache-2.0
//
// transaction: snapshot isolation over refs.
//
//   clock    one number for the program, even; a commit takes the next
//   begin    snapshot = clock; nobody else sees more of it until it has an entry in its log
//   read     own log; else the newest version that is not younger than the snapshot. None is kept: note the fault, begin anew
//   write    the ref's word becomes ours at the first write; it must not have been committed since the snapshot
//   commit   lock and rerun commutes; validators; phase = committing; version = clock + 2; publish; release; phase = idle;
//            with the transaction gone: watches, then held sends
//
// The word of a ref:
//     0                                          free
//     {attempt : 16, transaction : 45, tag 1}    a writer's, in that attempt
//     {count : 61, tag 2}                        ensured by so many
//   0 -> writer by the writer; writer -> 0 by the same (a plain store if it commits, else a CAS: it may have been taken);
//   writer -> other writer by one who has killed that attempt; 0 -> ensured, ensured +- 1 by ensurers; ensured by one -> writer
//   by that one.
//
// Who waits for whom. Who holds nothing and has been given no value waits in place. Else the older of two waits in place, and kills
// 10 ms after its first conflict; the younger gives everything back first, waits, and begins anew. So only the older ever waits
// while it holds something: no deadlock. At a commit also the younger waits in place for what it has commuted, in the order of the
// refs and for 100 ms at most (TX-22): commutes meet in that order, and any other who is older and wants what it holds kills it.
//
// Invariants
//   1. committing is stored before the version is drawn, and the version is 0 before that: a reader whose snapshot is not older
//      than a commit meets its words as owned by a committing transaction, or its values.
//   2. Between committing and idle no code of the user's runs.
//   3. A version is valid for a snapshot s if version <= s < until; the chain may have gaps.
//   4. A killer takes a word by a CAS that names the attempt, after a heavy fence behind which that attempt is still running. The
//      victim looks at `stop` behind a light fence after it has said committing.
//   5. After each user function the log may have grown: entries are found anew.
// Design note: docs/internals/transactions.md.
#include "state/transaction.hpp"

#include <coppice/state/transaction.hpp>

#include "process/system.hpp"
#include "runtime/planted.hpp"
#include "state/activity.hpp"

#include <coppice/base/assert.hpp>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <exception>
#include <string>

namespace coppice::internal {

transaction_limits limits_of_transactions;

}  // namespace coppice::internal

namespace coppice::detail {

namespace {

using internal::activity;
using internal::count;
using internal::counted;

using internal::inside;
using internal::limits_of_transactions;
namespace planted = internal::planted;

struct shared_state {
  commit_clock clock;
  snapshot_table snapshots;
  sync::atomic<std::uint64_t> next_order{1};
  internal::wait_list ensured;                   // those who wait for a ref that is ensured, whichever it is
  sync::spinlock lock;
  transaction* idle = nullptr;
};
shared_state shared;

constexpr std::uint64_t tag_owned = 1;
constexpr std::uint64_t tag_ensured = 2;
constexpr std::uint64_t one_ensurer = 8;
constexpr std::uint32_t faults_before_registration = 3;

bool is_owned(std::uint64_t word) noexcept { return (word & 7) == tag_owned; }
bool is_ensured(std::uint64_t word) noexcept { return (word & 7) == tag_ensured; }
std::uint64_t status_of(std::uint64_t attempt, phase p) noexcept { return attempt << 2 | static_cast<std::uint64_t>(p); }
phase phase_of(std::uint64_t status) noexcept { return static_cast<phase>(status & 3); }
std::uint64_t word_of(const transaction& t) noexcept {
  return (t.attempt & 0xFFFF) << 48 | reinterpret_cast<std::uintptr_t>(&t) | tag_owned;
}
transaction& owner_of(std::uint64_t word) noexcept { return *reinterpret_cast<transaction*>(word & 0x0000'FFFF'FFFF'FFF8u); }
/// The owner is still in the attempt that the word names.
bool is_in_attempt(std::uint64_t word, std::uint64_t status) noexcept {
  return (status >> 2 & 0xFFFF) == word >> 48 && phase_of(status) != phase::idle;
}

version_head& version(box& b) noexcept { return static_cast<version_head&>(b); }
/// Its value, where that is a word. A smaller one has room behind it.
std::uint64_t word_in(const box& b) noexcept {
  std::uint64_t word;
  std::memcpy(&word, reinterpret_cast<const char*>(&b) + sizeof(version_head), sizeof word);
  return word;
}

/// The transaction of what runs on this thread, or null.
transaction* transaction_at(const internal::thread_block& block) noexcept {
  const activity* a = internal::activity_at(block);
  return a != nullptr ? a->transaction : nullptr;
}

/// What a body asks of servers, and tells them.
constexpr internal::scope_rules rules_of_transactions{
    .refuse = [](const char* what) { throw in_transaction(std::string(what) + ": not inside of a transaction, whose body may run more than once"); },
    .hold = [](held_send* s) noexcept {
      if (!hold_until_commit(*internal::current_activity()->transaction, s)) s->drop(*s);
    }};

/// A body is inside of its transaction and of all that `outer` was.
void set_layer(transaction& t, const activity& outer) noexcept {
  t.layer = outer;
  t.layer.transaction = &t;
  t.layer.rules = &rules_of_transactions;
}

// --- records ---------------------------------------------------------------------------------------------------------

void give_to_all(void* raw) noexcept {
  auto* t = static_cast<transaction*>(raw);
  sync::lock_guard held(shared.lock);
  t->next = shared.idle;
  shared.idle = t;
}

[[gnu::noinline]] transaction& take_idle_record() {
  {
    sync::lock_guard held(shared.lock);
    if (transaction* t = shared.idle; t != nullptr) {
      shared.idle = t->next;
      return *t;
    }
  }
  auto* t = new transaction;
  set_layer(*t, {});
  return *t;
}
transaction& take_record(internal::thread_block& block) {
  void* kept = std::exchange(block.keepsake, nullptr);
  return kept != nullptr ? *static_cast<transaction*>(kept) : take_idle_record();
}
void give_record(internal::thread_block& block, transaction& t) noexcept {
  if (block.keepsake != nullptr) [[unlikely]] return give_to_all(&t);
  block.keepsake = &t;
  block.drop_keepsake = &give_to_all;
}

// --- the log ---------------------------------------------------------------------------------------------------------

/// Others are about to see it.
void appear(transaction& t) noexcept {
  t.age.store(t.so_far.born, sync::relaxed);
  t.written_as.store(0, sync::relaxed);
  t.status.store(status_of(t.attempt, phase::running), sync::release);
}

log_entry& entry_of(transaction& t, ref_core& r) {
  if (t.log.empty()) appear(t);
  return t.log.entry_of(r);
}

// --- giving back -----------------------------------------------------------------------------------------------------

void release_ensured(ref_core& r) noexcept {
  std::uint64_t w = r.word.load(sync::relaxed);
  while (!r.word.cas(w, w == (one_ensurer | tag_ensured) ? 0 : w - one_ensurer, sync::seq_cst)) {}
  if (shared.ensured.has_waiters()) shared.ensured.wake_all();
}

void drop_commutes(transaction& t) noexcept {
  while (t.first_commute != nullptr) {
    commute_record* c = t.first_commute;
    t.first_commute = c->next;
    const std::uint32_t bytes = c->bytes;
    c->destroy(*c);
    free_box(c, bytes);
  }
  t.last_commute = nullptr;
}

/// The attempt is over for all others: who waits for its end may look again.
void become_idle(transaction& t) noexcept {
  t.status.store(status_of(t.attempt, phase::idle), sync::release);
  sync::light_fence();                           // pairs with the heavy one in wait_for_owner
  if (t.ended.has_waiters()) [[unlikely]] t.ended.wake_all();
}

void roll_back(transaction& t) noexcept {
  const std::uint64_t mine = word_of(t);
  for (const log_entry& e : t.log) {
    if (e.owned) {
      std::uint64_t w = mine;
      if (planted::is(planted::roll_back_by_store)) e.ref->word.store(0, sync::seq_cst);
      else e.ref->word.cas(w, 0, sync::seq_cst);
    }
    if (e.ensured) release_ensured(*e.ref);
  }
  become_idle(t);
  // Views of this stack may still show them.
  for (const log_entry& e : t.log)
    if (e.value != nullptr) retire(e.value);
  t.log.clear();
  drop_commutes(t);
  t.sends.drop_all();
}

/// The attempt is of no use any more: everything is given back, and every later operation says so again.
[[noreturn]] void signal_anew(transaction& t) {
  if (!t.doomed) {
    roll_back(t);
    t.doomed = true;
  }
  throw begin_anew{};
}

void check_alive(transaction& t) {
  if (t.doomed && !planted::is(planted::doomed_forgotten)) [[unlikely]] signal_anew(t);
  if (t.log.empty()) return;                     // nobody has seen it yet
  if (t.stop.load(sync::acquire) == t.attempt) [[unlikely]] signal_anew(t);
}

// --- snapshots -------------------------------------------------------------------------------------------------------

/// The instant from which the transaction sees everything.
inline void take_snapshot(transaction& t) noexcept {
  t.snapshot = t.slot == snapshot_table::none ? shared.clock.now() : shared.snapshots.renew(t.slot, shared.clock);
}

inline void count_try(transaction& t) {
  if (++t.so_far.tries > t.so_far.limit) [[unlikely]]
    throw retry_limit("the transaction was tried " + std::to_string(t.so_far.limit) + " times");
}

/// The body knows nothing yet: the snapshot is simply taken anew. Throws retry_limit.
void restart_silently(transaction& t) {
  count_try(t);
  take_snapshot(t);
}

// --- reading ---------------------------------------------------------------------------------------------------------

void pause(int& round) noexcept {
  ++round;
  sync::relax();
}

/// Whether a commit with a version of at most `snapshot` is just being published at `r`.
bool is_being_published(const ref_core& r, std::uint64_t snapshot) noexcept {
  const std::uint64_t w = r.word.load(sync::acquire);
  if (!is_owned(w)) [[likely]] return false;
  const transaction& owner = owner_of(w);
  if (phase_of(owner.status.load(sync::acquire)) != phase::committing) return false;
  const std::uint64_t as = owner.written_as.load(sync::acquire);
  return as == 0 || as <= snapshot;
}

/// The version that `snapshot` sees; null: it is not kept any more. The caller has a guard.
box* find_version(ref_core& r, std::uint64_t snapshot) noexcept {
  for (int round = 0; is_being_published(r, snapshot) && !planted::is(planted::publishing_not_awaited);) pause(round);
  box* b = r.head.load(sync::acquire);
  if (version(*b).version.get() <= snapshot) [[likely]] return b;
  while ((b = version(*b).older.load(sync::acquire)) != nullptr) {
    const version_head& v = version(*b);
    if (v.version.get() <= snapshot) return snapshot < v.until.load(sync::acquire) ? b : nullptr;  // else a gap
  }
  return nullptr;
}

[[gnu::noinline]] box* find_or_begin_anew(transaction& t, ref_core& r) {
  for (;;) {
    if (box* b = find_version(r, t.snapshot); b != nullptr) return b;
    r.faulted.store(1, sync::relaxed);
    ++t.so_far.faults;
    if (t.seen) signal_anew(t);
    restart_silently(t);
  }
}

box* read_version(transaction& t, ref_core& r) {
  const bool is_free = r.word.load(sync::acquire) == 0;
  box* b = r.head.load(sync::acquire);
  if (!is_free || version(*b).version.get() > t.snapshot) [[unlikely]] b = find_or_begin_anew(t, r);
  t.seen = true;
  return b;
}

// --- conflicts -------------------------------------------------------------------------------------------------------

bool holds_nothing(const transaction& t) noexcept {
  return std::none_of(t.log.begin(), t.log.end(), [](const log_entry& e) { return e.owned || e.ensured; });
}

/// Waits until the attempt that `word` names is over.
void wait_for_owner(std::uint64_t word, std::int64_t time) {
  transaction& owner = owner_of(word);
  owner.ended.wait([&] {
    sync::heavy_fence();                         // pairs with the light one in become_idle
    return !is_in_attempt(word, owner.status.load(sync::seq_cst));
  }, time);
}

void wait_for_ensurers(const ref_core& r, std::int64_t time) {
  shared.ensured.wait([&] { return !is_ensured(r.word.load(sync::seq_cst)); }, time);
}

bool is_older(const transaction& t, const transaction& owner) noexcept {
  const std::uint64_t other = owner.age.load(sync::acquire);
  const std::uint64_t mine = t.so_far.born;
  if (mine != other) return mine < other;
  return t.so_far.anew > 2 && &t < &owner;              // no commit between the two beginnings: at first the owner counts as older
}

/// Kills the attempt that `word` names.   Returns: whether that worked and the ref is ours.
bool take_from(transaction& t, ref_core& r, std::uint64_t word) noexcept {
  transaction& owner = owner_of(word);
  const std::uint64_t status = owner.status.load(sync::seq_cst);
  const bool is_running = phase_of(status) == phase::running || planted::is(planted::killed_while_committing);
  if (!is_in_attempt(word, status) || !is_running) return false;
  owner.stop.store(status >> 2, sync::seq_cst);
  const bool sure = sync::heavy_fence();
  const bool still = owner.status.load(sync::seq_cst) == status || planted::is(planted::killed_while_committing);
  if (!sure || !still) return false;             // where nothing is sure it will notice by itself
  return r.word.cas(word, word_of(t), sync::seq_cst);
}

/// `r` belongs to another. Returns when it may have changed hands; `true`: it is ours.
bool meet_owner(transaction& t, ref_core& r, std::uint64_t word) {
  for (int round = 0; round < limits_of_transactions.spins;) {
    if (r.word.load(sync::acquire) != word) return false;
    pause(round);
  }
  const std::int64_t now = sync::now();
  if (t.so_far.first_conflict == 0) t.so_far.first_conflict = now;
  if (!t.seen && holds_nothing(t)) {
    wait_for_owner(word, limits_of_transactions.wait);
    return false;
  }
  if (is_older(t, owner_of(word))) {
    const std::int64_t patience = t.so_far.first_conflict + limits_of_transactions.barge - now;
    if (patience <= 0) {
      if (take_from(t, r, word)) return true;
      sync::relax();
      return false;
    }
    wait_for_owner(word, patience);
    return false;
  }
  if (t.owns_commuted) {
    const std::int64_t left = t.so_far.first_conflict + limits_of_transactions.wait - now;
    if (left > 0) {
      wait_for_owner(word, left);
      return false;
    }
  }
  t.so_far.blocked_by = &owner_of(word);
  t.so_far.blocked_word = word;
  signal_anew(t);
}

void meet_ensurers(transaction& t, ref_core& r, std::uint64_t word) {
  for (int round = 0; round < limits_of_transactions.spins;) {
    if (r.word.load(sync::acquire) != word) return;
    pause(round);
  }
  if (t.so_far.first_conflict == 0) t.so_far.first_conflict = sync::now();
  if (!t.seen && holds_nothing(t)) return wait_for_ensurers(r, limits_of_transactions.wait);
  t.so_far.blocked_at = &r;
  signal_anew(t);
}

log_entry& note_owned(log_entry& e) noexcept {
  e.owned = true;
  e.ensured = false;
  return e;
}

/// Makes the word ours, though somebody has it, perhaps we ourselves.
[[gnu::noinline]] log_entry& own_contended(transaction& t, ref_core& r) {
  const std::uint64_t mine = word_of(t);
  for (;;) {
    check_alive(t);
    std::uint64_t w = r.word.load(sync::acquire);
    const log_entry* e = t.log.find(r);
    const bool ensured = e != nullptr && e->ensured;
    if (w == 0 || (ensured && w == (one_ensurer | tag_ensured))) {
      if (r.word.cas(w, mine, sync::seq_cst)) break;
    } else if (is_owned(w)) {
      if (w == mine) break;
      if (meet_owner(t, r, w)) break;
    } else {
      meet_ensurers(t, r, w);
    }
  }
  return note_owned(entry_of(t, r));
}

/// Makes the word ours. The transaction is alive. `e`: the ref's entry, or null if it has none.   Returns: its entry.
log_entry& own(transaction& t, ref_core& r, log_entry* e) {
  if (t.log.empty()) appear(t);
  std::uint64_t free = 0;
  if (r.word.load(sync::relaxed) != 0 || !r.word.cas(free, word_of(t), sync::seq_cst)) [[unlikely]] return own_contended(t, r);
  return note_owned(e != nullptr ? *e : t.log.add(r));
}

/// The ref is ours or ensured by us: what is committed there must not be younger than our snapshot.
void check_version(transaction& t, box& committed) {
  if (planted::is(planted::version_unchecked)) return;
  while (version(committed).version.get() > t.snapshot) [[unlikely]] {
    if (t.seen) signal_anew(t);
    restart_silently(t);
  }
}

const box& value_of_entry(transaction& t, const log_entry* e, ref_core& r, guard& g) {
  t.seen = true;
  if (e == nullptr || e->value == nullptr) return *g.protect(r.head);   // ours: nobody replaces it
  keep_made(g, e->value);
  return *e->value;
}
const box& value_now(transaction& t, ref_core& r, guard& g) { return value_of_entry(t, t.log.find(r), r, g); }

// --- commit ----------------------------------------------------------------------------------------------------------

/// Returns when nobody is about to replace the committed value.
void await_publishing(const ref_core& r) noexcept {
  for (int round = 0; is_being_published(r, ~std::uint64_t{0}) && !planted::is(planted::publishing_not_awaited);) pause(round);
}

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
    if (!ensured) continue;
    const brief_guard g(internal::here());
    check_version(t, *r->head.load(sync::acquire));
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
    version_head& v = version(*b);
    box* older = v.older.load(sync::relaxed);
    if (keep != 0) --keep, behind = &v;
    else if (registered && shared.snapshots.is_needed(v, v.until.load(sync::relaxed))) behind = &v;
    else {
      behind->older.store(older, sync::release);
      t.dead.push_back(b);
    }
    b = older;
  }
}

/// `fresh` is about to replace `old`: links what is kept of the older versions.
[[gnu::noinline]] void keep_history(transaction& t, version_head& fresh, box* old, std::uint32_t keep, bool registered) {
  fresh.older.store(old, sync::relaxed);
  version(*old).until.store(fresh.version.get(), sync::release);
  trim(t, fresh, keep, registered);
}

[[gnu::noinline]] void note_change(transaction& t, ref_core& r, box* old, box* now) {
  old->holders.fetch_add(1, sync::relaxed);
  now->holders.fetch_add(1, sync::relaxed);
  t.told.push_back({&r, old, now});
}

/// Publishes the value of an entry, and lets go of the ref. A reader who meets the others of the commit waits for them.
void publish(transaction& t, const log_entry& e, std::uint64_t as, bool registered) {
  ref_core& r = *e.ref;
  if (e.value != nullptr) {
    box* old = r.head.load(sync::relaxed);
    if (observers* x = r.observers_.load(sync::acquire); x != nullptr && is_watched(*x)) [[unlikely]] note_change(t, r, old, e.value);
    version_head& fresh = version(*e.value);
    fresh.version = as;
    const std::uint32_t keep = grown_history(r);
    const bool is_alone = version(*old).older.load(sync::relaxed) == nullptr;
    if (keep == 0 && is_alone && !registered) [[likely]] t.dead.push_back(old);
    else keep_history(t, fresh, old, keep, registered);
    r.head.store(e.value, sync::release);
  }
  if (e.owned) r.word.store(0, sync::release);
  if (e.ensured) release_ensured(r);
}

/// Returns: false when the attempt must begin anew. Throws what the user's functions throw.
[[gnu::noinline]] bool commit(transaction& t) {
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
    as = shared.clock.draw();
    t.written_as.store(as, sync::release);
    registered = shared.snapshots.is_used();
  }
  for (const log_entry& e : t.log) publish(t, e, as, registered);
  become_idle(t);
  return true;
}

/// With the transaction gone: watches, then sends, however the watches end.
void tell(std::vector<told_change>&& told, held_sends sends) {
  std::exception_ptr first;
  for (const told_change& c : told) {
    try {
      if (observers* x = c.ref->observers_.load(sync::acquire); x != nullptr)
        notify(*x, c.ref->reference, value_in(*c.old), value_in(*c.now), true);
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

// --- the loop --------------------------------------------------------------------------------------------------------

inline void begin_attempt(transaction& t) {
  ++t.attempt;
  t.doomed = false;
  t.seen = false;
  t.commuting = false;
  take_snapshot(t);
  if (t.so_far.tries == 0) t.so_far.born = t.snapshot;
  count_try(t);
}

/// The attempt failed and holds nothing: waits for what was in its way.
void wait_before_next(transaction& t) {
  ++t.so_far.anew;
  count(counted::begun_anew);
  if (t.so_far.blocked_by != nullptr) wait_for_owner(t.so_far.blocked_word, limits_of_transactions.wait);
  if (t.so_far.blocked_at != nullptr) {
    wait_for_ensurers(*t.so_far.blocked_at, limits_of_transactions.wait);
    // Two who ensured the same two refs would meet again in step.
    const std::uint32_t rounds = internal::here().dice() % (32u << std::min(t.so_far.anew, 8u));
    for (int round = 0; round < static_cast<int>(rounds) && limits_of_transactions.spins > 10;) pause(round);
  }
  t.so_far.blocked_by = nullptr;
  t.so_far.blocked_at = nullptr;
  if (t.so_far.faults >= faults_before_registration && t.slot == snapshot_table::none) t.slot = shared.snapshots.enter(shared.clock);
}

/// While it lives, the running stack is inside of the transaction.
class inside_of {
 public:
  inside_of(transaction& t, internal::scope_head*& cell) noexcept : t_(t), cell_(cell), outer_(static_cast<activity*>(cell_)) {
    if (outer_ != nullptr) [[unlikely]] set_layer(t, *outer_);
    cell_ = &t.layer;
  }
  ~inside_of() {
    cell_ = outer_;
    if (outer_ != nullptr) [[unlikely]] set_layer(t_, {});
  }
  inside_of(const inside_of&) = delete;
  inside_of& operator=(const inside_of&) = delete;

 private:
  transaction& t_;
  internal::scope_head*& cell_;                  // the stack's own, on whichever thread that runs
  activity* const outer_;
};

/// However a transaction ends, its record goes back clean.
class borrowed_record {
 public:
  borrowed_record(internal::thread_block& block, std::uint32_t limit) : t_(&take_record(block)) { t_->so_far = {.limit = limit}; }
  ~borrowed_record() {
    if (t_ != nullptr) give(counted::given_up);
  }
  borrowed_record(const borrowed_record&) = delete;
  borrowed_record& operator=(const borrowed_record&) = delete;
  transaction& get() noexcept { return *t_; }

  /// What is left to do when all is committed.
  void finish() {
    if (t_->log.empty() && t_->sends.first == nullptr) give(counted::commits);  // it only looked: a commute, too, has an entry
    else finish_changes();
  }

 private:
  [[gnu::noinline]] void finish_changes() {
    transaction& t = *t_;
    for (box* b : t.dead) retire(b);
    t.dead.clear();
    t.log.clear();
    if (t.first_commute != nullptr) drop_commutes(t);
    if (t.told.empty() && t.sends.first == nullptr) [[likely]] return give(counted::commits);
    std::vector<told_change> told = std::exchange(t.told, {});
    t.room_to_tell = 0;
    const held_sends sends = std::exchange(t.sends, {});
    give(counted::commits);
    tell(std::move(told), sends);
  }
  void give(counted what) noexcept {
    transaction& t = *std::exchange(t_, nullptr);
    if (t.slot != snapshot_table::none) [[unlikely]] shared.snapshots.leave(std::exchange(t.slot, snapshot_table::none));
    internal::thread_block& block = internal::here();
    block.counts.add(what);
    give_record(block, t);
  }
  transaction* t_;
};

enum class attempt_result : std::uint8_t { committed, anew };

attempt_result try_once(transaction& t, internal::scope_head*& cell, void (*body)(void*), void* context) {
  try {
    begin_attempt(t);
    const inside_of layer(t, cell);
    body(context);
    // An empty log: it only looked. There is nothing to validate, and nobody has seen it.
    if (!t.doomed && (t.log.empty() || commit(t))) [[likely]] return attempt_result::committed;
    if (planted::is(planted::doomed_forgotten) && t.doomed) return attempt_result::committed;
  } catch (const begin_anew&) {
  } catch (const unwind&) {                      // the process ends
    if (!t.doomed) roll_back(t);
    throw;
  } catch (const retry_limit&) {
    if (!t.doomed) roll_back(t);
    throw;
  } catch (...) {
    // A body that turns the signal into an exception of its own does not get away with it.
    if (!t.doomed) {
      roll_back(t);
      throw;
    }
  }
  if (!t.doomed) roll_back(t);
  return attempt_result::anew;
}

}  // namespace

ref_core::ref_core() noexcept : order(shared.next_order.fetch_add(1, sync::relaxed)) {}

ref_core::~ref_core() {
  COPPICE_ASSERT(!is_owned(word.load(sync::acquire)), "a ref is destroyed while a transaction writes it");
  for (box* b = head.load(sync::acquire); b != nullptr;) drop_holder(std::exchange(b, version(*b).older.load(sync::relaxed)));
}

transaction* current_transaction() noexcept { return transaction_at(internal::here()); }

[[noreturn, gnu::noinline]] static void refuse_outside(const char* what) {
  throw no_transaction(std::string(what) + ": only inside of transact()");
}

transaction& transaction_for(const char* what) {
  transaction* t = transaction_at(internal::here());
  if (t == nullptr) [[unlikely]] refuse_outside(what);
  check_alive(*t);
  return *t;
}

const box& look_at(ref_core& r, guard& g) {
  transaction* t = current_transaction();
  if (t == nullptr) {
    await_publishing(r);
    return *g.protect(r.head);
  }
  check_alive(*t);
  const log_entry* e = t->log.find(r);
  if (e != nullptr && (e->value != nullptr || e->owned)) return value_of_entry(*t, e, r, g);
  g.keep(read_version(*t, r));
  return *g.kept();
}

std::uint64_t look_at_word(ref_core& r) {
  internal::thread_block& block = internal::here();
  transaction* t = transaction_at(block);
  const brief_guard g(block);
  if (t == nullptr) {
    await_publishing(r);
    return word_in(*r.head.load(sync::acquire));
  }
  check_alive(*t);
  if (!t->log.empty())
    if (const log_entry* e = t->log.find(r); e != nullptr && (e->value != nullptr || e->owned)) {
      t->seen = true;
      return word_in(e->value != nullptr ? *e->value : *r.head.load(sync::acquire));
    }
  return word_in(*read_version(*t, r));
}

/// Makes the word ours for a first write. Returns null if it is already, or if the ref is commuted: then put_value refuses,
/// after the user's function.
static log_entry* find_written(transaction& t, ref_core& r) {
  log_entry* e = t.log.find(r);
  if (e != nullptr && (e->commuted || e->owned)) [[unlikely]] return e;
  own(t, r, e);
  return nullptr;
}

write_access begin_write(ref_core& r, guard& g) {
  transaction& t = transaction_for("alter");
  if (log_entry* e = find_written(t, r); e != nullptr) [[unlikely]] return {&t, &value_of_entry(t, e, r, g)};
  box* now = g.protect(r.head);
  check_version(t, *now);
  t.seen = true;
  return {&t, now};
}

word_access begin_word_write(ref_core& r) {
  transaction& t = transaction_for("alter");
  log_entry* e = find_written(t, r);
  const brief_guard g(internal::here());
  box* now = e != nullptr && e->value != nullptr ? e->value : r.head.load(sync::acquire);
  if (e == nullptr) [[likely]] check_version(t, *now);
  t.seen = true;
  return {&t, word_in(*now)};
}

transaction& begin_blind_write(ref_core& r) {
  transaction& t = transaction_for("set");
  if (find_written(t, r) != nullptr) [[unlikely]] return t;
  const brief_guard g(internal::here());
  check_version(t, *r.head.load(sync::acquire));
  return t;
}

void put_value(transaction& t, ref_core& r, box* fresh) {
  log_entry* e = t.log.find(r);
  if (t.doomed || e == nullptr) [[unlikely]] {   // the user's function had the attempt begin anew, and caught that
    discard(fresh);
    signal_anew(t);
  }
  if (e->commuted) [[unlikely]] {
    discard(fresh);
    throw set_after_commute("set or alter after commute of the same ref");
  }
  t.seen = true;
  if (box* before = std::exchange(e->value, fresh)) [[unlikely]] retire(before);
}

/// A function of commute commutes something itself while it runs once more: what it does is done on the spot.
static const box& begin_write_at_commit(transaction& t, ref_core& r, guard& g) {
  check_alive(t);
  return value_of_entry(t, &own(t, r, t.log.find(r)), r, g);
}

const box& begin_commute(transaction& t, ref_core& r, guard& g) {
  if (t.commuting) return begin_write_at_commit(t, r, g);
  if (const log_entry* e = t.log.find(r); e != nullptr && e->value != nullptr) return value_now(t, r, g);
  t.seen = true;
  await_publishing(r);
  return *g.protect(r.head);
}

void put_commuted(transaction& t, ref_core& r, box* fresh, commute_record* how) {
  const auto drop = [&] {
    const std::uint32_t bytes = how->bytes;
    how->destroy(*how);
    free_box(how, bytes);
  };
  if (t.doomed) {
    drop();
    discard(fresh);
    signal_anew(t);
  }
  log_entry& e = entry_of(t, r);
  if (t.commuting || (e.owned && !e.commuted)) { // written already: once is enough
    drop();
  } else {
    e.commuted = true;
    (t.last_commute != nullptr ? t.last_commute->next : t.first_commute) = how;
    t.last_commute = how;
  }
  if (box* before = std::exchange(e.value, fresh)) retire(before);
}

const box& ensure_ref(transaction& t, ref_core& r, guard& g) {
  if (t.log.empty()) appear(t);
  const log_entry* found = t.log.find(r);
  if (found != nullptr && (found->owned || found->ensured)) return value_now(t, r, g);
  for (;;) {
    check_alive(t);
    std::uint64_t w = r.word.load(sync::acquire);
    if (is_owned(w)) {
      if (meet_owner(t, r, w)) {                 // taken from a younger one: better than ensured
        entry_of(t, r).owned = true;
        break;
      }
    } else if (r.word.cas(w, w == 0 ? one_ensurer | tag_ensured : w + one_ensurer, sync::seq_cst)) {
      entry_of(t, r).ensured = true;
      break;
    }
  }
  check_version(t, *g.protect(r.head));
  return value_now(t, r, g);
}

bool hold_until_commit(transaction& t, held_send* s) noexcept {
  if (t.commuting) return false;
  t.sends.append(s);
  return true;
}

void run_transaction(void (*body)(void*), void* context, std::uint32_t limit) {
  internal::thread_block& block = internal::here();
  internal::scope_head*& cell = internal::scope_cell(block);
  if (const auto* now = static_cast<const activity*>(cell); now != nullptr) [[unlikely]] {
    if (now->transaction != nullptr) {
      check_alive(*now->transaction);
      return body(context);
    }
    // It would wait for the refs that the one beside it holds, on the same stack.
    if (now->beside_transaction)
      throw in_transaction("transact: not in the function of a delay that is asked for in a transaction");
  }
  borrowed_record record(block, limit);
  while (try_once(record.get(), cell, body, context) == attempt_result::anew) wait_before_next(record.get());
  record.finish();
}

void refuse_io(const char* why) { throw in_transaction(why); }

bool is_in_io() noexcept {
  const activity* a = internal::current_activity();
  return a != nullptr && a->in_io;
}

static_assert(sizeof(inside) <= sizeof(io_scope));
io_scope::io_scope() noexcept {
  ::new (static_cast<void*>(place_)) inside([](activity& a) { a.in_io = true; });
}
io_scope::~io_scope() { std::launder(reinterpret_cast<inside*>(place_))->~inside(); }

}  // namespace coppice::detail

namespace coppice::internal {

void drop_transactions() noexcept {
  while (detail::transaction* t = detail::shared.idle) {
    detail::shared.idle = t->next;
    delete t;
  }
}

void renew_transactions() noexcept {
  ::new (&detail::shared) detail::shared_state;
}

}  // namespace coppice::internal
