// SPDX-License-Identifier: Apache-2.0
//
// result: a value or a typed error; what every `try_` function returns.
//
// It is a std::expected whose `value()` throws the error itself, so that an unchecked failure reads "timeout after 5 s: …"
// instead of "bad expected access", and which has and_then, transform, or_else and transform_error (libstdc++ 12 lacks
// them). A value like any other: as thread-safe as T and E.
#pragma once

#include <concepts>
#include <expected>
#include <type_traits>
#include <utility>

namespace coppice {

template <class T, class E>
class result;

/// Makes a failed result: `return error(call_error(…));`
template <class E>
constexpr std::unexpected<std::decay_t<E>> error(E&& why) {
  return std::unexpected<std::decay_t<E>>(std::forward<E>(why));
}

namespace detail {

template <class T>
inline constexpr bool is_unexpected = false;
template <class E>
inline constexpr bool is_unexpected<std::unexpected<E>> = true;

/// U may become the value of an expected: it is not one of the things that have their own constructors.
template <class U, class Expected>
concept plain_value =
    !std::is_base_of_v<Expected, std::remove_cvref_t<U>> && !is_unexpected<std::remove_cvref_t<U>> &&
    !std::same_as<std::remove_cvref_t<U>, std::in_place_t> && !std::same_as<std::remove_cvref_t<U>, std::unexpect_t>;

/// Calls `f` with the value of `self`, or with nothing where the value is void.
template <class Self, class F>
constexpr decltype(auto) call_with_value(Self&& self, F&& f) {
  if constexpr (std::is_void_v<typename std::remove_cvref_t<Self>::value_type>)
    return std::forward<F>(f)();
  else
    return std::forward<F>(f)(*std::forward<Self>(self));
}

template <class Self, class F>
constexpr auto result_and_then(Self&& self, F&& f) {
  using next = std::remove_cvref_t<decltype(call_with_value(std::forward<Self>(self), std::forward<F>(f)))>;
  if (self.has_value()) return next(call_with_value(std::forward<Self>(self), std::forward<F>(f)));
  return next(std::unexpect, std::forward<Self>(self).error());
}

template <class Self, class F>
constexpr auto result_transform(Self&& self, F&& f) {
  using value = std::remove_cvref_t<decltype(call_with_value(std::forward<Self>(self), std::forward<F>(f)))>;
  using next = result<value, typename std::remove_cvref_t<Self>::error_type>;
  if (!self.has_value()) return next(std::unexpect, std::forward<Self>(self).error());
  if constexpr (std::is_void_v<value>) {
    call_with_value(std::forward<Self>(self), std::forward<F>(f));
    return next();
  } else {
    return next(std::in_place, call_with_value(std::forward<Self>(self), std::forward<F>(f)));
  }
}

template <class Self, class F>
constexpr auto result_or_else(Self&& self, F&& f) {
  using next = std::remove_cvref_t<decltype(std::forward<F>(f)(std::forward<Self>(self).error()))>;
  if (!self.has_value()) return next(std::forward<F>(f)(std::forward<Self>(self).error()));
  if constexpr (std::is_void_v<typename std::remove_cvref_t<Self>::value_type>)
    return next();
  else
    return next(std::in_place, *std::forward<Self>(self));
}

template <class Self, class F>
constexpr auto result_transform_error(Self&& self, F&& f) {
  using failure = std::remove_cvref_t<decltype(std::forward<F>(f)(std::forward<Self>(self).error()))>;
  using next = result<typename std::remove_cvref_t<Self>::value_type, failure>;
  if (!self.has_value()) return next(std::unexpect, std::forward<F>(f)(std::forward<Self>(self).error()));
  if constexpr (std::is_void_v<typename next::value_type>)
    return next();
  else
    return next(std::in_place, *std::forward<Self>(self));
}

}  // namespace detail

/// A T, or the E that says why there is none.
/// Fails:    `value()` throws the E where there is no T; `*r` must not be read then.
/// Thread:   as T and E.   Cost: as std::expected.
template <class T, class E>
class [[nodiscard]] result : public std::expected<T, E> {
  using base = std::expected<T, E>;

 public:
  using value_type = T;
  using error_type = E;

  constexpr result() requires std::default_initializable<T>
  = default;
  template <class U = T>
  requires(detail::plain_value<U, base> && std::constructible_from<T, U>)
  constexpr explicit(!std::convertible_to<U, T>) result(U&& value) : base(std::in_place, std::forward<U>(value)) {}
  template <class G>
  requires std::constructible_from<E, const G&>
  constexpr explicit(!std::convertible_to<const G&, E>) result(const std::unexpected<G>& why)
      : base(std::unexpect, why.error()) {}
  template <class G>
  requires std::constructible_from<E, G>
  constexpr explicit(!std::convertible_to<G, E>) result(std::unexpected<G>&& why)
      : base(std::unexpect, std::move(why.error())) {}
  template <class... Args>
  requires std::constructible_from<T, Args...>
  constexpr explicit result(std::in_place_t, Args&&... args) : base(std::in_place, std::forward<Args>(args)...) {}
  template <class... Args>
  requires std::constructible_from<E, Args...>
  constexpr explicit result(std::unexpect_t, Args&&... args) : base(std::unexpect, std::forward<Args>(args)...) {}
  constexpr result(const base& other) : base(other) {}
  constexpr result(base&& other) noexcept(std::is_nothrow_move_constructible_v<base>) : base(std::move(other)) {}

