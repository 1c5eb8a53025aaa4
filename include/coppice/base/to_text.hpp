// SPDX-License-Identifier: Apache-2.0
//
// to_text: values as text for people: reports, traces, states.
//
// `text_of(x)` prints standard values, containers, enumerators by name and structs with the names of their fields:
// `ch3{idle: {1, 2}}`. A type decides for itself with `std::string to_text(const T&)` beside it (or, without a string in
// between, `void print(coppice::text_sink&, const T&)`); that wins over everything but `secret`. What cannot be printed
// shows its type: `<std::any>`; what throws while it is printed, `<printing failed>`.
//
// The sink is the compiled core: bounded in length, depth, items and the length of one string, so that printing a
// state of a million entries in a crash report costs as much as printing a small one. A sink belongs to one thread.
//
// Invariants:
// 1. No function of the sink throws or writes more than its limits allow (and the mark `…` where it cut).
// 2. The text is cut between UTF-8 characters, never inside one.
#pragma once

#include <concepts>
#include <coppice/base/fields.hpp>
#include <coppice/base/type_name.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace coppice {

template <class T>
class secret;

/// How much of a value is shown.
struct text_limits {
  std::size_t max_bytes = 4096;        ///< of the whole text
  std::size_t max_string_bytes = 256;  ///< of one string inside a struct or container
  std::size_t max_items = 32;          ///< of one container
  int max_depth = 8;                   ///< of braces in braces; at most 16
};

/// Where printed values go. Thread: one.
class text_sink {
 public:
  explicit text_sink(text_limits limits = {}) noexcept : limits_(limits) {}
  text_sink(const text_sink&) = delete;
  text_sink& operator=(const text_sink&) = delete;

  /// Appends `text` as it is.
  void put(std::string_view text) noexcept;
  /// Appends `text` as it is, or between quotes and with control characters escaped when inside braces.
  void put_string(std::string_view text) noexcept;
  void put_character(char c) noexcept;
  void put_integer(std::int64_t value) noexcept;
  void put_integer(std::uint64_t value) noexcept;
  void put_float(double value) noexcept;
  void put_pointer(const void* pointer) noexcept;
  /// "1.2 ms", "4.9 s", "4 min": the largest unit that fits, at most three decimals; "infinity".
  void put_duration(std::int64_t nanoseconds) noexcept;
  /// The enumerator's name out of the compiler's list, else `type(value)`.
  void put_enumerator(std::string_view signature, std::string_view type, std::int64_t value) noexcept;

  /// Appends `name{`. Returns: false if that is too deep: then `name{…}` stands there and no `close` may follow.
  bool open(std::string_view name = {}) noexcept;
  /// Announces the next thing between the braces; its name may be empty.
  /// Returns:  false if no more are wanted: `…` stands there, only `close` may follow.
  bool item(std::string_view name = {}) noexcept;
  void close() noexcept;

  /// Calls `print(*this, object)`; where that throws, `<printing failed>` stands there and all braces are closed.
  void guarded(const void* object, void (*print)(text_sink&, const void*)) noexcept;

  bool full() const noexcept { return full_; }
  std::string_view view() const noexcept { return text_; }
  std::string take() noexcept { return std::move(text_); }

 private:
  void append(std::string_view text) noexcept;

  std::string text_{};
  text_limits limits_;
  static constexpr int max_nesting = 16;
  std::size_t items_[max_nesting]{};  // so far, between each pair of open braces
  int depth_ = 0;
  bool full_ = false;
};

/// Prints `value` into `out`.
/// Fails:    never.
/// Thread:   that of `out`; `value` must not change meanwhile.
template <class T>
void print(text_sink& out, const T& value) noexcept;

/// The text of `value`.
/// Returns:  at most `limits.max_bytes` bytes, and `…` where something was left out.
/// Fails:    never; what throws while printing shows as `<printing failed>`.
template <class T>
std::string text_of(const T& value, text_limits limits = {}) noexcept {
  text_sink out(limits);
  print(out, value);
  return out.take();
}

/// A duration as reports show it: "1.2 ms", "4.9 s", "4 min". For std::chrono types, `text_of` does the same.
std::string duration_text(std::int64_t nanoseconds) noexcept;

