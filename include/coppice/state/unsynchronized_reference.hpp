// SPDX-License-Identifier: Apache-2.0
//
// unsynchronized_reference: a cell for one thread or process at a time, with the verbs of the others: a plain variable.
#pragma once

#include <concepts>
#include <functional>  // std::invoke: the function may be a pointer to a member
#include <type_traits>
#include <utility>

namespace coppice {

/// Thread: one at a time; no guarantee otherwise.   Spec: OR-3.
template <class T>
class unsynchronized_reference {
 public:
  using value_type = T;

  explicit unsynchronized_reference(T value) : value_(std::move(value)) {}
  unsynchronized_reference(const unsynchronized_reference&) = delete;
  unsynchronized_reference& operator=(const unsynchronized_reference&) = delete;

  const T& operator*() const noexcept { return value_; }
  const T* operator->() const noexcept { return &value_; }
  T get() const requires std::copy_constructible<T> { return value_; }

  /// Sets the value.   Returns: it.
  const T& reset(T value) { return value_ = std::move(value); }
  /// Sets the value to `f(value, args…)`.   Returns: it.   Fails: what `f` throws; nothing has changed then.
  template <class F, class... Args>
    requires std::is_invocable_r_v<T, F&, const T&, const Args&...>
  const T& swap(F f, const Args&... args) { return reset(std::invoke(f, std::as_const(value_), args...)); }

  /// A new one with the same value.
  friend unsynchronized_reference clone(const unsynchronized_reference& of) requires std::copy_constructible<T> {
    return unsynchronized_reference(of.value_);
  }

 private:
  T value_;
};

}  // namespace coppice
