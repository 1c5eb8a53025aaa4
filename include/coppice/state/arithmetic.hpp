// SPDX-License-Identifier: Apache-2.0
//
// arithmetic: the functions that one most often gives to swap, send, alter and commute.
//
//     a.swap(inc);   balance.alter(minus, amount);
#pragma once

namespace coppice {

struct inc_function {
  template <class T>
  constexpr T operator()(const T& x) const { return static_cast<T>(x + T(1)); }
};
struct dec_function {
  template <class T>
  constexpr T operator()(const T& x) const { return static_cast<T>(x - T(1)); }
};
struct plus_function {
  template <class T, class... U>
  constexpr T operator()(const T& x, const U&... y) const { return static_cast<T>((x + ... + y)); }
};
struct minus_function {
  template <class T, class... U>
  constexpr T operator()(const T& x, const U&... y) const { return static_cast<T>((x - ... - y)); }
};

inline constexpr inc_function inc{};
inline constexpr dec_function dec{};
/// x + y + …
inline constexpr plus_function plus{};
/// x - y - …
inline constexpr minus_function minus{};

}  // namespace coppice