namespace detail {

template <class T>
inline constexpr bool is_secret = false;
template <class T>
inline constexpr bool is_secret<secret<T>> = true;

/// T has a to_text of its own, found by argument-dependent look-up.
template <class T>
concept says_its_text = requires(const T& value) {
  { to_text(value) } -> std::convertible_to<std::string_view>;
};

template <class T>
concept like_text = std::convertible_to<const T&, std::string_view>;

template <class T>
concept like_duration = requires(const T& value) {
  value.count();
  { T::period::num } -> std::convertible_to<std::int64_t>;
  { T::period::den } -> std::convertible_to<std::int64_t>;
  requires std::is_arithmetic_v<typename T::rep>;
};

template <class T>
concept like_optional = requires(const T& value) {
  { value.has_value() } -> std::same_as<bool>;
  *value;
  typename T::value_type;
};

template <class T>
concept like_smart_pointer = requires(const T& value) {
  { value.get() } -> std::convertible_to<const void*>;
  value.operator->();
};

template <class T>
concept like_variant = requires(const T& value) {
  { value.valueless_by_exception() } -> std::same_as<bool>;
  value.index();
};

/// Not a range of itself, as a path is.
template <class T>
concept like_range = requires(const T& value) {
  value.begin() != value.end();
  requires !std::same_as<std::remove_cvref_t<decltype(*value.begin())>, T>;
};

template <class T>
concept like_map = like_range<T> && requires { typename T::mapped_type; };

template <class T>
concept like_tuple = requires { std::tuple_size<T>::value; } && !like_range<T>;

template <class T>
concept like_exception = requires(const T& value) {
  { value.what() } -> std::convertible_to<const char*>;
};

/// Nanoseconds in a duration of any unit; saturates.
template <class D>
std::int64_t nanoseconds_in(const D& value) noexcept {
  constexpr long double unit =
      1e9L * static_cast<long double>(D::period::num) / static_cast<long double>(D::period::den);
  if constexpr (std::is_integral_v<typename D::rep> && D::period::num == 1 && D::period::den == 1'000'000'000) {
    return static_cast<std::int64_t>(value.count());
  } else {
    const long double exact = static_cast<long double>(value.count()) * unit;
    if (exact >= 9.223372036854775e18L) return INT64_MAX;
    if (exact <= -9.223372036854775e18L) return INT64_MIN;
    return static_cast<std::int64_t>(exact);
  }
}

// An unscoped enumeration has fewer values than are asked for: g++ and clang up to 19 only warn of that, later ones refuse
// as `values_of_enumeration` wants it.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#if defined(__clang__)
#if __has_warning("-Wenum-constexpr-conversion")
#pragma clang diagnostic ignored "-Wenum-constexpr-conversion"
#endif
#endif

template <class E, E... Values>
constexpr auto signature_of_enumerators() noexcept {
  return std::string_view(__PRETTY_FUNCTION__, sizeof(__PRETTY_FUNCTION__) - 1);
}

/// The largest n up to 64 of which 0 … n-1 are certainly values of E; an unscoped enumeration without a fixed type has
/// no more than its enumerators need.
template <class E, int Bits = 6>
consteval int values_of_enumeration() {
  constexpr auto last = (1 << Bits) - 1;
  if constexpr (Bits == 0)
    return 1;
  else if constexpr (std::is_same_v<std::underlying_type_t<E>, bool>)
    return 2;
  else if constexpr (requires { typename std::integral_constant<E, static_cast<E>(last)>; })
    return last + 1;
  else
    return values_of_enumeration<E, Bits - 1>();
}

template <class E, std::size_t... I>
constexpr std::string_view list_enumerators(std::index_sequence<I...>) noexcept {
  return signature_of_enumerators<E, static_cast<E>(I)...>();
}

#pragma GCC diagnostic pop

template <class T>
void print_object(text_sink& out, const void* object);

/// The public template may be beaten by an overload for T, which argument-dependent look-up finds through the sink.
template <class T>
void print_item(text_sink& out, std::string_view name, const T& value) {
  if (out.item(name)) print(out, value);
}

template <class T>
void print_range(text_sink& out, const T& range) {
  if (!out.open()) return;
  for (auto at = range.begin(); at != range.end(); ++at) {
    if (!out.item()) break;
    auto&& element = *at;
    if constexpr (like_map<T>) {
      print(out, element.first);
      out.put(": ");
      print(out, element.second);
    } else {
      print(out, static_cast<const std::remove_cvref_t<decltype(element)>&>(element));
    }
  }
  out.close();
}

template <class T>
void print_fields(text_sink& out, std::string_view name, std::string_view field_names, const T& tied_or_struct) {
  if (!out.open(name)) return;
  auto next_name = [&] {
    std::string_view next = field_names.substr(0, field_names.find(','));
    field_names.remove_prefix(field_names.empty() ? 0 : next.size() + 1);
    return next;
  };
  auto each = [&](const auto&... field) { (print_item(out, next_name(), field), ...); };
  if constexpr (like_tuple<T>)
    bind_fields<std::tuple_size_v<T>>(tied_or_struct, each);
  else
    visit_fields(tied_or_struct, each);
  out.close();
}

/// Prints a class or union; may throw whatever T's own functions throw.
template <class T>
void print_class(text_sink& out, const T& value) {
  if constexpr (like_text<T>) {
    out.put_string(value);
  } else if constexpr (like_duration<T>) {
    out.put_duration(nanoseconds_in(value));
  } else if constexpr (like_variant<T>) {
    if (value.valueless_by_exception())
      out.put("<valueless>");
    else
      visit([&](const auto& alternative) { print(out, alternative); }, value);
  } else if constexpr (like_optional<T>) {
    if (value.has_value()) {
      if constexpr (std::is_void_v<typename T::value_type>)
        out.put("done");
      else
        print(out, *value);
    } else if constexpr (requires { value.error(); })
      print(out, value.error());
    else
      out.put("none");
  } else if constexpr (like_smart_pointer<T>) {
    out.put_pointer(value.get());
  } else if constexpr (has_fields_member<T>) {
    print_fields(out, short_type_name<T>(), {}, value);
  } else if constexpr (like_range<T>) {
    print_range(out, value);
  } else if constexpr (like_tuple<T>) {
    print_fields(out, {}, {}, value);
  } else if constexpr (like_exception<T>) {
    out.put(short_type_name<T>());
    out.put(": ");
    out.put(value.what());
  } else if constexpr (reflectable<T>) {
    print_fields(out, short_type_name<T>(), field_names<T>(), value);
  } else {
    out.put("<");
    out.put(type_name<T>());
    out.put(">");
  }
}

template <class T>
void print_object(text_sink& out, const void* object) {
  const T& value = *static_cast<const T*>(object);
  if constexpr (says_its_text<T>)
    out.put(std::string_view(to_text(value)));
  else
    print_class(out, value);
}

template <class T>
void print_scalar(text_sink& out, T value) noexcept {
  if constexpr (std::is_same_v<T, bool>) {
    out.put(value ? "true" : "false");
  } else if constexpr (std::is_same_v<T, char>) {
    out.put_character(value);
  } else if constexpr (std::is_floating_point_v<T>) {
    out.put_float(static_cast<double>(value));
  } else if constexpr (std::is_integral_v<T> && std::is_signed_v<T>) {
    out.put_integer(static_cast<std::int64_t>(value));
  } else if constexpr (std::is_integral_v<T>) {
    out.put_integer(static_cast<std::uint64_t>(value));
  } else if constexpr (std::is_enum_v<T>) {
    out.put_enumerator(list_enumerators<T>(std::make_index_sequence<values_of_enumeration<T>()>()),
                       short_type_name<T>(), static_cast<std::int64_t>(value));
  } else if constexpr (std::is_same_v<T, const char*> || std::is_same_v<T, char*>) {
    if (value)
      out.put_string(value);
    else
      out.put("null");
  } else if constexpr (std::is_null_pointer_v<T>) {
    out.put("null");
  } else if constexpr (std::is_pointer_v<T>) {
    out.put(value ? "<ptr>" : "null");
  } else {
    out.put("<");
    out.put(type_name<T>());
    out.put(">");
  }
}

/// What stands in an array of characters up to the first zero, if there is one.
template <std::size_t Size>
constexpr std::string_view text_in_array(const char (&array)[Size]) noexcept {
  const std::string_view all(array, Size);
  return all.substr(0, all.find('\0'));
}

/// A C array, which has no `begin()`.
template <class T>
struct array_view {
  const T* first;
  std::size_t size;
  const T* begin() const noexcept { return first; }
  const T* end() const noexcept { return first + size; }
};

}  // namespace detail

template <class T>
void print(text_sink& out, const T& value) noexcept {
  using bare = std::remove_cv_t<T>;
  if constexpr (detail::is_secret<bare>)
    out.put("***");
  else if constexpr (std::is_array_v<T> && std::is_same_v<std::remove_cv_t<std::remove_extent_t<T>>, char>)
    out.put_string(detail::text_in_array(value));
  else if constexpr (std::is_array_v<T>)
    detail::print_range(out, detail::array_view<std::remove_extent_t<T>>{value, std::extent_v<T>});
  else if constexpr (std::is_class_v<T> || std::is_union_v<T> || (std::is_enum_v<T> && detail::says_its_text<bare>))
    out.guarded(const_cast<const bare*>(__builtin_addressof(value)), &detail::print_object<bare>);
  else
    detail::print_scalar<bare>(out, value);
}

}  // namespace coppice
