// SPDX-License-Identifier: Apache-2.0
//
// promise: a value that somebody will deliver, once.
//
//     promise<int> port;
//     future<int> known = port.get_future();       // for those who wait
//     …
//     port.deliver(8888);                          // true; whoever comes second gets false
//
// A promise that goes away undelivered tells those who wait: broken_promise.
//
// Thread: any; deliver and get at the same time, too. Moving and destroying it: nobody else may use it then.
#pragma once

#include <coppice/state/future.hpp>

#include <concepts>
#include <optional>
#include <type_traits>
#include <utility>

namespace coppice {

template <class T>
class promise {
 public:
  using value_type = T;

  promise() : of_(std::in_place) {}
  promise(promise&& other) noexcept : of_(std::exchange(other.of_, std::nullopt)) {}
  promise& operator=(promise&& other) noexcept {
    if (this == &other) return *this;
    give_up();
    of_ = std::exchange(other.of_, std::nullopt);
    return *this;
  }
  /// Undelivered: those who wait get broken_promise.   Spec: PM-4.
  ~promise() { give_up(); }

  /// Makes `value` the value, if there is none yet.
  /// Returns:  whether it is.
  /// Fails:    state_error when the promise was moved from.
  /// Blocks:   never.   Spec: PM-2, PM-3.
  template <class U = T>
    requires(!std::is_void_v<T> && std::convertible_to<U, T>)
  bool deliver(U&& value) {
    detail::eventual& e = core();
    if (detail::is_realized(e)) return false;
    return detail::settle(e, detail::make_box<T>([&]() -> T { return static_cast<U&&>(value); }));
  }
  bool deliver()
    requires(std::is_void_v<T>)
  {
    return detail::settle(core(), detail::make_box<detail::no_value>([]() -> detail::no_value { return {}; }));
  }

  /// Waits for the value; as of a future.   Spec: PM-1.
  kept<T> get() const { return get_future().get(); }
  template <class U = T>
    requires(!std::is_void_v<T> && std::convertible_to<U, T>)
  kept<T> get(duration limit, U&& otherwise) const {
    return get_future().get(limit, static_cast<U&&>(otherwise));
  }
  bool is_realized() const noexcept { return of_ && detail::is_realized(**of_); }
  /// The value that comes, as a handle for those who wait. Cancelled, it can be delivered no more.
  future<T> get_future() const {
    core();
    return future<T>(*of_);
  }

 private:
  detail::eventual& core() const {
    if (!of_) detail::refuse_empty_promise();
    return **of_;
  }
  void give_up() noexcept {
    if (of_) detail::break_promise(**of_);
  }

  std::optional<detail::eventual_handle> of_;
};

}  // namespace coppice
