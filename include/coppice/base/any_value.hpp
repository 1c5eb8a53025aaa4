// SPDX-License-Identifier: Apache-2.0
//
// any_value: a value of any type that can be copied, held by value: compared, printed and asked for by its type. What a core
// keeps of a user's arguments without knowing them.
//
// Two values are equal if their types are and their contents: by `==` where the type has one that compiles, else element by
// element, else field by field. A type that offers none of these equals only itself, at the same address.
//
// Text that is only borrowed (a string_view, a C string) is copied with the value. As thread-safe as the value inside.
#pragma once

#include <coppice/base/to_text.hpp>
#include <coppice/base/type_name.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

namespace coppice {

namespace detail {

template <class T>
bool values_equal(const T& a, const T& b);

template <class T>
concept like_pair = requires { typename T::first_type; typename T::second_type; };
template <class T>
concept hashed = requires { typename T::hasher; };

template <class T>
bool ranges_equal(const T& a, const T& b) {
  auto i = a.begin();
  auto j = b.begin();
  for (; i != a.end() && j != b.end(); ++i, ++j)
    if (!values_equal(static_cast<const std::remove_cvref_t<decltype(*i)>&>(*i), static_cast<const std::remove_cvref_t<decltype(*j)>&>(*j)))
      return false;
  return i == a.end() && j == b.end();
}

template <class T>
bool fields_equal(const T& a, const T& b) {
  return visit_fields(a, [&](const auto&... x) { return visit_fields(b, [&](const auto&... y) { return (values_equal(x, y) && ...); }); });
}

template <class T>
bool values_equal(const T& a, const T& b) {
  if constexpr (std::is_same_v<T, const char*> || std::is_same_v<T, char*>) {
    return a == b || (a != nullptr && b != nullptr && std::string_view(a) == std::string_view(b));
  } else if constexpr (std::is_array_v<T>) {
    for (std::size_t i = 0; i < std::extent_v<T>; ++i)
      if (!values_equal(a[i], b[i])) return false;
    return true;
  } else if constexpr (std::is_class_v<T> && like_range<T> && !like_text<T> && !hashed<T>) {
    return ranges_equal(a, b);                       // a container claims to have == whatever its elements are
  } else if constexpr (like_pair<T>) {
    return values_equal(a.first, b.first) && values_equal(a.second, b.second);
  } else if constexpr (like_tuple<T> && !has_fields_member<T>) {
    return std::apply([&](const auto&... x) { return std::apply([&](const auto&... y) { return (values_equal(x, y) && ...); }, b); }, a);
  } else if constexpr (std::is_class_v<T> && like_optional<T> && !requires { &a.error; }) {
    return a.has_value() == b.has_value() && (!a.has_value() || values_equal(*a, *b));
  } else if constexpr (requires { { a == b } -> std::convertible_to<bool>; }) {
    return a == b;
  } else if constexpr (reflectable<T>) {
    return fields_equal(a, b);
  } else {
    return &a == &b;
  }
}

/// What a core may do with a value whose type it does not know. One constant per type.
struct value_operations {
  std::uint64_t key;                                   // hash of the type's name
  std::string_view type;                               // its short name
  std::size_t size;
  std::size_t align;
  void* (*copy)(const void* value);                    // on the heap; borrowed text with it
  void (*release)(void* copied) noexcept;              // of what copy made
  void (*copy_to)(void* place, const void* value);     // null: an array
  void (*destroy)(void* value) noexcept;               // of what copy_to made
  bool (*equal)(const void* a, const void* b);
  void (*print)(text_sink& out, const void* value);
};


template <class T>
inline constexpr bool is_borrowed_text = std::is_same_v<T, std::string_view> || std::is_same_v<T, const char*> || std::is_same_v<T, char*>;

template <class T>
struct value_of {
  static void* copy(const void* value) {
    if constexpr (is_borrowed_text<T>) {
      const std::string_view text(*static_cast<const T*>(value));
      auto* made = static_cast<char*>(::operator new(sizeof(T) + text.size() + 1));
      char* bytes = made + sizeof(T);
      text.copy(bytes, text.size());
      bytes[text.size()] = '\0';
      if constexpr (std::is_same_v<T, std::string_view>) ::new (made) T(bytes, text.size());
      else ::new (made) T(bytes);
      return made;
    } else if constexpr (std::is_array_v<T>) {
      static_assert(std::is_trivially_copyable_v<T>, "coppice: an array that is kept as a value must be of trivially copyable elements.");
      void* made = ::operator new(sizeof(T));
      __builtin_memcpy(made, value, sizeof(T));
      return made;
    } else {
      return new T(*static_cast<const T*>(value));
    }
  }
  static void release(void* copied) noexcept {
    if constexpr (is_borrowed_text<T> || std::is_array_v<T>) ::operator delete(copied);
    else delete static_cast<T*>(copied);
  }
  static void copy_to(void* place, const void* value) {
    if constexpr (!std::is_array_v<T>) ::new (place) T(*static_cast<const T*>(value));
  }
  static void destroy(void* value) noexcept {
    if constexpr (!std::is_array_v<T>) static_cast<T*>(value)->~T();
  }
  static bool equal(const void* a, const void* b) { return values_equal(*static_cast<const T*>(a), *static_cast<const T*>(b)); }
  static void print(text_sink& out, const void* value) {
    if constexpr (std::is_array_v<T> && std::is_same_v<std::remove_extent_t<T>, char>) out.put_string(static_cast<const char*>(value));
    else coppice::print(out, *static_cast<const T*>(value));
  }
};

template <class T>
inline constexpr value_operations value_constant{
    .key = type_hash<T>(),
    .type = short_type_name<T>(),
    .size = sizeof(T),
    .align = alignof(T),
    .copy = &value_of<T>::copy,
    .release = &value_of<T>::release,
    .copy_to = std::is_array_v<T> ? nullptr : &value_of<T>::copy_to,
    .destroy = &value_of<T>::destroy,
    .equal = &value_of<T>::equal,
    .print = &value_of<T>::print,
};

}  // namespace detail

/// A value of some type, or nothing.
/// Thread: as the value inside.   Cost: one allocation for each copy; moving takes none.
class any_value {
 public:
  any_value() noexcept = default;
  template <class T>
    requires(!std::same_as<std::remove_cvref_t<T>, any_value> && std::copy_constructible<std::decay_t<T>>)
  explicit any_value(T&& value) : is_(&detail::value_constant<std::decay_t<T>>) {
    if constexpr (detail::is_borrowed_text<std::decay_t<T>>) {
      const std::decay_t<T> borrowed = value;
      value_ = is_->copy(&borrowed);
    } else {
      value_ = new std::decay_t<T>(std::forward<T>(value));
    }
  }
  any_value(const any_value& other) : is_(other.is_), value_(other.is_ != nullptr ? other.is_->copy(other.value_) : nullptr) {}
  any_value(any_value&& other) noexcept : is_(std::exchange(other.is_, nullptr)), value_(std::exchange(other.value_, nullptr)) {}
  any_value& operator=(any_value other) noexcept {
    std::swap(is_, other.is_);
    std::swap(value_, other.value_);
    return *this;
  }
  ~any_value() {
    if (is_ != nullptr) is_->release(value_);
  }

  explicit operator bool() const noexcept { return is_ != nullptr; }
  /// The value if it is a T, else null.
  template <class T>
  const T* as() const noexcept { return is_ != nullptr && is_->key == type_hash<T>() ? static_cast<const T*>(value_) : nullptr; }
  /// The short name of its type; empty for nothing.
  std::string_view type() const noexcept { return is_ != nullptr ? is_->type : std::string_view(); }

  friend bool operator==(const any_value& a, const any_value& b) {
    if (a.is_ == nullptr || b.is_ == nullptr) return a.is_ == b.is_;
    return a.is_->key == b.is_->key && a.is_->equal(a.value_, b.value_);
  }

  /// For the library: a copy of what is described, and the parts.
  any_value(const detail::value_operations& is, const void* value) : is_(&is), value_(is.copy(value)) {}
  const detail::value_operations* operations() const noexcept { return is_; }
  const void* address() const noexcept { return value_; }
  void* address() noexcept { return value_; }

 private:
  const detail::value_operations* is_ = nullptr;
  void* value_ = nullptr;
};

inline void print(text_sink& out, const any_value& v) {
  if (v) v.operations()->print(out, v.address());
  else out.put("none");
}

}  // namespace coppice
