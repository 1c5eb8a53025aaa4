// SPDX-License-Identifier: Apache-2.0
//
// secret: a value that is never shown.
//
// It prints as *** in reports, traces and states, however deep it lies, and takes part in no field walk. The only way in
// is `reveal()`, so a reader finds every use by that word. A value like any other: as thread-safe as T.
#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

namespace coppice {

/// Holds a T that no text ever contains.
/// Thread:   as T.   Cost: none.   Spec: X7
template <class T>
class secret {
 public:
  using hidden_type = T;

  constexpr secret() requires std::default_initializable<T>
  = default;
  template <class U = T>
  requires(std::convertible_to<U, T> && !std::same_as<std::remove_cvref_t<U>, secret>)
  constexpr secret(U&& value) noexcept(std::is_nothrow_constructible_v<T, U>) : value_(std::forward<U>(value)) {}

  constexpr const T& reveal() const& noexcept { return value_; }
  constexpr T& reveal() & noexcept { return value_; }
  constexpr T&& reveal() && noexcept { return std::move(value_); }

  friend constexpr bool operator==(const secret& a, const secret& b) requires std::equality_comparable<T>
  {
    return a.value_ == b.value_;
  }
  friend constexpr bool operator<(const secret& a, const secret& b) requires std::totally_ordered<T>
  {
    return a.value_ < b.value_;
  }

 private:
  T value_{};
};

template <class T>
secret(T) -> secret<T>;

}  // namespace coppice
