// SPDX-License-Identifier: Apache-2.0
//
// eventual: a value that comes once, an exception in its stead, or nothing because nobody wants it any more: what futures, promises
// and delays have in common. The compiled half is src/state/eventual.cpp.
#pragma once

#include <coppice/base/time.hpp>
#include <coppice/runtime/detail/epoch.hpp>
#include <coppice/state/view.hpp>

#include <cstdint>
#include <exception>
#include <functional>  // std::invoke: functions of a future may be pointers to members
#include <type_traits>

namespace coppice {
class executor;
}

namespace coppice::detail {

struct eventual;
struct binding;

/// With one holder.
eventual* make_eventual();
void hold_eventual(eventual& e) noexcept;
void drop_eventual(eventual* e) noexcept;

bool is_realized(const eventual& e) noexcept;
bool is_cancelled(const eventual& e) noexcept;
/// Takes `fresh` in any case.   Returns: whether it is the value now.
bool settle(eventual& e, box* fresh) noexcept;
bool settle(eventual& e, const std::exception_ptr& why) noexcept;
/// Returns: whether it was still to come.
bool cancel(eventual& e) noexcept;
/// Nobody is left who could settle it.
void break_promise(eventual& e) noexcept;
/// Waits until it is realized.   Returns: whether it is.
bool wait_realized(eventual& e, duration limit);
/// Waits until it is cancelled.   Returns: whether it is.
bool wait_cancelled(eventual& e, duration limit);
/// Waits.   Returns: the box, which the eventual holds; null: not in time. Throws what came in its stead.
box* wait_value(eventual& e, duration limit);
[[noreturn]] void refuse_empty_promise();

/// A holder. Never empty, so there is no moving out of it.
class eventual_handle {
 public:
  eventual_handle() : e_(make_eventual()) {}
  eventual_handle(const eventual_handle& other) noexcept : e_(other.e_) { hold_eventual(*e_); }
  eventual_handle& operator=(const eventual_handle& other) noexcept {
    hold_eventual(*other.e_);
    drop_eventual(e_);
    e_ = other.e_;
    return *this;
  }
  ~eventual_handle() { drop_eventual(e_); }
  eventual& operator*() const noexcept { return *e_; }
  friend bool operator==(const eventual_handle&, const eventual_handle&) = default;

 private:
  eventual* e_;
};

/// The function of a future under way.
struct future_task {
  box* (*compute)(future_task& self) = nullptr;
  void (*destroy)(future_task& self) noexcept = nullptr;  // the object; not its memory
  std::uint32_t bytes = 0;
  eventual* of = nullptr;
  binding* bound = nullptr;
};
/// Takes `t` in any case. Throws rejected.
void start_future(eventual& e, executor& by, future_task* t);

/// What a void function leaves.
struct no_value {};
template <class T>
using stored_value = std::conditional_t<std::is_void_v<T>, no_value, T>;

/// The value in `b` as what `get` returns.
template <class T>
kept<T> keep_value(box& b) noexcept {
  if constexpr (!std::is_void_v<T>) {
    auto& of = static_cast<value_box<T>&>(b);
    if constexpr (word_value<T>) {
      return of.value;
    } else {
      of.holders.fetch_add(1, sync::relaxed);
      return snapshot<T>(made_by{}, &of, &of.value);
    }
  }
}
template <class T>
kept<T> keep_other(T& otherwise) {
  if constexpr (word_value<T>) {
    return otherwise;
  } else {
    auto* fresh = make_box<T>([&]() -> T { return std::move(otherwise); });
    return snapshot<T>(made_by{}, fresh, &fresh->value);
  }
}
/// A box with what `f()` returns.
template <class T, class F>
box* box_of_result(F&& f) {
  if constexpr (std::is_void_v<T>)
    return make_box<no_value>([&]() -> no_value {
      static_cast<F&&>(f)();
      return {};
    });
  else
    return make_box<T>([&]() -> T { return static_cast<F&&>(f)(); });
}

}  // namespace coppice::detail
