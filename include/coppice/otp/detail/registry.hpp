// SPDX-License-Identifier: Apache-2.0
//
// What the template registry sees of its compiled core: the table of its types, references to keys, and functions that take
// them. Keys and values are moved, copied and compared by trampolines; text is known to the core and handled there.
#pragma once

#include <coppice/base/to_text.hpp>
#include <coppice/otp/registry_error.hpp>
#include <coppice/process/detail/core.hpp>
#include <coppice/process/process.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace coppice {

class runtime;
struct child_spec;
struct child_options;

/// How many processes may be registered under one key.   Spec: EX-80.
enum class registry_keys : unsigned char {
  unique,     ///< one: the registry names processes
  duplicate   ///< any number, and each of them repeatedly: a list of subscribers
};

/// By what a registry of duplicate keys chooses an entry's partition.   Spec: EX-95.
enum class registry_partition : unsigned char {
  by_holder,  ///< few keys with many entries: dispatch can work on the partitions in parallel
  by_key      ///< many keys with few entries: each key is in one partition
};

/// How a registry is. Every field has a default.   Spec: EX-80.
struct registry_options {
  /// The local name of its process; listeners hear it. Empty: none.
  std::string name{};
  registry_keys keys = registry_keys::unique;
  /// Who writes takes the lock of one partition only. Readers take none.
  unsigned partitions = 1;
  registry_partition partition = registry_partition::by_holder;
  /// Local names of processes that are told of registrations (EX-91). Who is not there is not told.
  std::vector<std::string> listeners{};
  /// Keys that are text may have so many bytes; longer ones are refused (EX-97).
  std::size_t longest_key = std::numeric_limits<std::size_t>::max();
  /// The runtime of its process; null: the caller's.
  runtime* in = nullptr;
};

namespace detail {

struct registry_core;

/// What the core knows of one registry type.
struct registry_types {
  bool text_keys;                      // kept as bytes, compared and copied by the core
  std::uint32_t key_size;
  std::uint32_t value_size;            // 0: no value is kept
  bool (*equal)(const void* kept, const void* asked);
  void (*copy_key)(void* place, const void* key);
  void (*destroy_key)(void* key) noexcept;
  void (*move_value)(void* place, void* value);
  void (*destroy_value)(void* value) noexcept;
  void (*print_key)(text_sink& out, const void* key);
};

/// A key, the caller's or a kept one: `text` where keys are text, else the object.
struct key_ref {
  const void* object = nullptr;
  std::string_view text{};
  std::uint64_t hash = 0;              // not yet seeded
};

/// What became of an attempt to register.
struct claim_result {
  enum status : unsigned char { done, taken, not_running, ending, too_long, no_process } what = done;
  pid holder{};
};

/// Sees one entry. Called inside a guard: must not wait.
using entry_visitor = void (*)(void* context, const key_ref& key, pid who, const void* value);

/// Of the registry that is not generic: everything that does not depend on the types.
/// Thread: any.
class registry_base {
 public:
  registry_base(const registry_types& types, registry_options options, bool starts);
  ~registry_base();
  registry_base(const registry_base&) = delete;
  registry_base& operator=(const registry_base&) = delete;

  const registry_options& options() const noexcept;
  pid id() const noexcept;
  std::size_t count() const noexcept;

  claim_result claim_here(const key_ref& key, void* value);
  claim_result claim_by(slot& owner, const key_ref& key, void* value);
  claim_result claim_of(pid who, const key_ref& key, void* value);
  std::size_t unregister_here(const key_ref& key);
  /// Only those whose number is among `numbers`, of which there are `count`.
  std::size_t unregister_here(const key_ref& key, const std::uint64_t* numbers, std::size_t count);
  void unregister_holder(const key_ref& key, pid who);
  /// Puts `value` in the place of that of the caller's entry.   Returns: false if it has none.
  bool replace_here(const key_ref& key, void* value);

  pid whereis(const key_ref& key) const noexcept;
  void visit(const key_ref& key, entry_visitor see, void* context) const;
  void visit_partition(unsigned partition, const key_ref& key, entry_visitor see, void* context) const;
  void visit_all(entry_visitor see, void* context) const;
  void visit_keys_of(pid who, entry_visitor see, void* context) const;
  /// The entries of the caller under `key`, by number.
  void visit_own(const key_ref& key, void (*see)(void* context, std::uint64_t number, const void* value), void* context) const;
  std::size_t table_bytes() const noexcept;

  void put_meta(std::string_view name, std::uint64_t type, void* value, void (*destroy)(void*) noexcept);
  /// Returns: false if there is none. Throws registry_error{other_type}.
  bool get_meta(std::string_view name, std::uint64_t type, void (*take)(void* context, const void* value), void* context) const;
  bool delete_meta(std::string_view name) noexcept;

  [[nodiscard]] registry_error error_of(const claim_result& r, const key_ref& key) const;
  [[nodiscard]] registry_error error_of(registry_error::kind what, const key_ref& key) const;
  /// Throws registry_error{not_unique}.
  void must_be_unique(std::string_view operation) const;

  child_spec child(const child_options& options) const;

  registry_core& core() const noexcept { return *core_; }

 private:
  registry_core* core_;
};

/// Holds the lock `key` of a registry while it lives.
/// Throws: registry_error{locked_already}; unwind when the caller has to end.
class registry_lock {
 public:
  struct place;
  registry_lock(registry_core& core, const key_ref& key);
  ~registry_lock();
  registry_lock(const registry_lock&) = delete;
  registry_lock& operator=(const registry_lock&) = delete;

 private:
  registry_core& core_;
  place* place_;
};

}  // namespace detail
}  // namespace coppice
