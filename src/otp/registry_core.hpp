// SPDX-License-Identifier: Apache-2.0
//
// registry_core: what stands behind a registry: its partitions, its tenants, its locks, its metadata. Counted: the registry,
// its process and every process that ever registered hold it, so that each of them may go first.
//
// A tenant is what a registry knows of one process: its entries, partition by partition. It is found from the process's
// extension and ends with it (slot.hpp, tenure), before anybody hears that the process has ended.
//
// Thread: any. Locks, in the order of taking: tenants_lock, a partition's lock.
//
// Invariants
//  1. `run` is the serial of the registry's process while that lives, else 0. Partitions are open only meanwhile.
//  2. A process has one tenant at most. Only that process adds entries to it; the end of the registry may take them away.
//  3. Only who holds an entry may give it up. So what a process knows of its own entries stays true while it runs, unless the
//     registry ends.
#pragma once

#include <coppice/otp/detail/registry.hpp>

#include <coppice/base/hash.hpp>

#include "otp/registry_lock.hpp"
#include "otp/registry_partition.hpp"

#include "process/slot.hpp"

#include <memory>
#include <unordered_map>
#include <vector>

namespace coppice::internal {

struct registry_tenant {
  detail::registry_core* core;
  pid who;
  sync::atomic<std::uint64_t> told;              // the run of the registry whose end it has been told of
  registry_entry** lists() noexcept { return reinterpret_cast<registry_entry**>(this + 1); }   // by partition, under its lock
};

struct registry_meta {
  std::string name;
  std::uint64_t type;
  std::shared_ptr<void> value;
};

}  // namespace coppice::internal

namespace coppice::detail {

struct registry_core {
  registry_core(const registry_types& t, registry_options o);
  ~registry_core();

  const registry_types& types;
  const registry_options options;
  const bool unique;
  const std::uint64_t seed;
  sync::atomic<std::uint64_t> holders{1};
  sync::atomic<std::uint32_t> gone;              // the registry itself was destroyed
  sync::atomic<std::uint64_t> run{0, "registry run"};
  sync::atomic<slot*> run_by;                    // the process of that run
  std::unique_ptr<internal::registry_partition[]> partitions;

  sync::spinlock tenants_lock;
  std::unordered_map<std::uint64_t, internal::registry_tenant*> tenants;   // by the holder's serial

  sync::spinlock meta_lock;
  std::vector<internal::registry_meta> meta;

  internal::registry_locks locks;

  std::uint64_t hash_of_key(const key_ref& key) const noexcept { return hash_mix(seed, key.hash); }
  bool by_key() const noexcept { return unique || options.partition == registry_partition::by_key; }
  unsigned partition_of(std::uint64_t hash, pid who) const noexcept {
    if (options.partitions == 1) return 0;
    return static_cast<unsigned>((by_key() ? hash >> 32 : who.serial()) % options.partitions);
  }
};

void hold(registry_core& core) noexcept;
void let_go(registry_core& core) noexcept;

/// What the registry knows of `s`, or null. Owner of `s` only, as the next one.
internal::registry_tenant* find_tenant(registry_core& core, slot& s) noexcept;
/// The same, made at first use.
internal::registry_tenant& tenant_of(registry_core& core, slot& s);

}  // namespace coppice::detail