  constexpr const T& value() const& { return check(), **this; }
  constexpr T& value() & { return check(), **this; }
  constexpr T&& value() && {
    if (!this->has_value()) throw std::move(this->error());
    return std::move(**this);
  }

  /// `f(value)`, itself a result; an error passes by.
  template <class F> constexpr auto and_then(F&& f) const& {
    return detail::result_and_then(*this, std::forward<F>(f));
  }
  template <class F> constexpr auto and_then(F&& f) && {
    return detail::result_and_then(std::move(*this), std::forward<F>(f));
  }
  /// The result of `f(value)`; an error passes by.
  template <class F> constexpr auto transform(F&& f) const& {
    return detail::result_transform(*this, std::forward<F>(f));
  }
  template <class F> constexpr auto transform(F&& f) && {
    return detail::result_transform(std::move(*this), std::forward<F>(f));
  }
  /// `f(error)`, itself a result; a value passes by.
  template <class F> constexpr auto or_else(F&& f) const& { return detail::result_or_else(*this, std::forward<F>(f)); }
  template <class F> constexpr auto or_else(F&& f) && {
    return detail::result_or_else(std::move(*this), std::forward<F>(f));
  }
  /// The same value, or the error `f(error)`.
  template <class F> constexpr auto transform_error(F&& f) const& {
    return detail::result_transform_error(*this, std::forward<F>(f));
  }
  template <class F> constexpr auto transform_error(F&& f) && {
    return detail::result_transform_error(std::move(*this), std::forward<F>(f));
  }

  // Of its own: std::expected's comparison with a value takes a result for a value.
  template <std::same_as<result> Same>
  friend constexpr bool operator==(const result& a, const Same& b) {
    return static_cast<const base&>(a) == static_cast<const base&>(b);
  }
  template <class G>
  friend constexpr bool operator==(const result& a, const std::unexpected<G>& why) {
    return !a.has_value() && a.error() == why.error();
  }
  template <class U>
  requires(detail::plain_value<U, base> && std::convertible_to<const U&, T>)
  friend constexpr bool operator==(const result& a, const U& value) {
    return a.has_value() && *a == value;
  }

 private:
  constexpr void check() const {
    if (!this->has_value()) throw this->error();
  }
};

/// Success, or the E that says why not.
template <class E>
class [[nodiscard]] result<void, E> : public std::expected<void, E> {
  using base = std::expected<void, E>;

 public:
  using value_type = void;
  using error_type = E;

  constexpr result() noexcept = default;
  constexpr explicit result(std::in_place_t) noexcept {}
  template <class G>
  requires std::constructible_from<E, const G&>
  constexpr explicit(!std::convertible_to<const G&, E>) result(const std::unexpected<G>& why)
      : base(std::unexpect, why.error()) {}
  template <class G>
  requires std::constructible_from<E, G>
  constexpr explicit(!std::convertible_to<G, E>) result(std::unexpected<G>&& why)
      : base(std::unexpect, std::move(why.error())) {}
  template <class... Args>
  requires std::constructible_from<E, Args...>
  constexpr explicit result(std::unexpect_t, Args&&... args) : base(std::unexpect, std::forward<Args>(args)...) {}
  constexpr result(const base& other) : base(other) {}
  constexpr result(base&& other) noexcept(std::is_nothrow_move_constructible_v<base>) : base(std::move(other)) {}

  constexpr void value() const& {
    if (!this->has_value()) throw this->error();
  }
  constexpr void value() && {
    if (!this->has_value()) throw std::move(this->error());
  }

  template <class F> constexpr auto and_then(F&& f) const& {
    return detail::result_and_then(*this, std::forward<F>(f));
  }
  template <class F> constexpr auto and_then(F&& f) && {
    return detail::result_and_then(std::move(*this), std::forward<F>(f));
  }
  template <class F> constexpr auto transform(F&& f) const& {
    return detail::result_transform(*this, std::forward<F>(f));
  }
  template <class F> constexpr auto transform(F&& f) && {
    return detail::result_transform(std::move(*this), std::forward<F>(f));
  }
  template <class F> constexpr auto or_else(F&& f) const& { return detail::result_or_else(*this, std::forward<F>(f)); }
  template <class F> constexpr auto or_else(F&& f) && {
    return detail::result_or_else(std::move(*this), std::forward<F>(f));
  }
  template <class F> constexpr auto transform_error(F&& f) const& {
    return detail::result_transform_error(*this, std::forward<F>(f));
  }
  template <class F> constexpr auto transform_error(F&& f) && {
    return detail::result_transform_error(std::move(*this), std::forward<F>(f));
  }

  // Of its own: std::expected's comparison with a value takes a result for a value.
  template <std::same_as<result> Same>
  friend constexpr bool operator==(const result& a, const Same& b) {
    return static_cast<const base&>(a) == static_cast<const base&>(b);
  }
  template <class G>
  friend constexpr bool operator==(const result& a, const std::unexpected<G>& why) {
    return !a.has_value() && a.error() == why.error();
  }
};

}  // namespace coppice
