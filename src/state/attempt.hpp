// SPDX-License-Identifier: Apache-2.0
//
// attempt: snapshot isolation over refs, as all parts of a transaction know it: conflict.cpp, commit.cpp, transaction.cpp.
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
#pragma once

#include "runtime/planted.hpp"
#include "state/transaction.hpp"

#include <coppice/state/transaction.hpp>

#include <cstdint>
#include <cstring>
#include <string>

namespace coppice::detail {

namespace planted = internal::planted;

struct transactions_state {
  commit_clock clock;
  snapshot_table snapshots;
  sync::atomic<std::uint64_t> next_order{1};
  internal::wait_list ensured;                   // those who wait for a ref that is ensured, whichever it is
  sync::spinlock lock;
  transaction* idle = nullptr;                   // records; guarded by `lock`
};
extern transactions_state transactions;

// --- words and states ------------------------------------------------------------------------------------------------

inline constexpr std::uint64_t tag_owned = 1;
inline constexpr std::uint64_t tag_ensured = 2;
inline constexpr std::uint64_t one_ensurer = 8;

inline bool is_owned(std::uint64_t word) noexcept { return (word & 7) == tag_owned; }
inline bool is_ensured(std::uint64_t word) noexcept { return (word & 7) == tag_ensured; }
inline std::uint64_t status_of(std::uint64_t attempt, phase p) noexcept { return attempt << 2 | static_cast<std::uint64_t>(p); }
inline phase phase_of(std::uint64_t status) noexcept { return static_cast<phase>(status & 3); }
inline std::uint64_t word_of(const transaction& t) noexcept {
  return (t.attempt & 0xFFFF) << 48 | reinterpret_cast<std::uintptr_t>(&t) | tag_owned;
}
inline transaction& owner_of(std::uint64_t word) noexcept { return *reinterpret_cast<transaction*>(word & 0x0000'FFFF'FFFF'FFF8u); }
/// The owner is still in the attempt that the word names.
inline bool is_in_attempt(std::uint64_t word, std::uint64_t status) noexcept {
  return (status >> 2 & 0xFFFF) == word >> 48 && phase_of(status) != phase::idle;
}

/// Whether older versions are linked behind the one with this number.
inline bool has_chain(std::uint64_t version) noexcept { return (version & 1) != 0; }
inline std::uint64_t newest_version(const ref_core& r) noexcept { return r.number.load(sync::acquire) & ~std::uint64_t{1}; }
inline version_head& version_of(box& b) noexcept { return static_cast<version_head&>(b); }
/// Its value, where that is a word. A smaller one has room behind it.
inline std::uint64_t word_in(const box& b) noexcept {
  std::uint64_t word;
  std::memcpy(&word, reinterpret_cast<const char*>(&b) + sizeof(version_head), sizeof word);
  return word;
}

// --- conflict.cpp ----------------------------------------------------------------------------------------------------

void release_ensured(ref_core& r) noexcept;
void drop_commutes(transaction& t) noexcept;
/// The attempt is over for all others: who waits for its end may look again.
void become_idle(transaction& t) noexcept;
/// Everything is given back.
void roll_back(transaction& t) noexcept;
/// The attempt is of no use any more: everything is given back, and every later operation says so again.
[[noreturn]] void signal_anew(transaction& t);
/// The body knows nothing yet: the snapshot is simply taken anew. Throws retry_limit.
void restart_silently(transaction& t);
/// Waits until the attempt that `word` names is over.
void wait_for_owner(std::uint64_t word, std::int64_t time);
void wait_for_ensurers(const ref_core& r, std::int64_t time);
/// `r` belongs to another. Returns when it may have changed hands; `true`: it is ours.
bool meet_owner(transaction& t, ref_core& r, std::uint64_t word);
/// Makes the word ours, though somebody has it, perhaps we ourselves.
log_entry& own_contended(transaction& t, ref_core& r);

// --- commit.cpp ------------------------------------------------------------------------------------------------------

/// Returns: false when the attempt must begin anew. Throws what the user's functions throw.
bool commit(transaction& t);
/// With the transaction gone: watches, then sends, however the watches end.
void tell(std::vector<told_change>&& told, held_sends sends);

// --- what all do -----------------------------------------------------------------------------------------------------

/// Others are about to see it.
inline void appear(transaction& t) noexcept {
  t.age.store(t.so_far.born, sync::relaxed);
  t.written_as.store(0, sync::relaxed);
  t.status.store(status_of(t.attempt, phase::running), sync::release);
}

inline log_entry& entry_of(transaction& t, ref_core& r) {
  if (t.log.empty()) appear(t);
  return t.log.entry_of(r);
}

inline void check_alive(transaction& t) {
  if (t.doomed && !planted::is(planted::doomed_forgotten)) [[unlikely]] signal_anew(t);
  if (t.log.empty()) return;                     // nobody has seen it yet
  if (t.stop.load(sync::acquire) == t.attempt) [[unlikely]] signal_anew(t);
}

/// The instant from which the transaction sees everything.
inline void take_snapshot(transaction& t) noexcept {
  t.snapshot = t.slot == snapshot_table::none ? transactions.clock.now() : transactions.snapshots.renew(t.slot, transactions.clock);
}

inline void count_try(transaction& t) {
  if (++t.so_far.tries > t.so_far.limit) [[unlikely]]
    throw retry_limit("the transaction was tried " + std::to_string(t.so_far.limit) + " times");
}

inline void pause(int& round) noexcept {
  ++round;
  sync::relax();
}

/// Whether a commit with a version of at most `snapshot` is just being published at `r`.
inline bool is_being_published(const ref_core& r, std::uint64_t snapshot) noexcept {
  const std::uint64_t w = r.word.load(sync::acquire);
  if (!is_owned(w)) [[likely]] return false;
  const transaction& owner = owner_of(w);
  if (phase_of(owner.status.load(sync::acquire)) != phase::committing) return false;
  const std::uint64_t as = owner.written_as.load(sync::acquire);
  return as == 0 || as <= snapshot;
}

inline log_entry& note_owned(log_entry& e) noexcept {
  e.owned = true;
  e.ensured = false;
  return e;
}

/// Makes the word ours. The transaction is alive. `e`: the ref's entry, or null if it has none.   Returns: its entry.
[[gnu::always_inline]] inline log_entry& own(transaction& t, ref_core& r, log_entry* e) {
  if (t.log.empty()) appear(t);
  std::uint64_t free = 0;
  if (r.word.load(sync::relaxed) != 0 || !r.word.cas(free, word_of(t), sync::seq_cst)) [[unlikely]] return own_contended(t, r);
  return note_owned(e != nullptr ? *e : t.log.add(r));
}

/// The ref is ours or ensured by us: what is committed there must not be younger than our snapshot. To be asked when the value has been
/// loaded: who has been killed meanwhile, and sees a younger value, sees its number, too.
/// A value that is older than a snapshot taken anew here is of one who was killed: its next operation says so.
inline void check_version(transaction& t, const ref_core& r) {
  if (planted::is(planted::version_unchecked)) return;
  while (newest_version(r) > t.snapshot) [[unlikely]] {
    if (t.seen) signal_anew(t);
    restart_silently(t);
  }
}

inline const box& value_of_entry(transaction& t, const log_entry* e, ref_core& r, guard& g) {
  t.seen = true;
  if (e == nullptr || e->value == nullptr) return *g.protect(r.head);   // ours: nobody replaces it
  keep_made(g, e->value);
  return *e->value;
}
inline const box& value_now(transaction& t, ref_core& r, guard& g) { return value_of_entry(t, t.log.find(r), r, g); }

}  // namespace coppice::detail
