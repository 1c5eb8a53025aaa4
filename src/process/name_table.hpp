// SPDX-License-Identifier: Apache-2.0
//
// name_table: the local names. A name (any bytes, any length) leads to one holder: a process slot and its serial.
//
// Looking a name up happens with every message to a name, so readers take no lock and write nothing. Registering takes the
// lock of one of 16 shards. Entries are type-stable: a freed one is used again for another name of the same shard while a
// reader may still stand on it, and each carries a version by which the reader notices. Memory is bounded by the largest
// number of names alive at a time, however many come and go.
//
// Thread: any, for everything.
//
// Invariants
//  1. A name is in at most one entry. Entries and bucket arrays are freed only with the table.
//  2. entry.version is even while the entry holds a name, odd while it is free or being written. Only the holder of the
//     shard's lock changes an entry. It writes fields by release and makes the version odd before that; a reader loads them
//     by acquire and looks at the version before and after. If any field was new, the second look finds a new version.
//  3. An entry enters its chain at the head only. So a reader that walks a chain and never stands on a freed or moved entry
//     meets every name that was there all the time. A moved one shows by its hash: it belongs to another bucket.
//  4. While a shard's chains are spread over a larger array, its table word says `busy`. A reader that came to the end of a
//     chain believes that a name is absent only if the word is what it was at the beginning. Arrays are never used again.
//  5. A reader that was disturbed too often takes the lock: it waits for a bounded time.
#pragma once

#include <coppice/base/detail/sync.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace coppice::internal {

namespace sync = coppice::detail::sync;

/// Who holds a name. `slot` is null where nobody does.
struct name_holder {
  void* slot = nullptr;
  std::uint64_t serial = 0;

  explicit operator bool() const noexcept { return slot != nullptr; }
  friend bool operator==(const name_holder&, const name_holder&) = default;
};

class name_table {
 public:
  /// Names up to this long are found without a lock.
  static constexpr std::size_t inline_bytes = 80;

  /// `seed`: makes the hash unpredictable where names come from outside.
  explicit name_table(std::uint64_t seed = 0);
  ~name_table();
  name_table(const name_table&) = delete;
  name_table& operator=(const name_table&) = delete;

  /// Gives `name` to `holder` unless somebody has it. Whether `holder` lives is the caller's business (PR-70, PR-15).
  /// Returns:  nobody, or who has it.   Throws std::bad_alloc; then nothing happened.   Spec: PR-70.
  [[nodiscard]] name_holder insert(std::string_view name, name_holder holder);

  /// Takes `name` away from `holder`.   Returns: false if `holder` did not have it.   Spec: PR-72.
  bool erase(std::string_view name, name_holder holder) noexcept;

  /// Returns: who has `name`, or nobody.   Cost: a hash and two or three cache lines.   Spec: PR-72.
  name_holder find(std::string_view name) noexcept;

  /// Calls `visit(context, name, holder)` for every name. No lock is held; names that come or go meanwhile may be missed or
  /// be gone already. Throws std::bad_alloc, and what `visit` throws.
  void for_each(void (*visit)(void* context, std::string_view name, name_holder holder), void* context);

  /// How many names there are.
  std::size_t size() noexcept;
  /// Bytes asked of the system (long names apart).
  std::size_t memory_bytes() noexcept;

 private:
  struct entry;
  struct entry_chunk;
  struct bucket_array;
  struct shard;
  struct lookup;

  static constexpr int shard_bits = 4;
  static constexpr std::size_t shards = std::size_t{1} << shard_bits;

  shard& shard_of(std::uint64_t hash) noexcept;
  [[gnu::noinline]] static name_holder find_slowly(shard& s, std::uint64_t hash, std::string_view name) noexcept;

  shard* shards_;
  const std::uint64_t seed_;
};

}  // namespace coppice::internal
