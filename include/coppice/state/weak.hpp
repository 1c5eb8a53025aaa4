// SPDX-License-Identifier: Apache-2.0
//
// weak: refers to a value that others hold, and keeps it from nothing.
#pragma once

#include <memory>  // shared ownership is what it looks at
#include <utility>

namespace coppice {

/// Thread: any.   Spec: OR-5.
template <class T>
class weak {
 public:
  using value_type = T;

  explicit weak(const std::shared_ptr<T>& of) noexcept : of_(of) {}

  /// A holder of the value, or null once the last other one is gone; null for good then.   Blocks: never.
  std::shared_ptr<T> operator*() const noexcept { return of_.lock(); }
  std::shared_ptr<T> get() const noexcept { return of_.lock(); }

 private:
  std::weak_ptr<T> of_;
};

}  // namespace coppice
