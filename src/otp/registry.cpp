// SPDX-License-Identifier: Apache-2.0
//
// registry: registering, giving up, looking up. The table is registry_partition; who begins and ends is in registry_core.
#include <coppice/otp/registry.hpp>

#include <coppice/process/process.hpp>

#include "otp/registry_core.hpp"
#include "process/query.hpp"
#include "runtime/planted.hpp"

#include <algorithm>
#include <new>

namespace coppice::detail {

using internal::registry_entry;
using internal::registry_group;
using internal::registry_partition;
using internal::registry_tenant;
using internal::registry_value;
using internal::unlinked;

namespace {

key_ref key_of(const registry_core& core, const registry_group& g) noexcept {
  key_ref k{.hash = g.hash};
  if (core.types.text_keys) k.text = g.text();
  else k.object = g.key();
  return k;
}

const void* kept_value(const registry_entry& e) noexcept {
  box* const v = e.value.load(sync::acquire);                // pairs with replace_here
  return v != nullptr ? static_cast<registry_value*>(v)->value() : nullptr;
}

}  // namespace

// --- registering -------------------------------------------------------------------------------------------------------

namespace {

registry_value* value_or_none(const registry_types& types, void* value) {
  return types.value_size != 0 ? internal::make_value(types, value) : nullptr;
}

/// What one registration needs, until it is linked.
class parts {
 public:
  parts(registry_core& core, registry_tenant& t, const key_ref& key, std::uint64_t hash, void* value)
      : group_(internal::make_group(core.types, key, hash, t.who)) {
    try {
      entry_ = internal::make_entry(t, t.who, internal::here().serial());
      entry_->value.store(value_or_none(core.types, value), sync::relaxed);
    } catch (...) {
      discard_all();
      throw;
    }
  }
  parts(const parts&) = delete;
  parts& operator=(const parts&) = delete;
  ~parts() { discard_all(); }

  registry_entry& take_entry() noexcept { return *std::exchange(entry_, nullptr); }
  registry_group& take_group() noexcept { return *std::exchange(group_, nullptr); }

