// SPDX-License-Identifier: Apache-2.0
#include "process/spawn.hpp"

#include <coppice/base/assert.hpp>

#include "process/names.hpp"
#include "process/result_place.hpp"
#include "process/trace.hpp"
#include "runtime/pools.hpp"

#include <algorithm>

namespace coppice::detail {

constinit extension::empty_belongings extension::nothing;
namespace {
[[gnu::constructor(101)]] void make_nothing() { extension::make_nothing(); }
}  // namespace

void* extension::operator new(std::size_t bytes) { return internal::here().blocks.allocate(bytes); }
void extension::operator delete(void* block) noexcept { internal::here().blocks.free(block, sizeof(extension)); }

extension& ext_of(slot& s) {
  if (extension* e = s.ext) return *e;
  auto* made = new extension;
  made->origin = s.ext.origin_only();
  s.ext = made;
  return *made;
}

std::vector<pid> ancestors_of(const slot& s) {
  const lineage* l = s.ext.get() != nullptr ? s.ext->origin : s.ext.origin_only();
  return l != nullptr ? std::vector<pid>(l->who, l->who + l->count) : std::vector<pid>();
}

spawned spawn_core(const spawn_request& what) {
  slot* parent = current_slot();
  if (what.link && parent == nullptr)
    throw exit_error(exit_reason::noproc, "spawn_link: not a process; a plain thread has nothing to link to");
  internal::system& sys = what.in != nullptr ? what.in->impl() : internal::current_system();
  slot& child = internal::new_process(*what.cls, sys);
  spawned result{pid_of(child), {}};
  try {
    what.make.construct(state_of(child), what.make.context);
    set(child, started);
    if (what.trap_exit) set(child, trapping);
    internal::place(child, what.level);
    if (what.mailbox_bound != 0) child.bound.store(bound_word(what.mailbox_bound, what.when_full), sync::relaxed);
    internal::record_origin(child, parent, false);
    if (what.result != nullptr) internal::bind_place(*what.result, child, parent);
    if (what.callers.empty()) internal::record_callers(child, parent);
    else ext_of(child).gets().callers.assign(what.callers.begin(), what.callers.end());
    if (!what.label.empty()) ext_of(child).gets().label = what.label;
    if (!what.name.empty()) {
      const pid holder = internal::give_name(sys, child, what.name);
      if (holder != result.who)
        throw exit_error(exit_reason(exit_reason::with_text(exit_reason::custom, "already_started")),
                         "the name \"" + std::string(what.name) + "\" is taken by " + to_text(holder));
    }
    if (what.monitor) result.ref = reference(internal::monitor_new(child, here()));
    if (what.told != nullptr) {
      ext_of(here()).gets().aliases.push_back({.ref = result.ref.number(), .once = true, .with_monitor = true});
      what.told(state_of(child), result.ref);
    }
    if (what.link) internal::link_new(child, *parent);
  } catch (...) {
    // Nobody knows the child yet. What was done for it is undone by its end.
    internal::end_process(child, exit_reason::normal);
    throw;
  }
  internal::schedule(child);
  return result;
}

}  // namespace coppice::detail

