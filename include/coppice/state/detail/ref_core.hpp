// SPDX-License-Identifier: Apache-2.0
//
// ref_core: what the compiled half of refs and transactions (src/state/attempt.hpp) knows of a ref. The protocol of the
// word and of the versions is described there.
#pragma once

#include <coppice/base/detail/sync.hpp>
#include <coppice/runtime/detail/epoch.hpp>
#include <coppice/state/detail/observers.hpp>

#include <cstdint>

namespace coppice::detail {

struct transaction;

/// One version of a ref's value. `version` and `older` are set before it can be seen; `until` when the next one comes.
struct version_head : box {
  using box::box;
  sync::atomic<box*> older{nullptr, "older"};
  sync::var<std::uint64_t> version{0, "version"};
  sync::atomic<std::uint64_t> until{~std::uint64_t{0}, "until"};
};

/// One line: a commit fetches no other of the ref. Who writes it, and who looks at a word, need nothing of the newest version but what
/// is copied here.
struct alignas(64) ref_core : observers_holder {
  ref_core() noexcept;
  ~ref_core();
  /// The first version. `as`: the ref, for its watches.
  void begin(version_head* first, bool is_word, void* as) noexcept;
  void* reference() noexcept { return reinterpret_cast<char*>(this) - offset; }

  sync::atomic<std::uint64_t> word{0, "word"};     // free, owned by a writer, or ensured by several
  sync::atomic<box*> head{nullptr, "head"};        // the newest version
  sync::atomic<std::uint64_t> number{0, "number"};   // its number; odd: older ones are linked behind it
  sync::atomic<std::uint64_t> head_word{0, "head word"};  // its value, if that is a word; stored behind the number
  sync::atomic<std::uint32_t> history;             // older versions that are counted
  sync::atomic<std::uint32_t> least;
  sync::atomic<std::uint32_t> most{10};
  sync::atomic<std::uint8_t> faulted;              // somebody needed a version that was not there
  bool has_word = false;
  std::int16_t offset = 0;                         // from the ref to this
  std::uint64_t order;                             // by creation: the order in which commutes lock
};

/// A function given to commute, kept for the commit.
struct commute_record {
  commute_record* next = nullptr;
  ref_core* ref = nullptr;
  box* (*apply)(const commute_record& self, const box& current) = nullptr;
  void (*destroy)(commute_record& self) noexcept = nullptr;
  std::uint32_t bytes = 0;
};

/// The running transaction, or null.
transaction* current_transaction() noexcept;
/// Throws no_transaction when there is none.
transaction& transaction_for(const char* what);

/// The box to be looked at: as the transaction sees it, or the last committed one. `g` protects it.
const box& look_at(ref_core& r, guard& g);

/// The same where the value is a word: no guard is left.
std::uint64_t look_at_word(ref_core& r);

struct write_access {
  transaction* by;
  const box* now;                                // the value as the transaction sees it; the guard protects it
};
/// Makes the ref the running transaction's to write. Throws no_transaction when there is none.
write_access begin_write(ref_core& r, guard& g);
struct word_access {
  transaction* by;
  std::uint64_t now;
};
/// The same where the value is a word.
word_access begin_word_write(ref_core& r);
/// The same where the old value is of no interest.
transaction& begin_blind_write(ref_core& r);
/// `fresh` is the value from now on. Takes it in any case. Throws set_after_commute.
void put_value(transaction& t, ref_core& r, box* fresh);
/// What a commute is applied to in the body; `g` protects it.
const box& begin_commute(transaction& t, ref_core& r, guard& g);
/// Takes both. The record is dropped where the ref is written already.
void put_commuted(transaction& t, ref_core& r, box* fresh, commute_record* how);
const box& ensure_ref(transaction& t, ref_core& r, guard& g);

/// Runs `body(context)` as a transaction, or as a part of the running one.
void run_transaction(void (*body)(void*), void* context, std::uint32_t limit);

/// Puts `fresh`, made under `g`, under its protection instead of what it protected.
inline void keep_made(guard& g, box* fresh) noexcept {
  if (!g.is_counted()) [[likely]] return g.keep(fresh);
  fresh->holders.fetch_add(1, sync::relaxed);
  g.take_over(fresh);
}

[[noreturn]] void refuse_io(const char* why);
bool is_in_io() noexcept;
class io_scope {
 public:
  io_scope() noexcept;
  ~io_scope();
  io_scope(const io_scope&) = delete;
  io_scope& operator=(const io_scope&) = delete;

 private:
  alignas(void*) unsigned char place_[96];       // of what src/state/activity.hpp keeps on the stack
};

}  // namespace coppice::detail
