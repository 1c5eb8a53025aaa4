// SPDX-License-Identifier: Apache-2.0
//
// volatile_reference: a cell that one writes and all see; no validator, no watch. A change that depends on the old value is no single
// step: of two at once one may be lost. Where that matters take an atom.
#pragma once

#include <coppice/state/atom.hpp>

#include <concepts>
#include <functional>  // std::invoke: the function may be a pointer to a member
#include <utility>

namespace coppice {

/// Thread: any.   Spec: OR-2.
template <class T>
class volatile_reference {
 public:
  using value_type = T;

  explicit volatile_reference(T value) : cell_(std::move(value)) {}
  volatile_reference(const volatile_reference&) = delete;
  volatile_reference& operator=(const volatile_reference&) = delete;

  /// The value now: itself if it is a word, else a view of it.   Blocks: never.
  look<T> operator*() const { return *cell_; }
  view<T> operator->() const requires(!detail::word_value<T>) { return *cell_; }
  T get() const requires std::copy_constructible<T> { return cell_.get(); }

  /// Sets the value. All that look from now on see it.   Returns: the value, as a look at it.
  look<T> reset(T value) { return cell_.reset(std::move(value)); }
  /// Sets the value to `f(value, args…)`; not in one step.   Returns: the new value, as a look at it.   Fails: what `f` throws.
  template <class F, class... Args>
    requires std::is_invocable_r_v<T, F&, const T&, const Args&...>
  look<T> swap(F f, const Args&... args) {
    T fresh = [&]() -> T {
      const auto& now = *cell_;
      return std::invoke(f, static_cast<const T&>(now), args...);
    }();
    return reset(std::move(fresh));
  }

  /// A new one with the same value.
  friend volatile_reference clone(const volatile_reference& of) requires std::copy_constructible<T> {
    return volatile_reference(of.get());
  }

 private:
  atom<T> cell_;
};

}  // namespace coppice
