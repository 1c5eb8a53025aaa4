// SPDX-License-Identifier: Apache-2.0
//
// function: a callable of a known signature, held by value, that can be moved but not copied.
//
// `function<R(Args...)>` is called as an object that may change, `function<R(Args...) const>` as a constant one. What fits
// 32 bytes and moves without throwing lies inside, anything else on the heap. As thread-safe as the callable inside.
//
// Invariants:
// 1. `call_` is never null: an empty function calls one that reports "called while empty" and aborts.
// 2. `manage_` is null if the storage may be copied byte by byte and needs no destruction.
#pragma once

#include <coppice/base/assert.hpp>
#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

namespace coppice {

namespace detail {

inline constexpr std::size_t function_room = 32;

union function_storage {
  alignas(16) std::byte inside[function_room];
  void* heap;
};

/// Moves the callable to `to`, or destroys it where `to` is null.
using function_manager = void (*)(function_storage& from, function_storage* to) noexcept;

template <class F>
inline constexpr bool lies_inside =
    sizeof(F) <= function_room && alignof(F) <= alignof(function_storage) && std::is_nothrow_move_constructible_v<F>;

template <class F>
F& callable_in(function_storage& storage) noexcept {
  if constexpr (lies_inside<F>)
    return *std::launder(reinterpret_cast<F*>(storage.inside));
  else
    return *static_cast<F*>(storage.heap);
}

template <class F>
void manage_callable(function_storage& from, function_storage* to) noexcept {
  if constexpr (lies_inside<F>) {
    F& callable = callable_in<F>(from);
    if (to) ::new (static_cast<void*>(to->inside)) F(std::move(callable));
    callable.~F();
  } else if (to) {
    to->heap = from.heap;
  } else {
    delete static_cast<F*>(from.heap);
  }
}

template <class F>
inline constexpr function_manager manager_of =
    lies_inside<F> && std::is_trivially_copyable_v<F> && std::is_trivially_destructible_v<F> ? nullptr
                                                                                             : &manage_callable<F>;

/// What every signature shares: the storage and who looks after it.
class function_base {
 protected:
  function_base() noexcept : storage_{} {}
  function_base(function_base&& other) noexcept { take(other); }
  ~function_base() {
    if (manage_) manage_(storage_, nullptr);
  }

  template <class F, class G>
  void emplace(G&& callable) {
    if constexpr (lies_inside<F>)
      ::new (static_cast<void*>(storage_.inside)) F(std::forward<G>(callable));
    else
      storage_.heap = new F(std::forward<G>(callable));
    manage_ = manager_of<F>;
  }
  void drop() noexcept {
    if (auto manage = std::exchange(manage_, nullptr)) manage(storage_, nullptr);
  }
  void take(function_base& other) noexcept {
    manage_ = std::exchange(other.manage_, nullptr);
    if (manage_)
      manage_(other.storage_, &storage_);
    else
      storage_ = other.storage_;
  }

  function_storage storage_;
  function_manager manage_ = nullptr;
};

template <class F>
constexpr bool is_null_callable(const F& callable) noexcept {
  if constexpr (std::is_pointer_v<F>)
    return callable == nullptr;
  else
    return false;
}

template <bool IsConst, class R, class... Args>
class function_of : private function_base {
  template <class F>
  using as_called = std::conditional_t<IsConst, const std::decay_t<F>&, std::decay_t<F>&>;

 public:
  function_of() noexcept = default;
  function_of(std::nullptr_t) noexcept {}
  function_of(function_of&& other) noexcept
      : function_base(std::move(other)), call_(std::exchange(other.call_, &call_empty)) {}
  template <class F>
  requires(!std::is_base_of_v<function_of, std::remove_cvref_t<F>> && std::is_invocable_r_v<R, as_called<F>, Args...> &&
           std::is_constructible_v<std::decay_t<F>, F> && !std::is_member_pointer_v<std::decay_t<F>>)
  function_of(F&& callable) {
    if (is_null_callable<std::decay_t<F>>(callable)) return;
    emplace<std::decay_t<F>>(std::forward<F>(callable));
    call_ = &call_stored<std::decay_t<F>>;
  }
  function_of& operator=(function_of&& other) noexcept {
    if (this == &other) return *this;
    drop();
    take(other);
    call_ = std::exchange(other.call_, &call_empty);
    return *this;
  }
  function_of& operator=(std::nullptr_t) noexcept {
    drop();
    call_ = &call_empty;
    return *this;
  }

  explicit operator bool() const noexcept { return call_ != &call_empty; }
  friend bool operator==(const function_of& f, std::nullptr_t) noexcept { return !f; }

  R operator()(Args... args) requires(!IsConst)
  {
    return call_(storage_, std::forward<Args>(args)...);
  }
  R operator()(Args... args) const requires IsConst
  {
    return call_(const_cast<function_storage&>(storage_), std::forward<Args>(args)...);
  }

 private:
  using caller = R (*)(function_storage&, Args&&...);

  template <class F>
  static R call_stored(function_storage& storage, Args&&... args) {
    return static_cast<R>(static_cast<as_called<F>>(callable_in<F>(storage))(std::forward<Args>(args)...));
  }
  [[noreturn]] static R call_empty(function_storage&, Args&&...) {
    assertion_failed(__FILE__, __LINE__, "function != nullptr", "a coppice::function was called while empty");
  }

  caller call_ = &call_empty;
};

}  // namespace detail

/// A move-only callable of the signature `R(Args...)` or `R(Args...) const`.
/// Fails:    a call while empty is a broken contract: the assertion handler hears of it and the program ends.
/// Thread:   as the callable inside.   Cost: one indirect call; allocates only above 32 bytes.
template <class Signature>
class function;

template <class R, class... Args>
class function<R(Args...)> : public detail::function_of<false, R, Args...> {
 public:
  using detail::function_of<false, R, Args...>::function_of;
};

template <class R, class... Args>
class function<R(Args...) const> : public detail::function_of<true, R, Args...> {
 public:
  using detail::function_of<true, R, Args...>::function_of;
};

}  // namespace coppice