 private:
  void discard_all() noexcept {
    if (entry_ != nullptr) {
      if (box* const v = entry_->value.load(sync::relaxed)) discard(v);
      discard(entry_);
    }
    if (group_ != nullptr) discard(group_);
  }
  registry_group* group_;
  registry_entry* entry_ = nullptr;
};

/// Another table, asked for outside of the lock, unless somebody was quicker.
void resize(registry_partition& p, std::size_t wanted) {
  internal::registry_table* const spare = internal::registry_table::make(wanted);
  unlinked gone;
  sync::lock_guard held(p.lock);
  if (p.wanted_size() == wanted) p.replace_table(*spare, gone);
  else gone.add(*spare);
}
/// The same where it is only to save memory.
void shrink(registry_partition& p, std::size_t wanted) noexcept {
  try {
    if (wanted != 0) resize(p, wanted);
  } catch (const std::bad_alloc&) {
  }
}

}  // namespace

claim_result registry_base::claim_by(slot& s, const key_ref& key, void* value) {
  registry_core& c = *core_;
  if (key.text.size() > c.options.longest_key) return {claim_result::too_long};
  if (has(s, ending)) return {claim_result::ending};
  if (c.run.load(sync::relaxed) == 0) return {claim_result::not_running};
  registry_tenant& t = tenant_of(c, s);
  const std::uint64_t hash = c.hash_of_key(key);
  const unsigned at = c.partition_of(hash, t.who);
  registry_partition& p = c.partitions[at];

  if (c.unique) {                                // most that fail fail here, and cost nothing
    const guard reads;
    if (const registry_group* const g = p.find(key, hash, c.types)) return {claim_result::taken, g->holder};
  }
  parts made(c, t, key, hash, value);
  for (;;) {
    std::size_t wanted = 0;
    {
      sync::lock_guard held(p.lock);
      if (!p.open && !internal::planted::is(internal::planted::registry_open_unchecked)) return {claim_result::not_running};
      registry_group* g = p.find(key, hash, c.types);
      if (g != nullptr && c.unique) return {claim_result::taken, g->holder};
      const bool fresh = g == nullptr;
      wanted = fresh ? p.wanted_size() : 0;
      if (wanted == 0) {
        if (fresh) g = &made.take_group();
        p.link_entry(*g, made.take_entry(), t.lists()[at]);
        if (fresh) p.link_group(*g);             // behind the entry: who finds the key finds somebody
        return {};
      }
    }
    resize(p, wanted);
  }
}

claim_result registry_base::claim_here(const key_ref& key, void* value) { return claim_by(detail::here(), key, value); }

namespace {

struct claim_query {
  registry_base* in;
  const key_ref* key;
  void* value;
  claim_result result{claim_result::no_process};
};

}  // namespace

claim_result registry_base::claim_of(pid who, const key_ref& key, void* value) {
  claim_query q{this, &key, value};
  internal::ask(who, [](slot* s, void* raw) {
    auto& c = *static_cast<claim_query*>(raw);
    if (s != nullptr) c.result = c.in->claim_by(*s, *c.key, c.value);
  }, &q);
  return q.result;
}

// --- unregistering -----------------------------------------------------------------------------------------------------

namespace {

/// Under the lock. Calls `each(entry)` for the entries of the tenant under the group; that may unlink the entry. Walks
/// along whichever is shorter: all that the tenant has, or all who have the key.
template <class F>
void for_each_own(registry_tenant& t, unsigned at, registry_group& g, F&& each) {
  registry_entry* by_tenant = t.lists()[at];
  registry_entry* by_key = g.first.load(sync::relaxed);
  registry_entry *a = by_tenant, *b = by_key;
  while (a != nullptr && b != nullptr) {
    a = a->tenant_next;
    b = b->next.load(sync::relaxed);
  }
  if (b == nullptr) {
    for (registry_entry* e = by_key; e != nullptr;) {
      registry_entry* const next = e->next.load(sync::relaxed);
      if (e->tenant == &t) each(*e);
      e = next;
    }
  } else {
    for (registry_entry* e = by_tenant; e != nullptr;) {
      registry_entry* const next = e->tenant_next;
      if (e->under == &g) each(*e);
      e = next;
    }
  }
}

/// What the owner of `s` has under `key` and `which` says yes to goes.   Returns: how many those were.
template <class F>
std::size_t unregister_of(registry_core& c, slot& s, const key_ref& key, F&& which) {
  registry_tenant* const t = find_tenant(c, s);
  if (t == nullptr) return 0;
  const std::uint64_t hash = c.hash_of_key(key);
  const unsigned at = c.partition_of(hash, t->who);
  registry_partition& p = c.partitions[at];
  std::size_t removed = 0, wanted = 0;
  for (bool more = true; more;) {
    more = false;
    unlinked gone;
    sync::lock_guard held(p.lock);
    registry_group* const g = p.find(key, hash, c.types);
    if (g == nullptr) break;
    for_each_own(*t, at, *g, [&](registry_entry& e) {
      more = more || gone.is_full();
      if (more || !which(e)) return;
      p.unlink(e, t->lists()[at], gone);
      ++removed;
    });
    wanted = p.wanted_size();
  }
  shrink(p, wanted);
  return removed;
}

}  // namespace

std::size_t registry_base::unregister_here(const key_ref& key) {
  return unregister_of(*core_, detail::here(), key, [](const registry_entry&) { return true; });
}

std::size_t registry_base::unregister_here(const key_ref& key, const std::uint64_t* numbers, std::size_t count) {
  return unregister_of(*core_, detail::here(), key,
                       [&](const registry_entry& e) { return std::find(numbers, numbers + count, e.number) != numbers + count; });
}

bool registry_base::replace_here(const key_ref& key, void* value) {
  registry_core& c = *core_;
  registry_tenant* const t = find_tenant(c, detail::here());
  if (t == nullptr) return false;
  const std::uint64_t hash = c.hash_of_key(key);
  const unsigned at = c.partition_of(hash, t->who);
  registry_partition& p = c.partitions[at];
  registry_value* const now = value_or_none(c.types, value);
  unlinked gone;                                 // the old value; or the new one, if there is no such entry
  bool done = false;
  sync::lock_guard held(p.lock);
  if (registry_group* const g = p.find(key, hash, c.types))
    for_each_own(*t, at, *g, [&](registry_entry& e) {
      if (box* const before = e.value.exchange(now, sync::seq_cst)) gone.add(*before);   // pairs with kept_value
      done = true;
    });
  if (!done && now != nullptr) gone.add(*now);
  return done;
}

void registry_base::visit_own(const key_ref& key, void (*see)(void*, std::uint64_t, const void*), void* context) const {
  registry_core& c = *core_;
  registry_tenant* const t = find_tenant(c, detail::here());
  if (t == nullptr) return;
  const std::uint64_t hash = c.hash_of_key(key);
  const guard reads;
  const registry_group* const g = c.partitions[c.partition_of(hash, t->who)].find(key, hash, c.types);
  if (g == nullptr) return;
  for (registry_entry* e = g->first.load(sync::acquire); e != nullptr; e = e->next.load(sync::acquire))
    if (e->tenant == t) see(context, e->number, kept_value(*e));
}

// --- looking up --------------------------------------------------------------------------------------------------------

pid registry_base::whereis(const key_ref& key) const noexcept {
  registry_core& c = *core_;
  const std::uint64_t hash = c.hash_of_key(key);
  const guard reads;
  const registry_group* const g = c.partitions[c.partition_of(hash, {})].find(key, hash, c.types);
  return g != nullptr ? g->holder : pid{};
}

/// What is under the key, in one partition; the key is hashed only once.
static void visit_hashed(const registry_core& c, unsigned partition, const key_ref& key, std::uint64_t hash, entry_visitor see, void* context) {
  const guard reads;
  const registry_group* const g = c.partitions[partition].find(key, hash, c.types);
  if (g == nullptr) return;
  for (registry_entry* e = g->first.load(sync::acquire); e != nullptr; e = e->next.load(sync::acquire))
    see(context, key, e->holder, kept_value(*e));
}

void registry_base::visit_partition(unsigned partition, const key_ref& key, entry_visitor see, void* context) const {
  visit_hashed(*core_, partition, key, core_->hash_of_key(key), see, context);
}

void registry_base::visit(const key_ref& key, entry_visitor see, void* context) const {
  const registry_core& c = *core_;
  const std::uint64_t hash = c.hash_of_key(key);
  if (c.by_key()) return visit_hashed(c, c.partition_of(hash, {}), key, hash, see, context);
  for (unsigned i = 0; i != c.options.partitions; ++i) visit_hashed(c, i, key, hash, see, context);
}

void registry_base::visit_all(entry_visitor see, void* context) const {
  registry_core& c = *core_;
  for (unsigned i = 0; i != c.options.partitions; ++i) {
    const guard reads;
    const internal::registry_table& t = *c.partitions[i].table.load(sync::acquire);
    for (std::size_t b = 0; b != t.mask + 1; ++b)
      if (const registry_group* const g = internal::registry_table::group_in(t.slots[b].load(sync::acquire)))
        for (registry_entry* e = g->first.load(sync::acquire); e != nullptr; e = e->next.load(sync::acquire))
          see(context, key_of(c, *g), e->holder, kept_value(*e));
  }
}

// The tenant of another process may go at any moment, so its entries are noted under the locks, and looked at behind them:
// what is being read is not freed.
void registry_base::visit_keys_of(pid who, entry_visitor see, void* context) const {
  registry_core& c = *core_;
  const guard reads;
  std::vector<registry_entry*> found;
  for (unsigned i = 0; i != c.options.partitions; ++i) {
    for (bool fits = false; !fits;) {
      std::size_t n = 0;
      {
        sync::lock_guard tenants_held(c.tenants_lock);
        const auto t = c.tenants.find(who.serial());
        if (t == c.tenants.end()) return;
        sync::lock_guard held(c.partitions[i].lock);
        for (registry_entry* e = t->second->lists()[i]; e != nullptr; e = e->tenant_next) ++n;
        fits = n <= found.capacity();
        if (fits)
          for (registry_entry* e = t->second->lists()[i]; e != nullptr; e = e->tenant_next) found.push_back(e);
      }
      if (!fits) found.reserve(2 * n);
    }
    for (registry_entry* e : found) see(context, key_of(c, *e->under), who, kept_value(*e));
    found.clear();
  }
}

std::size_t registry_base::count() const noexcept {
  std::size_t n = 0;
  for (unsigned i = 0; i != core_->options.partitions; ++i) n += core_->partitions[i].entries.load(sync::acquire);
  return n;
}

void registry_base::unregister_holder(const key_ref& key, pid who) {
  if (whereis(key) != who) return;
  struct query {
    registry_core* core;
    const key_ref* key;
  } q{core_, &key};
  internal::ask(who, [](slot* s, void* raw) {
    auto& all = *static_cast<query*>(raw);
    if (s != nullptr) unregister_of(*all.core, *s, *all.key, [](const registry_entry&) { return true; });
  }, &q);
}

std::size_t registry_base::table_bytes() const noexcept {
  std::size_t bytes = 0;
  for (unsigned i = 0; i != core_->options.partitions; ++i) {
    sync::lock_guard held(core_->partitions[i].lock);
    bytes += sizeof(registry_partition) + (core_->partitions[i].table.load(sync::relaxed)->mask + 1) * sizeof(internal::registry_slot);
  }
  return bytes;
}

}  // namespace coppice::detail
