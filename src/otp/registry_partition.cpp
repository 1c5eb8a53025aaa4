// SPDX-License-Identifier: Apache-2.0
//
// registry_partition, see registry_partition.hpp.
#include "otp/registry_partition.hpp"

#include "runtime/planted.hpp"

#include <bit>
#include <new>
#include <utility>

namespace coppice::internal {

namespace {

using detail::box_class;

// --- boxes with room behind them -----------------------------------------------------------------------------------------

std::size_t bytes_of_room(const registry_value& v) noexcept { return v.types.value_size; }
std::size_t bytes_of_room(const registry_group& g) noexcept { return g.key_bytes; }
void destroy_room(registry_value& v, void* room) noexcept { v.types.destroy_value(room); }
void destroy_room(registry_group& g, void* room) noexcept {
  if (!g.types.text_keys) g.types.destroy_key(room);
}

template <class Head>
void destroy_head(box& b) noexcept {
  auto& h = static_cast<Head&>(b);
  const std::size_t bytes = bytes_of_room(h);
  void* const room = room_of(h, bytes);
  destroy_room(h, room);
  if (bytes > largest_room) ::operator delete(room);
  h.~Head();
}

/// Blocks come in steps of 64 bytes.
template <class Head, std::size_t... I>
constexpr std::array<box_class, sizeof...(I)> classes_of(std::index_sequence<I...>) {
  return {box_class{.bytes = 64 * (I + 1), .offset = sizeof(Head), .destroy = &destroy_head<Head>}...};
}
template <class Head>
constexpr auto room_classes = classes_of<Head>(std::make_index_sequence<largest_block / 64>());

/// Makes a head and, behind it or on the heap, its room, which `fill(room)` constructs.
template <class Head, class Fill, class... A>
Head* make_with_room(std::size_t room_bytes, Fill&& fill, A&&... arguments) {
  const std::size_t behind = room_bytes <= largest_room ? room_bytes : sizeof(void*);
  const box_class& cls = room_classes<Head>[(sizeof(Head) + behind - 1) / 64];
  void* const place = detail::allocate_box(cls.bytes);
  auto* h = ::new (place) Head(cls, std::forward<A>(arguments)...);
  void* outside = nullptr;
  try {
    if (room_bytes > largest_room) *reinterpret_cast<void**>(h + 1) = outside = ::operator new(room_bytes);
    fill(room_of(*h, room_bytes));
  } catch (...) {
    ::operator delete(outside);
    h->~Head();
    detail::free_box(place, cls.bytes);
    throw;
  }
  return h;
}

// --- the others ------------------------------------------------------------------------------------------------------------

void destroy_entry(box& b) noexcept { static_cast<registry_entry&>(b).~registry_entry(); }   // the value is retired beside it
constexpr box_class entry_class{.bytes = sizeof(registry_entry), .offset = 0, .destroy = &destroy_entry};

void destroy_table(box& b) noexcept { static_cast<registry_table&>(b).~registry_table(); }
constexpr box_class table_class{.bytes = sizeof(registry_table), .offset = 0, .destroy = &destroy_table};

}  // namespace

registry_value* make_value(const registry_types& types, void* value) {
  return make_with_room<registry_value>(types.value_size, [&](void* room) { types.move_value(room, value); }, types);
}

registry_entry* make_entry(registry_tenant& tenant, pid who, std::uint64_t number) {
  return ::new (detail::allocate_box(sizeof(registry_entry))) registry_entry(entry_class, tenant, who, number);
}

registry_group* make_group(const registry_types& types, const key_ref& key, std::uint64_t hash, pid holder) {
  const std::size_t bytes = types.text_keys ? key.text.size() : types.key_size;
  return make_with_room<registry_group>(bytes, [&](void* room) {
    if (!types.text_keys) types.copy_key(room, key.object);
    else if (bytes != 0) __builtin_memcpy(room, key.text.data(), bytes);
  }, types, hash, bytes, holder);
}

registry_table* registry_table::make(std::size_t count) {
  void* const place = detail::allocate_box(sizeof(registry_table));
  try {
    return ::new (place) registry_table(table_class, count);
  } catch (...) {
    detail::free_box(place, sizeof(registry_table));
    throw;
  }
}

// Retiring needs somebody who enters a guard now and then, and who only writes never does: so it does here (epoch.cpp, force).
unlinked::~unlinked() {
  if (count_ == 0) return;
  { const detail::guard announces; }
  for (std::size_t i = 0; i != count_; ++i) detail::retire(boxes_[i]);
}

// --- the partition -----------------------------------------------------------------------------------------------------------

registry_partition::registry_partition() { table.store(registry_table::make(first_size), sync::relaxed); }

registry_partition::~registry_partition() { detail::discard(table.load(sync::relaxed)); }

void registry_partition::link_group(registry_group& g) noexcept {
  const registry_table& t = *table.load(sync::relaxed);
  std::size_t i = g.hash & t.mask;
  std::uintptr_t word = t.slots[i].load(sync::relaxed);
  for (; word > registry_table::used_once; word = t.slots[i].load(sync::relaxed)) i = (i + 1) & t.mask;
  if (word == registry_table::empty) filled = filled + 1;
  t.slots[i].store(registry_table::word(g), sync::release);  // pairs with find: the group and its entry are complete
  groups = groups + 1;
}

void registry_partition::link_entry(registry_group& g, registry_entry& e, registry_entry*& list) noexcept {
  registry_entry* const first = g.first.load(sync::relaxed);
  e.under = &g;
  e.next.store(first, sync::relaxed);
  if (first != nullptr) first->before = &e;
  g.first.store(&e, sync::release);                          // pairs with who walks the group
  e.tenant_next = list;
  if (list != nullptr) list->tenant_before = &e;
  list = &e;
  entries.store(entries.load(sync::relaxed) + 1, sync::release);
}

void registry_partition::unlink(registry_entry& e, registry_entry*& list, unlinked& gone) noexcept {
  (e.tenant_before != nullptr ? e.tenant_before->tenant_next : list) = e.tenant_next;
  if (e.tenant_next != nullptr) e.tenant_next->tenant_before = e.tenant_before;
  entries.store(entries.load(sync::relaxed) - 1, sync::release);
  gone.add(e);
  if (box* const v = e.value.load(sync::relaxed)) gone.add(*v);

  registry_group& g = *e.under;
  registry_entry* const next = e.next.load(sync::relaxed);
  if (e.before != nullptr || next != nullptr) {              // others stay under this key
    static_cast<void>((e.before != nullptr ? e.before->next : g.first).exchange(next, sync::seq_cst));
    if (next != nullptr) next->before = e.before;
    return;
  }
  const registry_table& t = *table.load(sync::relaxed);
  std::size_t i = g.hash & t.mask;
  while (registry_table::group_in(t.slots[i].load(sync::relaxed)) != &g) i = (i + 1) & t.mask;
  const bool last = t.slots[(i + 1) & t.mask].load(sync::relaxed) == registry_table::empty || planted::is(planted::registry_slot_emptied);
  static_cast<void>(t.slots[i].exchange(last ? registry_table::empty : registry_table::used_once, sync::seq_cst));
  groups = groups - 1;
  gone.add(g);
  if (!last) return;
  filled = filled - 1;
  for (i = (i - 1) & t.mask; t.slots[i].load(sync::relaxed) == registry_table::used_once; i = (i - 1) & t.mask) {
    t.slots[i].store(registry_table::empty, sync::release);
    filled = filled - 1;
  }
}

std::size_t registry_partition::wanted_size() const noexcept {
  const std::size_t now = table.load(sync::relaxed)->mask + 1;
  const bool full = filled + 1 > now / 4 * 3;
  if (!full && (now == first_size || groups >= now / 16)) return 0;
  const std::size_t wanted = std::bit_ceil(2 * std::size_t{groups} + 2);
  return wanted > first_size ? wanted : first_size;
}

void registry_partition::replace_table(registry_table& by, unlinked& gone) noexcept {
  registry_table& from = *table.load(sync::relaxed);
  for (std::size_t i = 0; i != from.mask + 1; ++i) {
    const std::uintptr_t word = from.slots[i].load(sync::relaxed);
    if (registry_group* const g = registry_table::group_in(word)) {
      std::size_t to = g->hash & by.mask;
      while (by.slots[to].load(sync::relaxed) != registry_table::empty) to = (to + 1) & by.mask;
      by.slots[to].store(word, sync::relaxed);
    }
  }
  static_cast<void>(table.exchange(&by, sync::seq_cst));     // pairs with find: the slots are filled
  filled = groups.get();
  gone.add(from);
}

}  // namespace coppice::internal
