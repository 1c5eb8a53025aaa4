// SPDX-License-Identifier: Apache-2.0
//
// transaction: snapshot isolation over refs.
//
//   clock    one number for the program, even; a commit takes the next
//   begin    snapshot = clock
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
//   5. A snapshot is announced as open before it is read from the clock.
//   6. After each user function the log may have grown: entries are found anew.
// Design note: docs/internals/transactions.md.
#include "state/transaction.hpp"

#include <coppice/state/transaction.hpp>

#include "process/system.hpp"
#include "runtime/planted.hpp"
#include "state/activity.hpp"

#include <coppice/base/assert.hpp>

#include <algorithm>
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
using internal::here;
using internal::inside;
using internal::limits_of_transactions;
namespace planted = internal::planted;

struct alignas(64) line_of_clock {
  sync::atomic<std::uint64_t> now{2, "clock"};
};
struct snapshot_table {
  static constexpr int slots = 64;
  sync::atomic<std::uint32_t> used{0, "snapshots"};
  sync::atomic<std::uint64_t> slot[slots];       // 0: free; odd: about to be read from the clock; else a snapshot that is in use
};
struct shared_state {
  line_of_clock clock;
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
constexpr std::size_t short_log = 12;            // searched one by one; longer ones have an index
constexpr std::uint32_t none = ~std::uint32_t{0};
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

// --- records ---------------------------------------------------------------------------------------------------------

void give_to_all(void* raw) noexcept {
  auto* t = static_cast<transaction*>(raw);
  sync::lock_guard held(shared.lock);
  t->next = shared.idle;
  shared.idle = t;
}

transaction& take_record() {
  internal::thread_block& block = here();
  if (void* kept = std::exchange(block.keepsake, nullptr)) return *static_cast<transaction*>(kept);
  {
    sync::lock_guard held(shared.lock);
    if (transaction* t = shared.idle; t != nullptr) {
      shared.idle = t->next;
      return *t;
    }
  }
  return *new transaction;
}

void give_record(transaction& t) noexcept {
  internal::thread_block& block = here();
  if (block.keepsake != nullptr) return give_to_all(&t);
  block.keepsake = &t;
  block.drop_keepsake = &give_to_all;
}

// --- the log ---------------------------------------------------------------------------------------------------------

std::size_t bucket_of(const transaction& t, const ref_core& r) noexcept {
  return (reinterpret_cast<std::uintptr_t>(&r) >> 6) * 0x9E3779B97F4A7C15u >> 32 & (t.index.size() - 1);
}

void index_entry(transaction& t, std::uint32_t i) noexcept {
  std::uint32_t& bucket = t.index[bucket_of(t, *t.log[i].ref)];
  t.log[i].same_bucket = bucket;
  bucket = i;
}

void rebuild_index(transaction& t) {
  std::size_t size = 64;
  while (size < 4 * t.log.size()) size *= 2;
  t.index.assign(size, none);
  for (std::uint32_t i = 0; i != t.log.size(); ++i) index_entry(t, i);
}

log_entry* find(transaction& t, const ref_core& r) noexcept {
  if (t.index.empty()) [[likely]] {
    for (std::size_t i = t.log.size(); i != 0; --i)
      if (t.log[i - 1].ref == &r) return &t.log[i - 1];
    return nullptr;
  }
  for (std::uint32_t i = t.index[bucket_of(t, r)]; i != none; i = t.log[i].same_bucket)
    if (t.log[i].ref == &r) return &t.log[i];
  return nullptr;
}

log_entry& add(transaction& t, ref_core& r) {
  t.log.push_back({&r, nullptr, false, false, false, none});
  if (t.log.size() > short_log) [[unlikely]] {
    if (t.log.size() * 2 > t.index.size()) rebuild_index(t);
    else index_entry(t, static_cast<std::uint32_t>(t.log.size() - 1));
  }
  return t.log.back();
}

log_entry& entry_of(transaction& t, ref_core& r) {
  log_entry* e = find(t, r);
  return e != nullptr ? *e : add(t, r);
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

void clear_log(transaction& t) noexcept {
  t.log.clear();
  if (!t.index.empty()) t.index.clear();
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
  clear_log(t);
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
  if (t.stop.load(sync::acquire) == t.attempt) [[unlikely]] signal_anew(t);
}

// --- snapshots -------------------------------------------------------------------------------------------------------

std::uint64_t read_clock() noexcept { return shared.clock.now.load(sync::seq_cst); }

/// From now on what a commit replaces is kept if this snapshot needs it.
void register_snapshot(transaction& t) noexcept {
  for (int i = 0; t.slot < 0 && i != snapshot_table::slots; ++i) {
    std::uint64_t free = 0;
    if (shared.snapshots.slot[i].cas(free, read_clock() | 1, sync::seq_cst)) t.slot = i;
  }
  if (t.slot >= 0) shared.snapshots.used.fetch_add(1, sync::seq_cst);
}

void read_snapshot_time(transaction& t) noexcept {
  if (t.slot < 0) {
    t.snapshot = read_clock();
    return;
  }
  sync::atomic<std::uint64_t>& slot = shared.snapshots.slot[t.slot];
  slot.store(slot.load(sync::relaxed) | 1, sync::seq_cst);  // open: all that is replaced from here on is kept
  sync::fence(sync::seq_cst);
  t.snapshot = read_clock();
  slot.store(t.snapshot, sync::seq_cst);
}

void unregister_snapshot(transaction& t) noexcept {
  if (t.slot < 0) return;
  shared.snapshots.slot[t.slot].store(0, sync::seq_cst);
  shared.snapshots.used.fetch_sub(1, sync::seq_cst);
  t.slot = -1;
}

bool is_needed(const version_head& v, std::uint64_t until) noexcept {
  for (const sync::atomic<std::uint64_t>& slot : shared.snapshots.slot) {
    const std::uint64_t s = slot.load(sync::seq_cst);
    if (s == 0) continue;
    if ((s & 1) != 0 || (v.version.get() <= s && s < until)) return true;
  }
  return false;
}

/// The body knows nothing yet: the snapshot is simply taken anew. Throws retry_limit.
void restart_silently(transaction& t) {
  if (++t.tries > t.limit) throw retry_limit("the transaction was tried " + std::to_string(t.limit) + " times");
  read_snapshot_time(t);
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

box* find_version(ref_core& r, guard& g, std::uint64_t snapshot) noexcept {
  for (int round = 0; is_being_published(r, snapshot) && !planted::is(planted::publishing_not_awaited);) pause(round);
  for (box* b = g.protect(r.head); b != nullptr; b = version(*b).older.load(sync::acquire)) {
    const version_head& v = version(*b);
    if (v.version.get() > snapshot) continue;
    if (snapshot >= v.until.load(sync::acquire)) return nullptr;  // a gap
    g.keep(b);
    return b;
  }
  return nullptr;
}

const box& read_version(transaction& t, ref_core& r, guard& g) {
  for (;;) {
    if (box* b = find_version(r, g, t.snapshot); b != nullptr) [[likely]] return *b;
    r.faulted.store(1, sync::relaxed);
    ++t.faults;
    if (t.seen) signal_anew(t);
    restart_silently(t);
  }
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
  const std::uint64_t mine = t.age.load(sync::relaxed);
  if (mine != other) return mine < other;
  return t.anew > 2 && &t < &owner;              // no commit between the two beginnings: at first the owner counts as older
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
  if (t.first_conflict == 0) t.first_conflict = now;
  if (!t.seen && holds_nothing(t)) {
    wait_for_owner(word, limits_of_transactions.wait);
    return false;
  }
  if (is_older(t, owner_of(word))) {
    const std::int64_t patience = t.first_conflict + limits_of_transactions.barge - now;
    if (patience <= 0) {
      if (take_from(t, r, word)) return true;
      sync::relax();
      return false;
    }
    wait_for_owner(word, patience);
    return false;
  }
  if (t.owns_commuted) {
    const std::int64_t left = t.first_conflict + limits_of_transactions.wait - now;
    if (left > 0) {
      wait_for_owner(word, left);
      return false;
    }
  }
  t.blocked_by = &owner_of(word);
  t.blocked_word = word;
  signal_anew(t);
}

void meet_ensurers(transaction& t, ref_core& r, std::uint64_t word) {
  for (int round = 0; round < limits_of_transactions.spins;) {
    if (r.word.load(sync::acquire) != word) return;
    pause(round);
  }
  if (t.first_conflict == 0) t.first_conflict = sync::now();
  if (!t.seen && holds_nothing(t)) return wait_for_ensurers(r, limits_of_transactions.wait);
  t.blocked_at = &r;
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
    const log_entry* e = find(t, r);
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

/// Makes the word ours. `e`: the ref's entry, or null if it has none.   Returns: its entry.
log_entry& own(transaction& t, ref_core& r, log_entry* e) {
  check_alive(t);
  std::uint64_t free = 0;
  if (r.word.load(sync::relaxed) != 0 || !r.word.cas(free, word_of(t), sync::seq_cst)) [[unlikely]] return own_contended(t, r);
  return note_owned(e != nullptr ? *e : add(t, r));
}

/// The ref is ours or ensured by us: it must not have been committed since our snapshot.
void check_version(transaction& t, ref_core& r) {
  if (planted::is(planted::version_unchecked)) return;
  while (version(*r.head.load(sync::acquire)).version.get() > t.snapshot) {
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
const box& value_now(transaction& t, ref_core& r, guard& g) { return value_of_entry(t, find(t, r), r, g); }

// --- commit ----------------------------------------------------------------------------------------------------------

/// The last committed value, which nobody is about to replace at this moment.
box* committed(const ref_core& r, guard& g) noexcept {
  for (int round = 0; is_being_published(r, ~std::uint64_t{0}) && !planted::is(planted::publishing_not_awaited);) pause(round);
  return g.protect(r.head);
}

void own_commuted(transaction& t) {
  std::vector<ref_core*>& refs = t.commuted;
  refs.clear();
  for (const log_entry& e : t.log)
    if (e.commuted && !e.owned) refs.push_back(e.ref);
  std::sort(refs.begin(), refs.end(), [](const ref_core* a, const ref_core* b) { return a->order < b->order; });
  struct mark {
    bool& of;
    explicit mark(bool& m) noexcept : of(m) { of = true; }
    ~mark() { of = false; }
  } const in_order(t.owns_commuted);
  for (ref_core* r : refs) {
    log_entry* e = find(t, *r);
    const bool ensured = e->ensured;
    own(t, *r, e);
    if (ensured) check_version(t, *r);
  }
}

/// Each commuted ref begins anew with what is committed now.
void run_commutes(transaction& t) {
  for (log_entry& e : t.log)
    if (e.commuted && e.value != nullptr) retire(std::exchange(e.value, nullptr));
  t.commuting = true;
  for (commute_record* c = t.first_commute; c != nullptr; c = c->next) {
    guard g;
    const box& base = value_now(t, *c->ref, g);
    box* fresh = c->apply(*c, base);
    if (log_entry& e = *find(t, *c->ref); box* before = std::exchange(e.value, fresh)) retire(before);
  }
  t.commuting = false;
}

void run_validators(transaction& t) {
  for (std::size_t i = 0; i < t.log.size(); ++i) {
    const log_entry e = t.log[i];
    if (e.value == nullptr) continue;
    if (observers* x = e.ref->observers->load(sync::acquire); x != nullptr) [[unlikely]] validate(*x, value_in(*e.value), "ref");
  }
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

/// Takes out of the chain behind `fresh` what is kept no longer.
void trim(transaction& t, box* fresh, std::uint32_t keep, bool registered) {
  box* behind = fresh;
  for (box* b = version(*fresh).older.load(sync::relaxed); b != nullptr;) {
    version_head& v = version(*b);
    box* older = v.older.load(sync::relaxed);
    if (keep != 0) --keep, behind = b;
    else if (registered && is_needed(v, v.until.load(sync::relaxed))) behind = b;
    else {
      version(*behind).older.store(older, sync::release);
      t.dead.push_back(b);
    }
    b = older;
  }
}

void publish(transaction& t, const log_entry& e, std::uint64_t as, bool registered) {
  ref_core& r = *e.ref;
  box* old = r.head.load(sync::relaxed);
  if (observers* x = r.observers->load(sync::acquire); x != nullptr && is_watched(*x)) [[unlikely]] {
    old->holders.fetch_add(1, sync::relaxed);
    e.value->holders.fetch_add(1, sync::relaxed);
    t.told.push_back({&r, old, e.value});
  }
  version_head& fresh = version(*e.value);
  fresh.version = as;
  fresh.older.store(old, sync::relaxed);
  version(*old).until.store(as, sync::release);
  trim(t, e.value, grown_history(r), registered);
  r.head.store(e.value, sync::release);
}

/// From here to idle nothing of the user's runs and nothing may fail: room for what is noted is made before.
/// Returns: whether anything is written.
bool make_room_for_commit(transaction& t) {
  std::size_t versions = 0;
  for (const log_entry& e : t.log)
    if (e.value != nullptr) versions += std::size_t{2} + e.ref->history.load(sync::relaxed);
  t.dead.reserve(versions + 64);
  t.told.reserve(t.log.size());
  return versions != 0;
}

/// Returns: false when the attempt must begin anew. Throws what the user's functions throw.
bool commit(transaction& t) {
  if (t.log.empty()) {                           // it only looked: nothing to validate, nothing to give back
    become_idle(t);
    return true;
  }
  if (t.first_commute != nullptr) [[unlikely]] {
    own_commuted(t);
    run_commutes(t);
  }
  run_validators(t);
  check_alive(t);
  const bool writes = make_room_for_commit(t);
  t.status.store(status_of(t.attempt, phase::committing), sync::release);
  sync::light_fence();                           // pairs with the heavy one in take_from
  if (t.stop.load(sync::acquire) == t.attempt && !planted::is(planted::kill_unseen)) [[unlikely]] {
    t.status.store(status_of(t.attempt, phase::running), sync::release);
    return false;
  }
  if (writes) {
    const std::uint64_t as = shared.clock.now.fetch_add(2, sync::seq_cst) + 2;
    t.written_as.store(as, sync::release);
    const bool registered = shared.snapshots.used.load(sync::seq_cst) != 0;
    for (const log_entry& e : t.log)
      if (e.value != nullptr) publish(t, e, as, registered);
  }
  for (const log_entry& e : t.log) {
    if (e.owned) e.ref->word.store(0, sync::release);
    if (e.ensured) release_ensured(*e.ref);
  }
  become_idle(t);
  return true;
}

/// With the transaction gone: watches, then sends, however the watches end.
void tell(std::vector<told_change>&& told, held_sends sends) {
  std::exception_ptr first;
  for (const told_change& c : told) {
    try {
      if (observers* x = c.ref->observers->load(sync::acquire); x != nullptr)
        notify(*x, c.ref->self, value_in(*c.old), value_in(*c.now), true);
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

void begin_attempt(transaction& t) {
  ++t.attempt;
  t.doomed = false;
  t.seen = false;
  t.commuting = false;
  t.written_as.store(0, sync::relaxed);
  t.status.store(status_of(t.attempt, phase::running), sync::release);
  if (t.faults >= faults_before_registration && t.slot < 0) register_snapshot(t);
  read_snapshot_time(t);
  if (t.tries == 0) t.age.store(t.snapshot, sync::release);
  if (++t.tries > t.limit) throw retry_limit("the transaction was tried " + std::to_string(t.limit) + " times");
}

/// The attempt failed and holds nothing: waits for what was in its way.
void wait_before_next(transaction& t) {
  ++t.anew;
  count(counted::begun_anew);
  if (t.blocked_by != nullptr) wait_for_owner(t.blocked_word, limits_of_transactions.wait);
  if (t.blocked_at != nullptr) {
    wait_for_ensurers(*t.blocked_at, limits_of_transactions.wait);
    // Two who ensured the same two refs would meet again in step.
    const std::uint32_t rounds = here().dice() % (32u << std::min(t.anew, 8u));
    for (int round = 0; round < static_cast<int>(rounds) && limits_of_transactions.spins > 10;) pause(round);
  }
  t.blocked_by = nullptr;
  t.blocked_at = nullptr;
}

/// However a transaction ends, its record goes back clean.
class borrowed_record {
 public:
  explicit borrowed_record(std::uint32_t limit) : t_(&take_record()) {
    t_->limit = limit;
    t_->tries = 0;
    t_->faults = 0;
    t_->anew = 0;
    t_->first_conflict = 0;
    t_->blocked_by = nullptr;
    t_->blocked_at = nullptr;
  }
  ~borrowed_record() {
    if (t_ == nullptr) return;
    count(counted::given_up);
    give();
  }
  borrowed_record(const borrowed_record&) = delete;
  borrowed_record& operator=(const borrowed_record&) = delete;
  transaction& get() noexcept { return *t_; }

  /// What is left to do when all is committed.
  void finish() {
    transaction& t = *t_;
    count(counted::commits);
    if (t.log.empty() && t.sends.first == nullptr) return give();      // it only looked: a commute, too, has an entry
    for (box* b : t.dead) retire(b);
    t.dead.clear();
    clear_log(t);
    drop_commutes(t);
    const held_sends sends = std::exchange(t.sends, {});
    if (t.told.empty() && sends.first == nullptr) [[likely]] return give();
    std::vector<told_change> told = std::move(t.told);
    t.told.clear();
    give();
    tell(std::move(told), sends);
  }

 private:
  void give() noexcept {
    unregister_snapshot(*t_);
    give_record(*std::exchange(t_, nullptr));
  }
  transaction* t_;
};

/// What its body asks of servers, and tells them.
constexpr internal::scope_rules rules_of_transactions{
    .refuse = [](const char* what) { throw in_transaction(std::string(what) + ": not inside of a transaction, whose body may run more than once"); },
    .hold = [](held_send* s) noexcept {
      if (!hold_until_commit(*internal::current_activity()->transaction, s)) s->drop(*s);
    }};

enum class attempt_result : std::uint8_t { committed, anew };

attempt_result try_once(transaction& t, void (*body)(void*), void* context) {
  try {
    begin_attempt(t);
    const inside layer([&](activity& a) {
      a.transaction = &t;
      a.rules = &rules_of_transactions;
    });
    body(context);
    if (!t.doomed && commit(t)) return attempt_result::committed;
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

ref_core::ref_core(observers_cell& hanging_on, void* reference) noexcept
    : order(shared.next_order.fetch_add(1, sync::relaxed)), observers(&hanging_on), self(reference) {}

ref_core::~ref_core() {
  COPPICE_ASSERT(!is_owned(word.load(sync::acquire)), "a ref is destroyed while a transaction writes it");
  for (box* b = head.load(sync::acquire); b != nullptr;) drop_holder(std::exchange(b, version(*b).older.load(sync::relaxed)));
}

transaction* current_transaction() noexcept {
  const activity* a = internal::current_activity();
  return a != nullptr ? a->transaction : nullptr;
}

transaction& transaction_for(const char* what) {
  transaction* t = current_transaction();
  if (t == nullptr) [[unlikely]] throw no_transaction(std::string(what) + ": only inside of transact()");
  check_alive(*t);
  return *t;
}

const box& look_at(ref_core& r, guard& g) {
  transaction* t = current_transaction();
  if (t == nullptr) return *committed(r, g);
  check_alive(*t);
  const log_entry* e = t->log.empty() ? nullptr : find(*t, r);
  if (e != nullptr && (e->value != nullptr || e->owned)) return value_of_entry(*t, e, r, g);
  const box& b = read_version(*t, r, g);
  t->seen = true;
  return b;
}

const box& begin_write(transaction& t, ref_core& r, guard& g) {
  log_entry* e = find(t, r);
  if (e != nullptr && (e->commuted || e->owned)) return value_of_entry(t, e, r, g);  // commuted: put_value refuses, after the user's function
  e = &own(t, r, e);
  check_version(t, r);
  return value_of_entry(t, e, r, g);
}

void begin_blind_write(transaction& t, ref_core& r) {
  log_entry* e = find(t, r);
  if (e != nullptr && (e->commuted || e->owned)) return;
  own(t, r, e);
  check_version(t, r);
}

void put_value(transaction& t, ref_core& r, box* fresh) {
  log_entry* e = find(t, r);
  if (t.doomed || e == nullptr) {                // the user's function had the attempt begin anew, and caught that
    discard(fresh);
    signal_anew(t);
  }
  if (e->commuted) {
    discard(fresh);
    throw set_after_commute("set or alter after commute of the same ref");
  }
  t.seen = true;
  if (box* before = std::exchange(e->value, fresh)) retire(before);
}

/// A function of commute commutes something itself while it runs once more: what it does is done on the spot.
static const box& begin_write_at_commit(transaction& t, ref_core& r, guard& g) {
  return value_of_entry(t, &own(t, r, find(t, r)), r, g);
}

const box& begin_commute(transaction& t, ref_core& r, guard& g) {
  if (t.commuting) return begin_write_at_commit(t, r, g);
  if (const log_entry* e = find(t, r); e != nullptr && e->value != nullptr) return value_now(t, r, g);
  t.seen = true;
  return *committed(r, g);
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
  const log_entry* found = find(t, r);
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
  check_version(t, r);
  return value_now(t, r, g);
}

bool hold_until_commit(transaction& t, held_send* s) noexcept {
  if (t.commuting) return false;
  t.sends.append(s);
  return true;
}

void run_transaction(void (*body)(void*), void* context, std::uint32_t limit) {
  if (transaction* outer = current_transaction(); outer != nullptr) {
    check_alive(*outer);
    return body(context);
  }
  // It would wait for the refs that the one beside it holds, on the same stack.
  if (const activity* now = internal::current_activity(); now != nullptr && now->beside_transaction)
    throw in_transaction("transact: not in the function of a delay that is asked for in a transaction");
  borrowed_record record(limit);
  while (try_once(record.get(), body, context) == attempt_result::anew) wait_before_next(record.get());
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
