// SPDX-License-Identifier: Apache-2.0
//
// name_table, see name_table.hpp.
#include "process/name_table.hpp"

#include <coppice/base/hash.hpp>

#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

namespace coppice::internal {

namespace {

std::uint64_t load_8(const char* at) noexcept {
  std::uint64_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

std::uint32_t load_4(const char* at) noexcept {
  std::uint32_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

std::uint64_t byte(char c) noexcept { return static_cast<unsigned char>(c); }

constexpr std::size_t words_of(std::size_t bytes) noexcept { return (bytes + 7) / 8; }

// A name as 64-bit words, two names of one length differ if and only if their words do. The last word of a name that is no
// multiple of 8 overlaps the one before: no loop over single bytes.
std::uint64_t word_of(std::string_view name, std::size_t index) noexcept {
  const char* at = name.data();
  const std::size_t size = name.size();
  if (8 * index + 8 <= size) return load_8(at + 8 * index);
  if (size >= 8) return load_8(at + size - 8);
  if (size >= 4) return load_4(at) | std::uint64_t{load_4(at + size - 4)} << 32;
  return byte(at[0]) | byte(at[size / 2]) << 8 | byte(at[size - 1]) << 16;
}

}  // namespace

// Two cache lines; a name of up to 16 bytes needs only the first.
struct alignas(64) name_table::entry {
  sync::atomic<std::uint64_t> version{1};  // even: holds a name; odd: free or being written
  sync::atomic<std::uint64_t> hash;
  sync::atomic<entry*> next;  // in the chain; in the shard's list of free entries
  sync::atomic<void*> slot;
  sync::atomic<std::uint64_t> serial;
  sync::atomic<std::uint64_t> size;
  sync::atomic<std::uint64_t> words[words_of(inline_bytes)];  // a longer name: words[0] is the address of a copy

  bool is_long() const noexcept { return size.load(sync::relaxed) > inline_bytes; }
  char* copy() const noexcept { return reinterpret_cast<char*>(words[0].load(sync::relaxed)); }

  // For a reader without the lock; acquire, because of invariant 2.
  bool has_inline(std::string_view name) const noexcept {
    const std::size_t length = name.size();
    if (size.load(sync::acquire) != length) return false;
    if (length < 8) return length == 0 || words[0].load(sync::acquire) == word_of(name, 0);
    std::size_t i = 0;
    for (; 8 * i + 8 <= length; ++i)
      if (words[i].load(sync::acquire) != load_8(name.data() + 8 * i)) return false;
    return 8 * i == length || words[i].load(sync::acquire) == load_8(name.data() + length - 8);
  }

  // Under the lock.
  bool has(std::uint64_t wanted, std::string_view name) const noexcept {
    if (hash.load(sync::relaxed) != wanted) return false;
    if (!is_long()) return has_inline(name);
    return size.load(sync::relaxed) == name.size() && std::memcmp(copy(), name.data(), name.size()) == 0;
  }

  name_holder holder() const noexcept { return {slot.load(sync::relaxed), serial.load(sync::relaxed)}; }

  // Under the lock. What word_of took apart.
  void append_name_to(std::string& text) const {
    const std::size_t length = size.load(sync::relaxed);
    if (is_long()) {
      text.append(copy(), length);
      return;
    }
    const std::size_t begin = text.size();
    text.resize(begin + length);
    char* to = text.data() + begin;
    for (std::size_t i = 0; i != words_of(length); ++i) {
      const std::uint64_t word = words[i].load(sync::relaxed);
      if (length >= 8) {
        std::memcpy(to + (8 * i + 8 <= length ? 8 * i : length - 8), &word, 8);
      } else if (length >= 4) {
        const auto low = static_cast<std::uint32_t>(word), high = static_cast<std::uint32_t>(word >> 32);
        std::memcpy(to, &low, 4);
        std::memcpy(to + length - 4, &high, 4);
      } else {
        to[0] = static_cast<char>(word);
        to[length / 2] = static_cast<char>(word >> 8);
        to[length - 1] = static_cast<char>(word >> 16);
      }
    }
  }
};

struct name_table::entry_chunk {
  static constexpr std::size_t entries = 32;
  entry_chunk* next = nullptr;
  entry items[entries];
};

// 2^log2 heads of chains, behind one line of header.
struct alignas(64) name_table::bucket_array {
  bucket_array* smaller;  // the one before: readers may still be in it
  std::size_t size;

  static bucket_array* make(std::size_t size) {
    void* memory = ::operator new(bytes(size), std::align_val_t{alignof(bucket_array)});
    auto* array = ::new (memory) bucket_array{nullptr, size};
    for (std::size_t i = 0; i != size; ++i) ::new (array->heads() + i) sync::atomic<entry*>();
    return array;
  }
  static void drop(bucket_array* array) noexcept {
    std::destroy_n(array->heads(), array->size);
    ::operator delete(array, std::align_val_t{alignof(bucket_array)});
  }
  static std::size_t bytes(std::size_t size) noexcept {
    return sizeof(bucket_array) + size * sizeof(sync::atomic<entry*>);
  }

  sync::atomic<entry*>* heads() noexcept { return reinterpret_cast<sync::atomic<entry*>*>(this + 1); }
};

// What a reader needs of a shard is one word: the address of the bucket array, and in its low bits (the array is aligned to
// 64) the logarithm of its size and `busy`.
struct name_table::lookup {
  static constexpr std::uintptr_t log2_mask = 31;
  static constexpr std::uintptr_t busy = 32;

  std::uintptr_t word;

  static lookup of(bucket_array* array, int log2) noexcept {
    return {reinterpret_cast<std::uintptr_t>(array) | static_cast<std::uintptr_t>(log2)};
  }
  bucket_array* array() const noexcept { return reinterpret_cast<bucket_array*>(word & ~(log2_mask | busy)); }
  int log2() const noexcept { return static_cast<int>(word & log2_mask); }
  std::uint64_t mask() const noexcept { return (std::uint64_t{1} << log2()) - 1; }
  sync::atomic<entry*>& head(std::uint64_t hash) const noexcept { return array()->heads()[hash & mask()]; }
};

struct name_table::shard {
  static constexpr int first_log2 = 4;

  enum class outcome { found, absent, disturbed };

  // Read by everybody, written when the shard grows; so it has a line of its own.
  alignas(64) sync::atomic<std::uintptr_t> table;

  // Guarded by lock.
  alignas(64) sync::spinlock lock;
  sync::var<std::size_t> count;
  sync::var<entry*> free;
  sync::var<entry_chunk*> chunks;
  sync::var<std::size_t> bytes;

  shard() {
    bucket_array* array = bucket_array::make(std::size_t{1} << first_log2);
    table.store(lookup::of(array, first_log2).word, sync::relaxed);
    bytes = bucket_array::bytes(array->size);
  }

  ~shard() {
    for (bucket_array* a = current().array(); a != nullptr;) bucket_array::drop(std::exchange(a, a->smaller));
    for (entry_chunk* c = chunks; c != nullptr;) {
      for (entry& e : c->items)
        if (e.version.load(sync::relaxed) % 2 == 0 && e.is_long()) delete[] e.copy();
      delete std::exchange(c, c->next);
    }
  }

  // Under the lock, or where nobody else is.
  lookup current() const noexcept { return {table.load(sync::relaxed)}; }

  [[gnu::always_inline]] outcome look(std::uint64_t hash, std::string_view name, name_holder& holder) const noexcept;
  sync::atomic<entry*>* find(std::uint64_t hash, std::string_view name) noexcept;
  bool has_room() const noexcept { return free != nullptr && count < current().array()->size; }
  void make_room();
  void grow(lookup from, bucket_array* larger) noexcept;
  void add(std::uint64_t hash, std::string_view name, char* copy, name_holder holder) noexcept;
  char* remove(sync::atomic<entry*>& link) noexcept;
};

// One walk along the chain, without lock. All loads of an entry's fields are acquire: they pair with the release stores in
// add, remove and grow, and keep the second look at the version (at the table word) behind them: invariants 2 to 4.
inline name_table::shard::outcome name_table::shard::look(std::uint64_t hash, std::string_view name,
                                                          name_holder& holder) const noexcept {
  const lookup here{table.load(sync::acquire)};  // pairs with grow: the array is complete
  if ((here.word & lookup::busy) != 0) return outcome::disturbed;
  const entry* e = here.head(hash).load(sync::acquire);  // pairs with add: the entry is complete
  while (e != nullptr) {
    const std::uint64_t version = e->version.load(sync::acquire);
    const std::uint64_t found = e->hash.load(sync::acquire);
    const bool ours = found == hash && e->has_inline(name);
    holder = {e->slot.load(sync::acquire), e->serial.load(sync::acquire)};
    const entry* next = e->next.load(sync::acquire);
    if (version % 2 != 0 || e->version.load(sync::relaxed) != version) return outcome::disturbed;
    if (ours) return outcome::found;
    if (((found ^ hash) & here.mask()) != 0) return outcome::disturbed;
    e = next;
  }
  return table.load(sync::relaxed) == here.word ? outcome::absent : outcome::disturbed;
}

// Under the lock: the link (head or `next`) that leads to the entry of `name`, or null.
sync::atomic<name_table::entry*>* name_table::shard::find(std::uint64_t hash, std::string_view name) noexcept {
  sync::atomic<entry*>* link = &current().head(hash);
  while (entry* e = link->load(sync::relaxed)) {
    if (e->has(hash, name)) return link;
    link = &e->next;
  }
  return nullptr;
}

// Provides a free entry and a free bucket, unless somebody else did meanwhile. Memory is asked for outside the lock.
void name_table::shard::make_room() {
  lookup from{};
  bool needs_entries = false;
  bool needs_buckets = false;
  {
    sync::lock_guard guard(lock);
    from = current();
    needs_entries = free == nullptr;
    needs_buckets = count >= from.array()->size;
  }
  if (needs_buckets) {
    bucket_array* larger = bucket_array::make(2 * from.array()->size);
    sync::lock_guard guard(lock);
    if (current().word == from.word)
      grow(from, larger);
    else
      bucket_array::drop(larger);
  }
  if (needs_entries) {
    auto* chunk = new entry_chunk;
    sync::lock_guard guard(lock);
    chunk->next = chunks;
    chunks = chunk;
    bytes = bytes + sizeof *chunk;
    for (entry& e : chunk->items) {
      e.next.store(free, sync::relaxed);
      free = &e;
    }
  }
}

// Under the lock: spreads the chains over `larger`. Readers that are under way come to a wrong end and see that the word has
// changed; those that begin meanwhile see `busy`.
void name_table::shard::grow(lookup from, bucket_array* larger) noexcept {
  const lookup to = lookup::of(larger, from.log2() + 1);
  larger->smaller = from.array();
  bytes = bytes + bucket_array::bytes(larger->size);
  table.store(from.word | lookup::busy, sync::relaxed);  // seen by whoever sees one of the release stores below
  for (std::size_t i = 0; i != from.array()->size; ++i) {
    entry* e = from.array()->heads()[i].load(sync::relaxed);
    while (e != nullptr) {
      entry* next = e->next.load(sync::relaxed);
      sync::atomic<entry*>& head = to.head(e->hash.load(sync::relaxed));
      e->next.store(head.load(sync::relaxed), sync::release);  // pairs with look
      head.store(e, sync::relaxed);                            // published with the array
      e = next;
    }
  }
  table.store(to.word, sync::release);  // pairs with look: the array's heads are written
}

// Under the lock; there is room. Written while the version is odd; release because of invariant 2.
void name_table::shard::add(std::uint64_t hash, std::string_view name, char* copy, name_holder holder) noexcept {
  entry* e = free;
  free = e->next.load(sync::relaxed);
  count = count + 1;
  sync::atomic<entry*>& head = current().head(hash);
  e->hash.store(hash, sync::release);
  e->slot.store(holder.slot, sync::release);
  e->serial.store(holder.serial, sync::release);
  e->size.store(name.size(), sync::release);
  if (copy != nullptr)
    e->words[0].store(reinterpret_cast<std::uintptr_t>(copy), sync::release);
  else
    for (std::size_t i = 0; i != words_of(name.size()); ++i) e->words[i].store(word_of(name, i), sync::release);
  e->next.store(head.load(sync::relaxed), sync::release);
  e->version.store(e->version.load(sync::relaxed) + 1, sync::release);  // pairs with look's first look
  head.store(e, sync::release);                                         // pairs with look: it finds it complete
}

// Under the lock. Unlinked first, so that a disturbed reader that begins anew does not meet the entry again.
// Returns: the copy of a long name, the caller's now.
char* name_table::shard::remove(sync::atomic<entry*>& link) noexcept {
  entry* e = link.load(sync::relaxed);
  char* copy = e->is_long() ? e->copy() : nullptr;
  link.store(e->next.load(sync::relaxed), sync::release);
  e->version.store(e->version.load(sync::relaxed) + 1, sync::relaxed);
  e->next.store(free,
                sync::release);  // pairs with look: whoever reads this link, or a field that add writes, sees `odd`
  free = e;
  count = count - 1;
  return copy;
}

name_table::name_table(std::uint64_t seed) : shards_(new shard[shards]), seed_(seed) {}

name_table::~name_table() { delete[] shards_; }

// By the upper bits; the lower ones choose the bucket.
name_table::shard& name_table::shard_of(std::uint64_t hash) noexcept { return shards_[hash >> (64 - shard_bits)]; }

name_holder name_table::insert(std::string_view name, name_holder holder) {
  const std::uint64_t hash = hash_of(name, seed_);
  shard& s = shard_of(hash);
  char* copy = nullptr;
  if (name.size() > inline_bytes) {
    copy = new char[name.size()];
    std::memcpy(copy, name.data(), name.size());
  }
  const auto try_add = [&](name_holder& other) {
    sync::lock_guard guard(s.lock);
    if (auto* link = s.find(hash, name)) {
      other = link->load(sync::relaxed)->holder();
      return true;
    }
    if (!s.has_room()) return false;
    s.add(hash, name, std::exchange(copy, nullptr), holder);
    return true;
  };
  name_holder other;
  try {
    while (!try_add(other)) s.make_room();
  } catch (...) {
    delete[] copy;
    throw;
  }
  delete[] copy;
  return other;
}

bool name_table::erase(std::string_view name, name_holder holder) noexcept {
  const std::uint64_t hash = hash_of(name, seed_);
  shard& s = shard_of(hash);
  char* copy = nullptr;
  {
    sync::lock_guard guard(s.lock);
    auto* link = s.find(hash, name);
    if (link == nullptr || link->load(sync::relaxed)->holder() != holder) return false;
    copy = s.remove(*link);
  }
  delete[] copy;
  return true;
}

name_holder name_table::find(std::string_view name) noexcept {
  const std::uint64_t hash = hash_of(name, seed_);
  shard& s = shard_of(hash);
  if (name.size() <= inline_bytes) [[likely]] {
    name_holder holder;
    const shard::outcome outcome = s.look(hash, name, holder);
    if (outcome == shard::outcome::found) [[likely]]
      return holder;
    if (outcome == shard::outcome::absent) return {};
  }
  return find_slowly(s, hash, name);
}

// A long name, or somebody writes just there: a few more attempts, then with the lock. Apart from find, which keeps
// everything in registers.
name_holder name_table::find_slowly(shard& s, std::uint64_t hash, std::string_view name) noexcept {
  for (int attempts = name.size() <= inline_bytes ? 8 : 0; attempts != 0; --attempts) {
    name_holder holder;
    const shard::outcome outcome = s.look(hash, name, holder);
    if (outcome == shard::outcome::found) return holder;
    if (outcome == shard::outcome::absent) return {};
  }
  sync::lock_guard guard(s.lock);
  auto* link = s.find(hash, name);
  return link == nullptr ? name_holder{} : link->load(sync::relaxed)->holder();
}

void name_table::for_each(void (*visit)(void* context, std::string_view name, name_holder holder), void* context) {
  struct item {
    std::size_t size;
    name_holder holder;
  };
  std::vector<item> items;
  std::string bytes;
  // Copies a shard's names into `items` and `bytes`, if they fit without asking for memory; the lock is held.
  const auto copy = [&](shard& s, std::size_t& names, std::size_t& name_bytes) {
    sync::lock_guard guard(s.lock);
    names = s.count;
    name_bytes = 0;
    const lookup here = s.current();
    const auto walk = [&](auto&& each) {
      for (std::size_t i = 0; i != here.array()->size; ++i)
        for (entry* e = here.array()->heads()[i].load(sync::relaxed); e != nullptr; e = e->next.load(sync::relaxed))
          each(*e);
    };
    walk([&](entry& e) { name_bytes += e.size.load(sync::relaxed); });
    if (names > items.capacity() || name_bytes > bytes.capacity()) return false;
    walk([&](entry& e) {
      items.push_back({e.size.load(sync::relaxed), e.holder()});
      e.append_name_to(bytes);
    });
    return true;
  };
  for (std::size_t i = 0; i != shards; ++i) {
    items.clear();
    bytes.clear();
    for (std::size_t names = 0, name_bytes = 0; !copy(shards_[i], names, name_bytes);) {
      items.reserve(2 * names);
      bytes.reserve(2 * name_bytes);
    }
    std::size_t at = 0;
    for (const item& found : items) {
      visit(context, std::string_view(bytes).substr(at, found.size), found.holder);
      at += found.size;
    }
  }
}

std::size_t name_table::size() noexcept {
  std::size_t total = 0;
  for (std::size_t i = 0; i != shards; ++i) {
    sync::lock_guard guard(shards_[i].lock);
    total += shards_[i].count;
  }
  return total;
}

std::size_t name_table::memory_bytes() noexcept {
  std::size_t total = shards * sizeof(shard);
  for (std::size_t i = 0; i != shards; ++i) {
    sync::lock_guard guard(shards_[i].lock);
    total += shards_[i].bytes;
  }
  return total;
}

}  // namespace coppice::internal