namespace coppice::internal {

namespace {

void construct_slot(void* block, std::size_t bytes) noexcept {
  slot* s = ::new (block) slot;
  s->size_class = static_cast<std::uint8_t>(slot_arena::class_of(bytes));
}
void construct_reply(void* block, std::size_t) noexcept { ::new (block) detail::reply_slot; }

/// The pools are made at a thread's first use of the library, which may come before main: before any initialiser of a program.
[[gnu::constructor(101)]] void tell() {
  make_slot = &construct_slot;
  make_reply = &construct_reply;
}

}  // namespace

coppice::priority place(slot& s, coppice::priority level) noexcept {
  const auto before = s.placement == detail::placed_high ? coppice::priority::high
                      : s.placement == detail::placed_low ? coppice::priority::low : coppice::priority::normal;
  const bool pinned = s.placement != 0 && before == coppice::priority::normal;   // keeps its worker and has no priority
  if (!pinned) s.placement = level == coppice::priority::high ? detail::placed_high
                             : level == coppice::priority::low ? detail::placed_low : std::uint8_t{0};
  return before;
}

slot& new_process(const detail::class_descriptor& cls, system& in) {
  if (in.closing.load(sync::relaxed) != 0) throw exit_error(exit_reason::system_limit, "the runtime is stopping: no process starts");
  if (in.options.max_processes != 0 && in.alive() >= static_cast<std::int64_t>(in.options.max_processes))
    throw exit_error(exit_reason::system_limit,
                     "the runtime has its " + std::to_string(in.options.max_processes) + " processes (max_processes)");
  thread_block& block = here();
  const std::size_t wanted = sizeof(slot) + cls.state_size;
  const bool inside = wanted <= slot_arena::largest && cls.state_align <= 16;
  const std::uint32_t size_class = slot_arena::class_of(inside ? wanted : sizeof(slot) + sizeof(void*));
  slot& s = *static_cast<slot*>(block.slots.take(size_class));
  // Somebody with a stale pid may own it for a moment, to find out that it is stale.
  while (!claim(s)) sync::relax();
  s.home.store(in.number, sync::relaxed);
  s.cls = &cls;
  s.flags.store(((cls.flags & static_cast<std::uint32_t>(detail::class_flag::leaf)) != 0 ? std::uint32_t{detail::leaf} : 0u) |
                    ((cls.flags & static_cast<std::uint32_t>(detail::class_flag::trap_exit)) != 0 ? std::uint32_t{detail::trapping} : 0u) |
                    ((cls.flags & (detail::class_flag::queued | detail::class_flag::pinned)) != 0 ? std::uint32_t{detail::careful} : 0u),
                sync::relaxed);
  if (!inside) {
    *reinterpret_cast<void**>(reinterpret_cast<char*>(&s) + sizeof(slot)) =
        ::operator new(cls.state_size, std::align_val_t{cls.state_align});
    detail::set(s, detail::boxed);
  }
  s.timed.store(0, sync::relaxed);
  s.handled.set(0);
  s.placement = (cls.flags & static_cast<std::uint32_t>(detail::class_flag::pinned)) != 0
                    ? static_cast<std::uint8_t>(1 + block.dice() % in.sched.base_workers()) : std::uint8_t{0};
  s.serial.store(block.serial(), sync::release);
  in.count(1);
  if (tracing()) [[unlikely]] trace_spawned(s, block.process);
  return s;
}

namespace {

bool is_task(const slot& s) noexcept { return (s.cls->flags & static_cast<std::uint32_t>(detail::class_flag::task)) != 0; }

/// What the children of `parent` get.
detail::lineage& lineage_for_children(slot& parent) {
  detail::extension& e = detail::ext_of(parent);
  if (e.own != nullptr) return *e.own;
  auto* l = new detail::lineage;
  l->who[l->count++] = detail::pid_of(parent);
  l->callers = 1;
  if (is_task(parent) && e.origin != nullptr) l->callers += std::min(e.origin->callers, detail::lineage::longest - 1);
  if (e.origin != nullptr)
    for (unsigned i = 0; i < e.origin->count && l->count < detail::lineage::longest; ++i) l->who[l->count++] = e.origin->who[i];
  e.own = l;
  return *l;
}

}  // namespace

detail::lineage* share_lineage(slot& parent) {
  detail::lineage& l = lineage_for_children(parent);
  l.holders.fetch_add(1, sync::relaxed);
  return &l;
}

void drop(detail::lineage* l) noexcept {
  if (l != nullptr && l->holders.fetch_sub(1, sync::acq_rel) == 1) delete l;
}

void record_origin(slot& child, slot* parent, bool is_parent) {
  if (parent == nullptr) return;
  detail::lineage& l = lineage_for_children(*parent);
  l.holders.fetch_add(1, sync::relaxed);
  if (detail::extension* e = child.ext)
    e->origin = &l;
  else
    child.ext.set_origin_only(&l);
  if (is_parent) detail::ext_of(child).parent = detail::pid_of(*parent);
}

void record_callers(slot& child, slot* parent) {
  if (!is_task(child) || parent == nullptr || parent->ext.get() == nullptr || parent->ext->has().callers.empty()) return;
  // Its parent's callers are not its parent's ancestors (a supervisor started that one): they cannot be read from the lineage.
  std::vector<pid> callers{detail::pid_of(*parent)};
  for (const pid p : parent->ext->has().callers)
    if (callers.size() < detail::lineage::longest) callers.push_back(p);
  detail::ext_of(child).gets().callers = std::move(callers);
}

void link_new(slot& child, slot& parent) {
  const std::uint64_t id = here().serial();
  detail::ext_of(parent).links.add({detail::pid_of(child), id});
  detail::ext_of(child).links.add({detail::pid_of(parent), id});
}

std::uint64_t monitor_new(slot& child, slot& watcher) {
  const std::uint64_t ref = here().serial();
  detail::ext_of(watcher).watches.add({ref, detail::pid_of(child), nullptr});
  detail::ext_of(child).watchers.add({ref, detail::pid_of(watcher)});
  return ref;
}

}  // namespace coppice::internal
