// SPDX-License-Identifier: Apache-2.0
//
// pid: the identity of a process. A small value: copy it freely, hold it as long as you like; it keeps nothing alive.
//
// Invariants:
//   1. A serial is never given out twice while the program runs, so a pid never names a second process (PR-1).
//   2. The place behind a local pid is type-stable memory: a stale pid is refused by its serial, never a fault.
//   3. The lowest bit of `where` is set in the pid of a process on another node; such a pid is carried, printed and
//      compared here, and every signal to it goes through the remote_router.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>

namespace coppice {

namespace detail {
struct slot;
}

/// Names one process, for ever.
/// Thread: any.   Cost: 16 bytes; copying takes no lock and no count.   Spec: PR-1.
class pid {
 public:
  constexpr pid() noexcept = default;

  /// Whether this names a process at all (it may be dead).
  constexpr explicit operator bool() const noexcept { return serial_ != 0; }
  /// Whether the process lives, or lived, in this program.
  constexpr bool is_local() const noexcept { return (where_ & 1) == 0; }
  /// The number that `<0.N>` shows. Unique while the program runs.
  constexpr std::uint64_t serial() const noexcept { return serial_; }

  friend constexpr bool operator==(pid a, pid b) noexcept { return a.serial_ == b.serial_ && a.where_ == b.where_; }
  friend constexpr std::strong_ordering operator<=>(pid a, pid b) noexcept {
    const auto by_serial = a.serial_ <=> b.serial_;
    return by_serial != 0 ? by_serial : a.where_ <=> b.where_;
  }

  /// For the library: the parts.
  static pid of(detail::slot* where, std::uint64_t serial) noexcept {
    return pid(reinterpret_cast<std::uintptr_t>(where), serial);
  }
  static pid remote(std::uintptr_t node, std::uint64_t id) noexcept { return pid(node | 1, id); }
  detail::slot* where() const noexcept { return reinterpret_cast<detail::slot*>(where_); }
  std::uintptr_t node() const noexcept { return where_ & ~std::uintptr_t{1}; }

 private:
  constexpr pid(std::uintptr_t where, std::uint64_t serial) noexcept : where_(where), serial_(serial) {}
  std::uintptr_t where_ = 0;
  std::uint64_t serial_ = 0;
};

/// `<0.41>`; a pid of another node prints that node's number first; no process: `<none>`.
std::string to_text(pid p);

}  // namespace coppice

template <>
struct std::hash<coppice::pid> {
  std::size_t operator()(coppice::pid p) const noexcept {
    return static_cast<std::size_t>(p.serial() * 0x9E3779B97F4A7C15u);
  }
};
