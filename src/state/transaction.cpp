// SPDX-License-Identifier: Apache-2.0
//
// transaction: its records, its loop, and what a body does to refs. The protocol is described in attempt.hpp.
#include "state/transaction.hpp"

#include "process/system.hpp"
#include "state/activity.hpp"
#include "state/attempt.hpp"

#include <coppice/base/assert.hpp>

#include <algorithm>
#include <string>
#include <utility>

namespace coppice::detail {

transactions_state transactions;

namespace {

using internal::activity;
using internal::count;
using internal::counted;
using internal::inside;
using internal::limits_of_transactions;

constexpr std::uint32_t faults_before_registration = 3;

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
  sync::lock_guard held(transactions.lock);
  t->next = transactions.idle;
  transactions.idle = t;
}

[[gnu::noinline]] transaction& take_idle_record() {
  {
    sync::lock_guard held(transactions.lock);
    if (transaction* t = transactions.idle; t != nullptr) {
      transactions.idle = t->next;
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

// --- reading ---------------------------------------------------------------------------------------------------------

/// The version that `snapshot` sees; null: it is not kept any more. The caller has a guard.
box* find_version(ref_core& r, std::uint64_t snapshot) noexcept {
  for (int round = 0; is_being_published(r, snapshot) && !planted::is(planted::publishing_not_awaited);) pause(round);
  box* b = r.head.load(sync::acquire);
  if (version_of(*b).version.get() <= snapshot) [[likely]] return b;
  while ((b = version_of(*b).older.load(sync::acquire)) != nullptr) {
    const version_head& v = version_of(*b);
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
  if (!is_free || version_of(*b).version.get() > t.snapshot) [[unlikely]] b = find_or_begin_anew(t, r);
  t.seen = true;
  return b;
}

/// Returns when nobody is about to replace the committed value.
void await_publishing(const ref_core& r) noexcept {
  for (int round = 0; is_being_published(r, ~std::uint64_t{0}) && !planted::is(planted::publishing_not_awaited);) pause(round);
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
  if (t.so_far.faults >= faults_before_registration && t.slot == snapshot_table::none) t.slot = transactions.snapshots.enter(transactions.clock);
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

[[gnu::always_inline]] inline void give_back(transaction& t, counted what) noexcept {
  if (t.slot != snapshot_table::none) [[unlikely]] transactions.snapshots.leave(std::exchange(t.slot, snapshot_table::none));
  internal::thread_block& block = internal::here();
  block.counts.add(what);
  give_record(block, t);
}

/// It is committed: what was replaced is retired, and with no transaction there any more watches and sends follow.
[[gnu::noinline]] void finish_changes(transaction& t) {
  for (box* b : t.dead) retire(b);
  t.dead.clear();
  t.log.clear();
  if (t.first_commute != nullptr) drop_commutes(t);
  if (t.told.empty() && t.sends.first == nullptr) [[likely]] return give_back(t, counted::commits);
  std::vector<told_change> told = std::exchange(t.told, {});
  t.room_to_tell = 0;
  const held_sends sends = std::exchange(t.sends, {});
  give_back(t, counted::commits);
  tell(std::move(told), sends);
}

/// However a transaction ends, its record goes back clean.
class borrowed_record {
 public:
  borrowed_record(internal::thread_block& block, std::uint32_t limit) : t_(&take_record(block)) { t_->so_far = {.limit = limit}; }
  ~borrowed_record() {
    if (t_ != nullptr) give_back(*t_, counted::given_up);
  }
  borrowed_record(const borrowed_record&) = delete;
  borrowed_record& operator=(const borrowed_record&) = delete;
  transaction& get() noexcept { return *t_; }

  void finish() {
    transaction& t = *std::exchange(t_, nullptr);
    const bool only_looked = t.log.empty() && t.sends.first == nullptr;  // a commute, too, has an entry
    only_looked ? give_back(t, counted::commits) : finish_changes(t);
  }

 private:
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

ref_core::ref_core() noexcept : order(transactions.next_order.fetch_add(1, sync::relaxed)) {}

void ref_core::begin(version_head* first, bool is_word, void* as) noexcept {
  has_word = is_word;
  offset = static_cast<std::int16_t>(reinterpret_cast<char*>(this) - static_cast<char*>(as));
  if (is_word) head_word.store(word_in(*first), sync::relaxed);
  head.store(first, sync::release);
}

ref_core::~ref_core() {
  COPPICE_ASSERT(!is_owned(word.load(sync::acquire)), "a ref is destroyed while a transaction writes it");
  for (box* b = head.load(sync::acquire); b != nullptr;) drop_holder(std::exchange(b, version_of(*b).older.load(sync::relaxed)));
}

transaction* current_transaction() noexcept { return transaction_at(internal::here()); }

[[noreturn, gnu::noinline]] static void refuse_outside(const char* what) {
  throw no_transaction(std::string(what) + ": only inside of transact()");
}
transaction& transaction_for(const char* what) {
  transaction* t = current_transaction();
  if (t == nullptr) [[unlikely]] refuse_outside(what);
  check_alive(*t);
  return *t;
}

/// What has been taken from us may be committed by another since.
static void check_still_ours(transaction& t, const ref_core& r) {
  if (newest_version(r) > t.snapshot && !t.commuting) [[unlikely]] signal_anew(t);
}
static const box& own_value(transaction& t, const log_entry& e, ref_core& r, guard& g) {
  const box& b = value_of_entry(t, &e, r, g);
  if (e.value == nullptr) check_still_ours(t, r);
  return b;
}

const box& look_at(ref_core& r, guard& g) {
  transaction* t = current_transaction();
  if (t == nullptr) {
    await_publishing(r);
    return *g.protect(r.head);
  }
  check_alive(*t);
  const log_entry* e = t->log.find(r);
  if (e != nullptr && (e->value != nullptr || e->owned)) return own_value(*t, *e, r, g);
  g.keep(read_version(*t, r));
  return *g.kept();
}

/// One that is not the newest, or that is being replaced.
[[gnu::noinline]] static std::uint64_t look_at_older_word(transaction& t, ref_core& r) {
  const brief_guard g(internal::here());
  const std::uint64_t word = word_in(*find_or_begin_anew(t, r));
  t.seen = true;
  return word;
}
[[gnu::noinline]] static std::uint64_t look_at_own_word(transaction& t, ref_core& r, const log_entry& e) {
  t.seen = true;
  if (e.value != nullptr) return word_in(*e.value);
  const std::uint64_t word = r.head_word.load(sync::acquire);
  check_still_ours(t, r);
  return word;
}

std::uint64_t look_at_word(ref_core& r) {
  transaction* t = transaction_at(internal::here());
  if (t == nullptr) {
    await_publishing(r);
    return r.head_word.load(sync::acquire);
  }
  check_alive(*t);
  if (!t->log.empty())
    if (const log_entry* e = t->log.find(r); e != nullptr && (e->value != nullptr || e->owned)) return look_at_own_word(*t, r, *e);
  const bool is_free = r.word.load(sync::acquire) == 0;
  const std::uint64_t word = r.head_word.load(sync::acquire);
  if (!is_free || newest_version(r) > t->snapshot) [[unlikely]] return look_at_older_word(*t, r);
  t->seen = true;
  return word;
}

/// Makes the word ours for a first write.   Returns: null; the entry of a ref that is ours already, or that is commuted: then put_value
/// refuses, after the user's function.
static log_entry* find_written(transaction& t, ref_core& r) {
  log_entry* e = t.log.find(r);
  if (e != nullptr && (e->commuted || e->owned)) [[unlikely]] return e;
  own(t, r, e);
  return nullptr;
}

write_access begin_write(ref_core& r, guard& g) {
  transaction& t = transaction_for("alter");
  if (log_entry* e = find_written(t, r); e != nullptr) [[unlikely]] return {&t, &own_value(t, *e, r, g)};
  box* now = g.protect(r.head);
  check_version(t, r);
  t.seen = true;
  return {&t, now};
}

word_access begin_word_write(ref_core& r) {
  transaction& t = transaction_for("alter");
  if (const log_entry* e = find_written(t, r); e != nullptr) [[unlikely]] return {&t, look_at_own_word(t, r, *e)};
  const std::uint64_t now = r.head_word.load(sync::acquire);
  check_version(t, r);
  t.seen = true;
  return {&t, now};
}

transaction& begin_blind_write(ref_core& r) {
  transaction& t = transaction_for("set");
  if (find_written(t, r) == nullptr) [[likely]] check_version(t, r);
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
  box* now = g.protect(r.head);
  check_version(t, r);
  if (t.log.find(r)->value != nullptr) return value_now(t, r, g);
  t.seen = true;
  return *now;
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
  while (detail::transaction* t = detail::transactions.idle) {
    detail::transactions.idle = t->next;
    delete t;
  }
}

void renew_transactions() noexcept {
  ::new (&detail::transactions) detail::transactions_state;
}

}  // namespace coppice::internal
