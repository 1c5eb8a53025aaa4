// SPDX-License-Identifier: Apache-2.0
//
// registry_partition: a share of a registry's entries: a table of keys, each with its entries, that readers walk without a
// lock; and for each holder the list of what it has.
//
// The table is an array of slots with linear probing. A slot is empty, was in use once, or holds a key's group and six bits of
// its hash. Groups never move within an array; a larger or cleaner array takes its place as a whole.
//
// Thread: `find` and what it leads to: any, inside a guard (epoch.hpp). Everything else: under `lock`.
//
// Invariants
//  1. A key is in at most one group; a group has an entry, except inside the lock.
//  2. What is linked is complete, and its key and holder never change. A link is written with release and read with acquire.
//     Who unlinks leaves the links of the unlinked as they are: a reader that stands there finds its way out.
//  3. What was unlinked, by a locked instruction, is retired behind the lock (`unlinked`): that may run destructors of users.
//  4. Between the place where a key's search begins and its slot no slot is empty. A slot once in use becomes empty only if
//     the next one is. At least a quarter of all slots is empty.
//  5. An entry is in the list of its holder's tenant exactly while it is in the table.
#pragma once

#include <coppice/base/hash.hpp>
#include <coppice/otp/detail/registry.hpp>

#include "runtime/epoch.hpp"

#include <array>

namespace coppice::internal {

namespace sync = detail::sync;
using detail::box;
using detail::key_ref;
using detail::registry_types;

struct registry_tenant;
struct registry_group;

/// Room behind a head, in one block, or on the heap if that would be large.
inline constexpr std::size_t largest_block = 512;
inline constexpr std::size_t largest_room = 416;
template <class Head>
void* room_of(const Head& h, std::size_t bytes) noexcept {
  void* const behind = const_cast<Head*>(&h) + 1;
  return bytes <= largest_room ? behind : *static_cast<void**>(behind);
}

/// A value; replaced as a whole.
struct alignas(16) registry_value : box {
  registry_value(const detail::box_class& c, const registry_types& t) noexcept : box(c), types(t) {}
  const registry_types& types;
  void* value() const noexcept { return room_of(*this, types.value_size); }
};

/// One process under one key.
struct registry_entry : box {
  registry_entry(const detail::box_class& c, registry_tenant& t, pid who, std::uint64_t n) noexcept
      : box(c), tenant(&t), number(n), holder(who) {}

  // under the lock
  registry_tenant* const tenant;
  registry_entry* tenant_next = nullptr;
  registry_entry* tenant_before = nullptr;
  registry_entry* before = nullptr;              // in the group
  registry_group* under = nullptr;
  const std::uint64_t number;                    // never given out twice
  // for readers, too
  const pid holder;
  sync::atomic<registry_entry*> next{nullptr, "entry"};
  sync::atomic<box*> value;
};

/// One key. What a look-up reads stands in one line of the cache, the second, with keys of up to 32 bytes.
struct alignas(16) registry_group : box {
  registry_group(const detail::box_class& c, const registry_types& t, std::uint64_t h, std::size_t bytes, pid first_holder) noexcept
      : box(c), hash(h), types(t), holder(first_holder), key_bytes(bytes) {}

  // for who writes
  const std::uint64_t hash;
  const registry_types& types;
  [[maybe_unused]] std::byte up_to_the_line[64 - sizeof(box) - 2 * sizeof(std::uint64_t)];
  // for readers
  const pid holder;                              // of a unique key: of its one entry
  sync::atomic<registry_entry*> first{nullptr, "group"};
  const std::size_t key_bytes;

  void* key() const noexcept { return room_of(*this, key_bytes); }
  std::string_view text() const noexcept { return {static_cast<const char*>(key()), key_bytes}; }
};
static_assert(sizeof(registry_group) == 64 + 32 && sizeof(registry_group) + largest_room <= largest_block);

using registry_slot = sync::atomic<std::uintptr_t>;

/// An array of slots.
struct registry_table : box {
  registry_table(const detail::box_class& c, std::size_t count) : box(c), mask(count - 1), slots(new registry_slot[count]) {}
  ~registry_table() { delete[] slots; }
  static registry_table* make(std::size_t count);

