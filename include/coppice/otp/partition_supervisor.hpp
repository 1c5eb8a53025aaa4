// SPDX-License-Identifier: Apache-2.0
//
// partition_supervisor: n copies of one child, so that what would be one busy server is many. Who talks to them gives a key:
//
//     auto counters = start_partition_supervisor({.name = "counters", .child = child<counter>()});
//     call(named<counter>(via(counters, user)), counter::add{1});
//
// The way from a key to its partition is a look-up in a table that everybody may read: no call, no lock. The table belongs to
// the spec: a handle stays good when the supervisor is restarted by its own. A handle made from the name asks once for it.
#pragma once

#include <coppice/base/hash.hpp>
#include <coppice/otp/supervisor.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace coppice {

/// A partitioned child, as a value.   Spec: SV-120.
struct partition_supervisor_spec {
  owned_name name{};                                      ///< needed
  child_spec child{};                                     ///< copied for each partition; its id counts for nothing, its name must be empty
  std::size_t partitions = 0;                             ///< 0: one for each worker thread of the runtime
  child_spec (*with)(child_spec child, std::size_t number) = nullptr;   ///< makes the spec of partition `number`; null: `child` as it is
  coppice::strategy strategy = one_for_one;
  unsigned intensity = 3;
  duration period = 5s;

  friend bool operator==(const partition_supervisor_spec&, const partition_supervisor_spec&) = default;
};

namespace detail {

struct partition_cells;

/// Who serves which partition. A counted handle; all copies are one table.
/// Thread: any; each cell is written by the supervisor only.
class partition_table {
 public:
  partition_table() noexcept = default;
  explicit partition_table(std::size_t most);
  partition_table(const partition_table& other) noexcept;
  partition_table(partition_table&& other) noexcept : cells_(std::exchange(other.cells_, nullptr)) {}
  partition_table& operator=(partition_table other) noexcept {
    std::swap(cells_, other.cells_);
    return *this;
  }
  ~partition_table();

  std::size_t size() const noexcept;            // partitions in use; 0 for none
  std::size_t most() const noexcept;
  void resize(std::size_t size) const noexcept;
  pid at(std::size_t number) const noexcept;
  void put(std::size_t number, pid who) const noexcept;
  explicit operator bool() const noexcept { return cells_ != nullptr; }

  /// Tables say nothing about what a spec means.
  friend bool operator==(const partition_table&, const partition_table&) noexcept { return true; }
  friend std::string to_text(const partition_table&) { return "table"; }

 private:
  partition_cells* cells_ = nullptr;
};

template <class Key>
std::uint64_t partition_key(const Key& key) noexcept {
  if constexpr (std::integral<Key>) {
    const auto wide = static_cast<std::uint64_t>(key);
    if constexpr (std::signed_integral<Key>) return key < 0 ? 0 - wide : wide;      // |key|
    else return wide;
  } else if constexpr (std::convertible_to<const Key&, std::string_view>) {
    return hash_of(std::string_view(key));
  } else {
    return hash_mix(0, static_cast<std::uint64_t>(std::hash<Key>{}(key)));
  }
}

/// The supervisor's spec for `spec`, with its table.
supervisor_spec spread(const partition_supervisor_spec& spec, partition_table& table);
[[noreturn]] void throw_no_partitions();

}  // namespace detail

/// The handle of a partition supervisor, and the registry that `via` wants.
/// Thread: any.   Spec: SV-120..SV-124.
class partition_supervisor {
 public:
  /// Fails: supervisor_error when nobody has the name, or not such a supervisor (SV-124).
  explicit partition_supervisor(const name_view& name);

  pid id() const noexcept { return at_.find(); }
  operator supervisor() const { return supervisor(at_.name().view()); }

  /// How many there are now.
  std::size_t partitions() const noexcept { return table_.size(); }
  /// Who serves `key`: integers go to |key| mod n, everything else by its hash; the same key to the same partition as long as n
  /// is the same.
  /// Returns: a process that may have ended and is being restarted; no process before its first start.
  /// Fails:   exit_error{noproc} when there are no partitions.   Cost: a division and five loads.   Spec: SV-121.
  template <class Key>
  pid whereis(const Key& key) const {
    const std::size_t n = table_.size();
    if (n == 0) detail::throw_no_partitions();
    return table_.at(static_cast<std::size_t>(detail::partition_key(key) % n));
  }
  /// Partition `number` itself.
  pid partition(std::size_t number) const noexcept { return table_.at(number); }
  /// Uses only the first `size` partitions: stops the others, or starts them again.
  /// Returns: how many there were.   Fails: std::invalid_argument for more than there were at first.   Spec: SV-123.
  std::size_t resize(std::size_t size) const;

  /// For `via`: names are given by the supervisor alone.
  template <class Key>
  bool register_name(const Key&, pid) noexcept { return false; }
  template <class Key>
  void unregister_name(const Key&) noexcept {}

  /// For the library.
  partition_supervisor(detail::supervisor_address at, detail::partition_table table) : at_(std::move(at)), table_(std::move(table)) {}

 private:
  detail::supervisor_address at_;
  detail::partition_table table_;
};

/// Starts the partitions under one supervisor.   Fails: throws start_error, also for a spec without a name.   Spec: SV-120.
partition_supervisor start_partition_supervisor(const partition_supervisor_spec& spec, const start_options& options = {});
partition_supervisor start_partition_supervisor_link(const partition_supervisor_spec& spec, const start_options& options = {});

/// A partition supervisor as a child: type supervisor, shutdown infinity, its name as its id.   Spec: EX-101.
child_spec child(const child_options& options, const partition_supervisor_spec& spec);
inline child_spec child(const partition_supervisor_spec& spec) { return child(child_options{}, spec); }

}  // namespace coppice
