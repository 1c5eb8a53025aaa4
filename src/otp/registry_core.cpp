// SPDX-License-Identifier: Apache-2.0
//
// registry_core: what registries begin and end with: tenants, which end with their process, and the registry's own process,
// whose end is that of its tenants.
#include "otp/registry_core.hpp"

#include <coppice/otp/child.hpp>
#include <coppice/otp/start.hpp>
#include <coppice/process/process.hpp>

#include "otp/registry_process.hpp"
#include "process/mailbox.hpp"
#include "process/signal.hpp"

#include <algorithm>
#include <array>
#include <new>
#include <stdexcept>

namespace coppice {

namespace detail {

using internal::registry_entry;
using internal::registry_group;
using internal::registry_partition;
using internal::registry_tenant;
using internal::unlinked;

// --- the core ----------------------------------------------------------------------------------------------------------

registry_core::registry_core(const registry_types& t, registry_options o)
    : types(t), options(std::move(o)), unique(options.keys == registry_keys::unique), seed(internal::here().dice() | std::uint64_t{internal::here().dice()} << 32),
      partitions(new internal::registry_partition[options.partitions]) {}

registry_core::~registry_core() = default;

void hold(registry_core& core) noexcept { core.holders.fetch_add(1, sync::relaxed); }
void let_go(registry_core& core) noexcept {
  if (core.holders.fetch_sub(1, sync::acq_rel) == 1) delete &core;
}

// --- tenants -----------------------------------------------------------------------------------------------------------

namespace {

void end_tenant(void* context, slot& holder, const exit_reason& why) noexcept;

void forget_tenant(registry_tenant& t) noexcept {
  registry_core& core = *t.core;
  {
    sync::lock_guard held(core.tenants_lock);
    core.tenants.erase(t.who.serial());
  }
  t.~registry_tenant();
  ::operator delete(&t);
  let_go(core);
}

registry_tenant* make_tenant(registry_core& core, pid who) {
  const std::size_t lists = core.options.partitions * sizeof(registry_entry*);
  auto* t = ::new (::operator new(sizeof(registry_tenant) + lists)) registry_tenant{};
  t->core = &core;
  t->who = who;
  std::fill_n(t->lists(), core.options.partitions, nullptr);
  try {
    sync::lock_guard held(core.tenants_lock);
    core.tenants.emplace(who.serial(), t);
  } catch (...) {
    t->~registry_tenant();
    ::operator delete(t);
    throw;
  }
  hold(core);
  return t;
}

/// A holder has ended, or ends: everything it has goes, before anybody hears of its end.
void end_tenant(void* context, slot&, const exit_reason&) noexcept {
  auto& t = *static_cast<registry_tenant*>(context);
  registry_core& core = *t.core;
  for (unsigned i = 0; i != core.options.partitions; ++i) {
    registry_partition& p = core.partitions[i];
    for (bool more = true; more;) {
      unlinked gone;
      sync::lock_guard held(p.lock);
      while (t.lists()[i] != nullptr && !gone.is_full()) p.unlink(*t.lists()[i], t.lists()[i], gone);
      more = t.lists()[i] != nullptr;
    }
  }
  forget_tenant(t);
}

}  // namespace

registry_tenant* find_tenant(registry_core& core, slot& s) noexcept {
  extension* e = s.ext;
  if (e == nullptr) return nullptr;
  for (const tenure& t : e->has().tenures)
    if (t.end == &end_tenant && static_cast<registry_tenant*>(t.context)->core == &core)
      return static_cast<registry_tenant*>(t.context);
  return nullptr;
}

// Tenants of registries that are gone are forgotten on this occasion: a process may outlive many.
registry_tenant& tenant_of(registry_core& core, slot& s) {
  if (registry_tenant* t = find_tenant(core, s)) return *t;
  auto& tenures = ext_of(s).gets().tenures;
  std::erase_if(tenures, [](const tenure& t) {
    if (t.end != &end_tenant) return false;
    auto& tenant = *static_cast<registry_tenant*>(t.context);
    if (tenant.core->gone.load(sync::acquire) == 0) return false;
    end_tenant(&tenant, *static_cast<slot*>(tenant.who.where()), exit_reason::normal);
    return true;
  });
  tenures.reserve(tenures.size() + 1);
  registry_tenant* const t = make_tenant(core, pid_of(s));
  tenures.push_back({&end_tenant, t});
  return *t;
}


// --- metadata ----------------------------------------------------------------------------------------------------------

void registry_base::put_meta(std::string_view name, std::uint64_t type, void* value, void (*destroy)(void*) noexcept) {
  std::shared_ptr<void> owned(value, destroy);
  internal::registry_meta fresh{std::string(name), type, std::move(owned)};
  sync::lock_guard held(core_->meta_lock);
  for (internal::registry_meta& m : core_->meta)
    if (m.name == name) return std::swap(m, fresh);          // the old one is destroyed outside of the lock
  core_->meta.push_back(std::move(fresh));
}

bool registry_base::get_meta(std::string_view name, std::uint64_t type, void (*take)(void*, const void*), void* context) const {
  internal::registry_meta found{{}, 0, nullptr};
  {
    sync::lock_guard held(core_->meta_lock);
    for (const internal::registry_meta& m : core_->meta)
      if (m.name == name) found = m;
  }
  if (found.value == nullptr) return false;
  if (found.type != type)
    throw registry_error(registry_error::other_type, {}, "registry: the metadata \"" + std::string(name) + "\" is of another type than the one asked for");
  take(context, found.value.get());
  return true;
}

bool registry_base::delete_meta(std::string_view name) noexcept {
  internal::registry_meta found{{}, 0, nullptr};
  sync::lock_guard held(core_->meta_lock);
  const auto at = std::find_if(core_->meta.begin(), core_->meta.end(), [&](const auto& m) { return m.name == name; });
  if (at == core_->meta.end()) return false;
  found = std::move(*at);
  core_->meta.erase(at);
  return true;
}

// --- the registry's own life -------------------------------------------------------------------------------------------

namespace {

/// Takes what is left out of a partition that takes no more, and ends the holders.
void empty_partition(registry_core& c, unsigned at, std::uint64_t run, pid from, const exit_reason& why) noexcept {
  registry_partition& p = c.partitions[at];
  const internal::registry_table* in = nullptr;
  std::size_t b = 0;                             // the slots of `in` before it are empty, and stay so
  for (bool more = true; more;) {
    std::array<pid, unlinked::most> holders;
    std::size_t told = 0;
    {
      unlinked gone;
      sync::lock_guard held(p.lock);
      p.open = false;
      const internal::registry_table& t = *p.table.load(sync::relaxed);
      if (in != &t) b = 0;
      in = &t;
      while (told != holders.size() && !gone.is_full() && b != t.mask + 1) {
        registry_group* const g = internal::registry_table::group_in(t.slots[b].load(sync::relaxed));
        if (g == nullptr) {
          ++b;
          continue;
        }
        registry_entry& e = *g->first.load(sync::relaxed);
        if (e.tenant->told.exchange(run, sync::relaxed) != run) holders[told++] = e.holder;
        p.unlink(e, e.tenant->lists()[at], gone);
      }
      more = p.groups != 0;
    }
    for (std::size_t i = 0; i != told; ++i) internal::send_exit(holders[i], from, why);
  }
}

/// The run with that process is over. Whoever comes first does it.
void end_run(registry_core& c, pid process, const exit_reason& why) noexcept {
  std::uint64_t run = process.serial();
  if (!c.run.cas(run, 0, sync::acq_rel)) return;
  for (unsigned i = 0; i != c.options.partitions; ++i) empty_partition(c, i, process.serial(), process, why);
}

void end_of_process(void* context, slot& s, const exit_reason& why) noexcept {
  auto& c = *static_cast<registry_core*>(context);
  end_run(c, pid_of(s), why);
  let_go(c);
}

const registry_options& checked(const registry_options& o) {
  if (o.partitions == 0 || o.partitions > 65'536) throw std::invalid_argument("registry: partitions is " + std::to_string(o.partitions) + "; expected 1 to 65536");
  return o;
}

}  // namespace

registry_base::registry_base(const registry_types& types, registry_options options, bool starts)
    : core_(new registry_core(types, checked(options))) {
  if (!starts) return;
  try {
    static_cast<void>(start<internal::registry_process>({.name = core_->options.name.empty() ? name_view() : name_view(core_->options.name), .in = core_->options.in},
                                                        internal::registry_handle(*core_)));
  } catch (...) {
    let_go(*core_);
    throw;
  }
}

// Who outlives its registry by a mistake in the program is told as if the registry's process had been shut down. Nothing is
// waited for: a registry may be part of the state of a process that ends.
registry_base::~registry_base() {
  const pid process = id();
  core_->gone.store(1, sync::release);
  if (process) {
    end_run(*core_, process, exit_reason::shutdown);
    exit(process, exit_reason::shutdown);
  }
  let_go(*core_);
}

const registry_options& registry_base::options() const noexcept { return core_->options; }

pid registry_base::id() const noexcept {
  const std::uint64_t run = core_->run.load(sync::acquire);
  slot* const by = core_->run_by.load(sync::acquire);
  return run != 0 && by != nullptr ? pid::of(by, run) : pid{};
}

child_spec registry_base::child(const child_options& options) const {
  const registry_options& o = core_->options;
  child_options said = options;
  if (said.id.empty()) said.id = o.name.empty() ? std::string_view("registry") : std::string_view(o.name);
  if (!said.name && !o.name.empty()) said.name = o.name;
  if (!said.type) said.type = child_type::supervisor;
  return coppice::child<internal::registry_process>(said, internal::registry_handle(*core_));
}

}  // namespace detail

namespace internal {

init_outcome<> registry_process::init(registry_handle of) {
  detail::registry_core& c = of.core();
  detail::slot& me = *detail::current_slot();
  std::uint64_t none = 0;
  if (c.gone.load(sync::acquire) != 0) return fail(exit_reason("the registry was destroyed"));
  if (!c.run.cas(none, detail::pid_of(me).serial(), sync::acq_rel)) return fail(exit_reason("the registry runs already"));
  detail::ext_of(me).gets().tenures.push_back({&detail::end_of_process, &c});
  hold(c);
  c.run_by.store(&me, sync::release);
  for (unsigned i = 0; i != c.options.partitions; ++i) {
    sync::lock_guard held(c.partitions[i].lock);
    c.partitions[i].open = true;
  }
  return ok();
}

}  // namespace internal
}  // namespace coppice