  static constexpr std::uintptr_t empty = 0, used_once = 1, tag_mask = 63;
  static std::uintptr_t tag(std::uint64_t hash) noexcept { return hash >> 58; }
  static std::uintptr_t word(registry_group& g) noexcept { return reinterpret_cast<std::uintptr_t>(&g) | tag(g.hash); }
  static registry_group* group_in(std::uintptr_t word) noexcept {
    return word <= used_once ? nullptr : reinterpret_cast<registry_group*>(word & ~tag_mask);
  }

  const std::size_t mask;
  registry_slot* const slots;
};

registry_value* make_value(const registry_types& types, void* value);
registry_entry* make_entry(registry_tenant& tenant, pid who, std::uint64_t number);
registry_group* make_group(const registry_types& types, const key_ref& key, std::uint64_t hash, pid holder);

/// What was unlinked under a lock; declared before it, so that it is retired behind it.
class unlinked {
 public:
  static constexpr std::size_t most = 64;        // entries with value or key at a time

  unlinked() = default;
  ~unlinked();
  unlinked(const unlinked&) = delete;
  unlinked& operator=(const unlinked&) = delete;

  void add(box& b) noexcept { boxes_[count_++] = &b; }
  /// No room for another entry, its value and its key, besides a table.
  bool is_full() const noexcept { return count_ >= 2 * most; }

 private:
  std::array<box*, 2 * most + 3> boxes_;
  std::size_t count_ = 0;
};

struct alignas(64) registry_partition {
  static constexpr std::size_t first_size = 16;

  registry_partition();
  ~registry_partition();                         // all entries are gone
  registry_partition(const registry_partition&) = delete;

  // --- for readers ---
  [[gnu::always_inline]] registry_group* find(const key_ref& key, std::uint64_t hash, const registry_types& types) const noexcept;

  // --- under the lock ---
  /// There is room: see wanted_size.
  void link_group(registry_group& g) noexcept;
  void link_entry(registry_group& g, registry_entry& e, registry_entry*& list_of_tenant) noexcept;
  /// Takes `e` out of the table and of its tenant's list, and its key with it if it was the last.
  void unlink(registry_entry& e, registry_entry*& list_of_tenant, unlinked& gone) noexcept;
  /// How large a table must be before a key is linked, or may be where it is far too large; 0: the one there is will do.
  std::size_t wanted_size() const noexcept;
  void replace_table(registry_table& by, unlinked& gone) noexcept;

  sync::atomic<registry_table*> table{nullptr, "table"};
  sync::atomic<std::size_t> entries;             // written under the lock

  alignas(64) sync::spinlock lock;
  sync::var<bool> open;                          // registrations are taken
  sync::var<std::size_t> groups;
  sync::var<std::size_t> filled;                 // slots that are not empty
};

/// As memcmp says, without a call for what names mostly are.
inline bool same_text(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  if (a.size() < 8 || a.size() > 64) return __builtin_memcmp(a.data(), b.data(), a.size()) == 0;
  const std::size_t last = a.size() - 8;                     // two words may overlap
  std::uint64_t differ = detail::load_bytes(a.data() + last, 8) ^ detail::load_bytes(b.data() + last, 8);
  for (std::size_t i = 0; i < last; i += 8) differ |= detail::load_bytes(a.data() + i, 8) ^ detail::load_bytes(b.data() + i, 8);
  return differ == 0;
}

inline bool has_key(const registry_group& g, const key_ref& key, const registry_types& types) {
  return types.text_keys ? same_text(g.text(), key.text) : types.equal(g.key(), key.object);
}

inline registry_group* registry_partition::find(const key_ref& key, std::uint64_t hash, const registry_types& types) const noexcept {
  const registry_table& t = *table.load(sync::acquire);      // pairs with replace_table: the slots are filled
  for (std::size_t i = hash & t.mask;; i = (i + 1) & t.mask) {
    const std::uintptr_t word = t.slots[i].load(sync::acquire);   // pairs with link_group: the group is complete
    if (word == registry_table::empty) return nullptr;
    if ((word & registry_table::tag_mask) != registry_table::tag(hash) || word == registry_table::used_once) continue;
    registry_group* const g = registry_table::group_in(word);
    if (has_key(*g, key, types)) return g;
  }
}

}  // namespace coppice::internal
