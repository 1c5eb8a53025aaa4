// SPDX-License-Identifier: Apache-2.0
//
// conflict: transactions that want the same ref: waiting, killing, beginning anew. The protocol is described in attempt.hpp.
#include "state/attempt.hpp"

#include <algorithm>

namespace coppice::internal {

transaction_limits limits_of_transactions;

}  // namespace coppice::internal

namespace coppice::detail {

using internal::limits_of_transactions;

void release_ensured(ref_core& r) noexcept {
  std::uint64_t w = r.word.load(sync::relaxed);
  while (!r.word.cas(w, w == (one_ensurer | tag_ensured) ? 0 : w - one_ensurer, sync::seq_cst)) {}
  if (transactions.ensured.has_waiters()) transactions.ensured.wake_all();
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

void signal_anew(transaction& t) {
  if (!t.doomed) {
    roll_back(t);
    t.doomed = true;
  }
  throw begin_anew{};
}

void restart_silently(transaction& t) {
  count_try(t);
  take_snapshot(t);
}

void wait_for_owner(std::uint64_t word, std::int64_t time) {
  transaction& owner = owner_of(word);
  owner.ended.wait([&] {
    sync::heavy_fence();                         // pairs with the light one in become_idle
    return !is_in_attempt(word, owner.status.load(sync::seq_cst));
  }, time);
}

void wait_for_ensurers(const ref_core& r, std::int64_t time) {
  transactions.ensured.wait([&] { return !is_ensured(r.word.load(sync::seq_cst)); }, time);
}

namespace {

bool holds_nothing(const transaction& t) noexcept {
  return std::none_of(t.log.begin(), t.log.end(), [](const log_entry& e) { return e.owned || e.ensured; });
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

}  // namespace

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

log_entry& own_contended(transaction& t, ref_core& r) {
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

}  // namespace coppice::detail
