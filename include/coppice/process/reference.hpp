// SPDX-License-Identifier: Apache-2.0
//
// reference: a token that is unique while the program runs. Monitors, timers, aliases and requests are told apart by it.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <string>

namespace coppice {

/// A unique token.
/// Thread: any.   Cost: 8 bytes; a new one takes no lock (each thread draws from a range of its own).
class reference {
 public:
  constexpr reference() noexcept = default;
  constexpr explicit reference(std::uint64_t number) noexcept : number_(number) {}
  /// A new one.
  static reference make() noexcept;

  constexpr explicit operator bool() const noexcept { return number_ != 0; }
  constexpr std::uint64_t number() const noexcept { return number_; }
  friend constexpr auto operator<=>(reference, reference) noexcept = default;

 private:
  std::uint64_t number_ = 0;
};

/// `#ref<17>`.
std::string to_text(reference r);

}  // namespace coppice

template <>
struct std::hash<coppice::reference> {
  std::size_t operator()(coppice::reference r) const noexcept {
    return static_cast<std::size_t>(r.number() * 0x9E3779B97F4A7C15u);
  }
};
