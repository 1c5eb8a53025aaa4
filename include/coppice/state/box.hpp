// SPDX-License-Identifier: Apache-2.0
//
// box: a value that never changes, read like a reference that does: for code that takes either.
#pragma once

#include <concepts>
#include <type_traits>
#include <utility>

namespace coppice {

/// Thread: any.   Spec: OR-1.
template <class T>
class box {
 public:
  using value_type = T;

  explicit box(T value) noexcept(std::is_nothrow_move_constructible_v<T>) : value_(std::move(value)) {}
  box(const box&) = delete;
  box& operator=(const box&) = delete;

  /// The value.   Blocks: never.
  const T& operator*() const noexcept { return value_; }
  const T* operator->() const noexcept { return &value_; }
  T get() const requires std::copy_constructible<T> { return value_; }

 private:
  const T value_;
};

}  // namespace coppice
