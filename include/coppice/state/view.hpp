// SPDX-License-Identifier: Apache-2.0
//
// view, snapshot: how one looks at the value of an atom, a ref or an agent without copying it.
//
//     auto v = *a;                     // a view: the value as it is now, however often it is replaced meanwhile
//     use(v->size(), *v);
//     snapshot<text> s = v.keep();     // may go anywhere, and be kept for as long as one likes
//
// A view stands on the stack and is valid in its scope; it costs no count. While a thread computes inside a view's scope nothing
// that is replaced meanwhile is freed; a process that waits in it holds back only this one value.
#pragma once

#include <coppice/base/to_text.hpp>
#include <coppice/runtime/detail/epoch.hpp>

#include <concepts>
#include <cstring>
#include <type_traits>
#include <utility>

namespace coppice {

namespace detail {

/// Types whose bits are their value, at most 8 bytes: they live in one atomic word.
template <class T>
concept word_value = std::is_trivially_copyable_v<T> && sizeof(T) <= 8 &&
                     (std::has_unique_object_representations_v<T> || std::is_floating_point_v<T>);

template <class T>
std::uint64_t to_word(const T& value) noexcept {
  std::uint64_t word = 0;
  std::memcpy(&word, &value, sizeof(T));
  return word;
}
template <class T>
T from_word(std::uint64_t word) noexcept {
  alignas(T) unsigned char bytes[sizeof(T)];
  std::memcpy(bytes, &word, sizeof(T));
  return *std::launder(reinterpret_cast<T*>(bytes));
}

struct made_by {};

}  // namespace detail

/// A value that somebody holds on to.   Thread: any; copies share it.   Cost: a locked instruction for each copy made or dropped.
template <class T>
class snapshot {
 public:
  snapshot() noexcept = default;
  snapshot(const snapshot& other) noexcept : box_(other.box_), value_(other.value_) {
    if (box_ != nullptr) box_->holders.fetch_add(1, detail::sync::relaxed);
  }
  snapshot(snapshot&& other) noexcept : box_(std::exchange(other.box_, nullptr)), value_(std::exchange(other.value_, nullptr)) {}
  snapshot& operator=(snapshot other) noexcept {
    std::swap(box_, other.box_);
    std::swap(value_, other.value_);
    return *this;
  }
  ~snapshot() {
    if (box_ != nullptr) detail::drop_holder(box_);
  }

  explicit operator bool() const noexcept { return value_ != nullptr; }
  const T& operator*() const noexcept { return *value_; }
  const T* operator->() const noexcept { return value_; }
  operator const T&() const noexcept { return *value_; }

  friend bool operator==(const snapshot& a, const T& b) requires std::equality_comparable<T> { return *a == b; }
  friend bool operator==(const snapshot& a, const snapshot& b) requires std::equality_comparable<T> { return *a == *b; }
  friend void print(text_sink& out, const snapshot& s) { coppice::print(out, *s); }

  /// From a box whose holder it becomes. For the library.
  snapshot(detail::made_by, detail::box* held, const T* value) noexcept : box_(held), value_(value) {}
  detail::box* identity() const noexcept { return box_; }

 private:
  detail::box* box_ = nullptr;
  const T* value_ = nullptr;
};

/// A value as it was when it was looked at.   Thread: the one, or the process, on whose stack it stands.
/// Cost: 1 ns; no count, no lock. Spec: AT-1, RF-1, AG-3.
template <class T>
class view {
 public:
  view(const view&) = delete;
  view& operator=(const view&) = delete;

  const T& operator*() const noexcept { return *value_; }
  const T* operator->() const noexcept { return value_; }
  const T& get() const noexcept { return *value_; }
  operator const T&() const noexcept { return *value_; }

  /// The same value as a handle that may leave the scope.   Cost: a locked instruction.
  snapshot<T> keep() const noexcept {
    guard_.kept()->holders.fetch_add(1, detail::sync::relaxed);
    return {detail::made_by{}, guard_.kept(), value_};
  }

  friend bool operator==(const view& a, const T& b) requires std::equality_comparable<T> { return *a == b; }
  friend bool operator==(const view& a, const view& b) requires std::equality_comparable<T> { return *a == *b; }
  friend void print(text_sink& out, const view& v) { coppice::print(out, *v); }

  /// `make(guard)` loads or makes the value and leaves its box with the guard. For the library.
  template <class Make>
  view(detail::made_by, Make&& make) : value_(static_cast<Make&&>(make)(guard_)) {}
  detail::box* identity() const noexcept { return guard_.kept(); }

 private:
  detail::guard guard_;
  const T* value_;
};

/// What a look at a T gives: the value itself if it is a word, else a view.
template <class T>
using look = std::conditional_t<detail::word_value<T>, T, view<T>>;

namespace detail {
template <class T>
struct kept_as {
  using type = std::conditional_t<word_value<T>, T, snapshot<T>>;
};
template <>
struct kept_as<void> {
  using type = void;
};
}  // namespace detail

/// What one keeps of a T: the value itself if it is a word, else a snapshot.
template <class T>
using kept = typename detail::kept_as<T>::type;

}  // namespace coppice
