// SPDX-License-Identifier: Apache-2.0
//
// fields: the fields of a struct, their names and a hash of its layout, without macros.
//
// A struct takes part if it is an aggregate without base classes and of at most 32 fields, or if it has a member
// `auto fields() const { return std::tie(a, b); }`, which wins. Fields are counted by trying brace initialisers, bound by
// structured bindings, and named by what the compiler prints for pointers to them. Fields reached through `fields()`,
// bit-fields and references have no names. An anonymous union or struct inside cannot be bound by the language: give such
// a type `fields()`. Compile time only; as thread-safe as reading the object.
#pragma once

#include <coppice/base/hash.hpp>
#include <coppice/base/type_name.hpp>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>

namespace coppice {

inline constexpr std::size_t max_fields = 32;

namespace detail {

// --- Counting --------------------------------------------------------------------------------------------------------

/// Becomes whatever a field wants. Itself it can be neither copied nor moved, else std::any would store it instead of
/// asking it for an any.
struct by_value {
  by_value(const by_value&) = delete;
  template <class T> operator T() const;
};
/// The same for structs with references inside; fields that cannot be moved want the one above.
struct by_reference {
  by_reference(const by_reference&) = delete;
  template <class T> operator T&() const&;
  template <class T> operator T&&() const&&;
};
/// What stands in braces of its own: as the two above, but never something that cannot be copied. A container of such things
/// would be offered an initializer list of them, and clang then instantiates the constructor, which copies.
struct braced_value;
struct braced_reference;
template <class T>
concept goes_into_braces = !std::is_class_v<T> || (!std::is_same_v<T, braced_value> && !std::is_same_v<T, braced_reference> &&
                                                   std::is_copy_constructible_v<T>);
struct braced_value {
  braced_value(const braced_value&) = delete;
  template <goes_into_braces T> operator T() const;
};
struct braced_reference {
  braced_reference(const braced_reference&) = delete;
  template <goes_into_braces T> operator T&() const&;
  template <goes_into_braces T> operator T&&() const&&;
};
template <class Init>
using in_braces = std::conditional_t<std::is_same_v<Init, by_value>, braced_value, braced_reference>;

/// Becomes a base class of T only; where there is no T, nothing at all.
template <class T>
struct as_base {
  as_base(const as_base&) = delete;
  template <class B>
  requires(std::is_base_of_v<B, T> && !std::is_same_v<B, T>)
  operator B&&() const&&;
};

template <class Init>
Init anything(std::size_t = 0);

template <class T, class Init, std::size_t... I>
consteval bool takes(std::index_sequence<I...>) {
  return requires { T{anything<Init>(I)...}; };
}
/// T takes `sizeof...(I)` initialisers, then one in braces of its own, then `sizeof...(J)` more.
template <class T, class Init, std::size_t... I, std::size_t... J>
consteval bool takes_braced(std::index_sequence<I...>, std::index_sequence<J...>) {
  return requires { T{anything<Init>(I)..., {anything<in_braces<Init>>()}, anything<Init>(J)...}; };
}
/// The first of T's parts is a base class. A field that would take just anything is none.
template <class T, class Init, std::size_t... I>
consteval bool begins_with_base(std::index_sequence<I...>) {
  return requires { T{anything<as_base<T>>(), anything<Init>(I)...}; } &&
         !requires { T{anything<as_base<void>>(), anything<Init>(I)...}; };
}

inline constexpr std::size_t not_countable = static_cast<std::size_t>(-1);

/// The most initialisers that T takes, from `Count` upwards; they are valid without a gap once they begin to be.
template <class T, class Init, std::size_t Count, bool Found = false>
consteval std::size_t count_initialisers() {
  if constexpr (Count > max_fields * 4)  // more: only an array inside, whose elements count one by one, can do that
    return not_countable;
  else if constexpr (takes<T, Init>(std::make_index_sequence<Count>()))
    return count_initialisers<T, Init, Count + 1, true>();
  else if constexpr (Found)
    return Count - 1;
  else if constexpr (Count >= max_fields)
    return not_countable;
  else
    return count_initialisers<T, Init, Count + 1, false>();
}

/// How many of the `Total` initialisers the field that begins with number `At` uses up: more than one if it is an array,
/// because then one in braces leaves no place for all the others.
template <class T, class Init, std::size_t Total, std::size_t At, std::size_t Taken = 1>
consteval std::size_t initialisers_of_field() {
  if constexpr (At + Taken > Total)
    return 1;  // does not like braces at all
  else if constexpr (takes_braced<T, Init>(std::make_index_sequence<At>(),
                                           std::make_index_sequence<Total - At - Taken>()))
    return Taken;
  else
    return initialisers_of_field<T, Init, Total, At, Taken + 1>();
}

template <class T, class Init, std::size_t Total, std::size_t At = 0, std::size_t Fields = 0>
consteval std::size_t fields_of_initialisers() {
  if constexpr (At >= Total)
    return Fields;
  else
    return fields_of_initialisers<T, Init, Total, At + initialisers_of_field<T, Init, Total, At>(), Fields + 1>();
}

template <class T, class Init, std::size_t Total>
consteval std::size_t fields_with() {
  if constexpr (Total == 0)
    return 0;
  else if constexpr (begins_with_base<T, Init>(std::make_index_sequence<Total - 1>()))
    return not_countable;
  else
    return fields_of_initialisers<T, Init, Total>();
}

template <class T>
consteval std::size_t count_fields() {
  if constexpr (!std::is_aggregate_v<T> || !std::is_class_v<T>)
    return not_countable;
  else if constexpr (std::is_empty_v<T> && takes<T, by_value>(std::index_sequence<>()) &&
                     !takes<T, by_value>(std::index_sequence<0>()))
    return 0;
  else if constexpr (constexpr std::size_t made = count_initialisers<T, by_value, 0>();
                     made != not_countable && !takes<T, by_reference>(std::make_index_sequence<made + 1>()))
    return fields_with<T, by_value, made>();
  else if constexpr (constexpr std::size_t bound = count_initialisers<T, by_reference, 0>(); bound != not_countable)
    return fields_with<T, by_reference, bound>();
  else
    return not_countable;
}

template <class T>
inline constexpr std::size_t counted_fields = count_fields<T>();

template <class T>
concept has_fields_member =
    requires(const T& object) { std::tuple_size<std::remove_cvref_t<decltype(object.fields())>>::value; };

template <class T>
consteval std::size_t fields_in() {
  if constexpr (has_fields_member<T>)
    return std::tuple_size<std::remove_cvref_t<decltype(std::declval<const T&>().fields())>>::value;
  else
    return counted_fields<T>;
}

// --- Binding ---------------------------------------------------------------------------------------------------------

/// Calls `f` with the `Count` fields (or tuple elements) of `object`.
template <std::size_t Count, class T, class F>
constexpr decltype(auto) bind_fields(T& object, F&& f) {
  if constexpr (Count == 0) {
    return std::forward<F>(f)();
  } else if constexpr (Count == 1) {
    auto& [f0] = object;
    return std::forward<F>(f)(f0);
  } else if constexpr (Count == 2) {
    auto& [f0, f1] = object;
    return std::forward<F>(f)(f0, f1);
  } else if constexpr (Count == 3) {
    auto& [f0, f1, f2] = object;
    return std::forward<F>(f)(f0, f1, f2);
  } else if constexpr (Count == 4) {
    auto& [f0, f1, f2, f3] = object;
    return std::forward<F>(f)(f0, f1, f2, f3);
  } else if constexpr (Count == 5) {
    auto& [f0, f1, f2, f3, f4] = object;
    return std::forward<F>(f)(f0, f1, f2, f3, f4);
  } else if constexpr (Count == 6) {
    auto& [f0, f1, f2, f3, f4, f5] = object;
    return std::forward<F>(f)(f0, f1, f2, f3, f4, f5);
  } else if constexpr (Count == 7) {
    auto& [f0, f1, f2, f3, f4, f5, f6] = object;
    return std::forward<F>(f)(f0, f1, f2, f3, f4, f5, f6);
  } else if constexpr (Count == 8) {
    auto& [f0, f1, f2, f3, f4, f5, f6, f7] = object;
    return std::forward<F>(f)(f0, f1, f2, f3, f4, f5, f6, f7);
  } else if constexpr (Count == 9) {
    auto& [f0, f1, f2, f3, f4, f5, f6, f7, f8] = object;
    return std::forward<F>(f)(f0, f1, f2, f3, f4, f5, f6, f7, f8);
  } else if constexpr (Count == 10) {
    auto& [f0, f1, f2, f3, f4, f5, f6, f7, f8, f9] = object;
    return std::forward<F>(f)(f0, f1, f2, f3, f4, f5, f6, f7, f8, f9);
  } else if constexpr (Count == 11) {
    auto& [f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10] = object;
    return std::forward<F>(f)(f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10);
  } else if constexpr (Count == 12) {
    auto& [f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11] = object;
    return std::forward<F>(f)(f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11);
  } else if constexpr (Count == 13) {
    auto& [f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12] = object;
    return std::forward<F>(f)(f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12);
  } else if constexpr (Count == 14) {
    auto& [f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13] = object;
    return std::forward<F>(f)(f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13);
  } else if constexpr (Count == 15) {
    auto& [f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14] = object;
    return std::forward<F>(f)(f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14);
  } else if constexpr (Count == 16) {
    auto& [f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15] = object;
    return std::forward<F>(f)(f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15);
  } else if constexpr (Count == 17) {
    auto& [f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16] = object;
    return std::forward<F>(f)(f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16);
  } else if constexpr (Count == 18) {
    auto& [f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17] = object;
    return std::forward<F>(f)(f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17);
  } else if constexpr (Count == 19) {
    auto& [f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18] = object;
    return std::forward<F>(f)(f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18);
  } else if constexpr (Count == 20) {
    auto& [f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19] = object;
    return std::forward<F>(f)(f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19);
  } else if constexpr (Count == 21) {
    auto& [f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19, f20] = object;
    return std::forward<F>(f)(f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19,
                              f20);
  } else if constexpr (Count == 22) {
    auto& [f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19, f20, f21] = object;
    return std::forward<F>(f)(f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19,
                              f20, f21);
  } else if constexpr (Count == 23) {
    auto& [f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19, f20, f21, f22] =
        object;
    return std::forward<F>(f)(f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19,
                              f20, f21, f22);
  } else if constexpr (Count == 24) {
    auto& [f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19, f20, f21, f22,
           f23] = object;
    return std::forward<F>(f)(f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19,
                              f20, f21, f22, f23);
  } else if constexpr (Count == 25) {
    auto& [f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19, f20, f21, f22, f23,
           f24] = object;
    return std::forward<F>(f)(f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19,
                              f20, f21, f22, f23, f24);
  } else if constexpr (Count == 26) {
    auto& [f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19, f20, f21, f22, f23,
           f24, f25] = object;
    return std::forward<F>(f)(f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19,
                              f20, f21, f22, f23, f24, f25);
  } else if constexpr (Count == 27) {
    auto& [f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19, f20, f21, f22, f23,
           f24, f25, f26] = object;
    return std::forward<F>(f)(f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19,
                              f20, f21, f22, f23, f24, f25, f26);
  } else if constexpr (Count == 28) {
    auto& [f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19, f20, f21, f22, f23,
           f24, f25, f26, f27] = object;
    return std::forward<F>(f)(f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19,
                              f20, f21, f22, f23, f24, f25, f26, f27);
  } else if constexpr (Count == 29) {
    auto& [f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19, f20, f21, f22, f23,
           f24, f25, f26, f27, f28] = object;
    return std::forward<F>(f)(f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19,
                              f20, f21, f22, f23, f24, f25, f26, f27, f28);
  } else if constexpr (Count == 30) {
    auto& [f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19, f20, f21, f22, f23,
           f24, f25, f26, f27, f28, f29] = object;
    return std::forward<F>(f)(f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19,
                              f20, f21, f22, f23, f24, f25, f26, f27, f28, f29);
  } else if constexpr (Count == 31) {
    auto& [f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19, f20, f21, f22, f23,
           f24, f25, f26, f27, f28, f29, f30] = object;
    return std::forward<F>(f)(f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19,
                              f20, f21, f22, f23, f24, f25, f26, f27, f28, f29, f30);
  } else if constexpr (Count == 32) {
    auto& [f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19, f20, f21, f22, f23,
           f24, f25, f26, f27, f28, f29, f30, f31] = object;
    return std::forward<F>(f)(f0, f1, f2, f3, f4, f5, f6, f7, f8, f9, f10, f11, f12, f13, f14, f15, f16, f17, f18, f19,
                              f20, f21, f22, f23, f24, f25, f26, f27, f28, f29, f30, f31);
  }
}

template <class T>
concept reflected = std::is_class_v<T> && fields_in<T>() <= max_fields;

// --- Names -----------------------------------------------------------------------------------------------------------

#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wundefined-var-template"
#pragma clang diagnostic ignored "-Wundefined-internal"
#endif

template <class T>
struct ghost_of {
  T value;
};
/// An object that is declared and never defined: it has addresses at compile time and nothing at run time.
template <class T>
extern const ghost_of<T> ghost;

struct field_addresses {
  const void* at[max_fields + 1];
};

template <class T>
constexpr field_addresses addresses_of_fields() noexcept {
  return bind_fields<counted_fields<T>>(
      ghost<T>.value, [](const auto&... field) { return field_addresses{{__builtin_addressof(field)...}}; });
}

/// T is bound directly, and the addresses are constants: no bit-field and no reference among the fields.
template <class T>
concept fields_have_addresses = !has_fields_member<T> && (counted_fields<T> > 0) && (counted_fields<T> <= max_fields) &&
                                requires { typename std::bool_constant<(addresses_of_fields<T>(), true)>; };

template <const void*... Fields>
constexpr auto signature_of_fields() noexcept {
  return std::string_view(__PRETTY_FUNCTION__, sizeof(__PRETTY_FUNCTION__) - 1);
}

template <class T, std::size_t... I>
constexpr auto signature_with_fields(std::index_sequence<I...>) noexcept {
  return signature_of_fields<addresses_of_fields<T>().at[I]...>();
}

#if defined(__clang__)
#pragma clang diagnostic pop
#endif

/// Writes "a,b,c," for "… Fields = {(& ghost<T>.…::a), (& …::b), …}]" (g++) or "… = <&ghost.value.a, …>]" (clang).
constexpr void write_field_names(std::string_view text, auto& out) noexcept {
  std::size_t i = text.find(" = ") + 4;
  int depth = 0;
  for (std::size_t last = i; i < text.size(); ++i) {
    if (text[i] == '(') ++depth;
    if (text[i] == ')') --depth;
    const bool ends = depth == 0 && (text[i] == ',' || i + 2 == text.size());
    if (!ends) {
      if (is_word(text[i])) last = i + 1;  // behind the last word of this pointer: its field
      continue;
    }
    std::size_t from = last;
    while (from > 0 && is_word(text[from - 1])) --from;
    out.put(text.substr(from, last - from));
    out.put(',');
  }
}

template <class T>
constexpr auto make_field_names() noexcept {
  if constexpr (fields_have_addresses<T>) {
    constexpr auto text = [] {
      constexpr std::string_view signature = signature_with_fields<T>(std::make_index_sequence<counted_fields<T>>());
      static_text<signature.size()> out;
      write_field_names(signature, out);
      return out;
    }();
    return fitted<text.size>(text);
  } else {
    return static_text<0>();
  }
}

template <class T>
inline constexpr auto field_names_text = make_field_names<T>();

}  // namespace detail

/// T's fields can be walked. Its `const`, references and so on do not matter.
template <class T>
concept reflectable = detail::reflected<std::remove_cvref_t<T>>;

/// How many fields T has.
template <reflectable T>
inline constexpr std::size_t field_count = detail::fields_in<std::remove_cvref_t<T>>();

/// Calls `f(field...)` with all fields of `object`, in their order.
/// Returns:  what `f` returns.   Cost: none of its own.
template <class T, class F>
requires reflectable<T>
constexpr decltype(auto) visit_fields(T&& object, F&& f) {
  if constexpr (detail::has_fields_member<std::remove_cvref_t<T>>) {
    auto&& tied = object.fields();
    return detail::bind_fields<field_count<T>>(tied, std::forward<F>(f));
  } else {
    return detail::bind_fields<field_count<T>>(object, std::forward<F>(f));
  }
}

/// The names of T's fields, each followed by a comma: "size,taken,"; empty if they have none.
template <reflectable T>
constexpr std::string_view field_names() noexcept {
  return detail::field_names_text<std::remove_cvref_t<T>>.view();
}

/// The name of field number `index` of T, from 0; empty if the fields have no names.
template <reflectable T>
constexpr std::string_view field_name(std::size_t index) noexcept {
  std::string_view names = field_names<T>();
  for (; index > 0 && !names.empty(); --index) names.remove_prefix(detail::text_before(names, ',').size() + 1);
  return detail::text_before(names, ',');
}

namespace detail {

// --- Layout ----------------------------------------------------------------------------------------------------------

template <class... T>
struct type_list {};

template <class T, class... Outer>
consteval std::uint64_t layout_of();

/// The hash of the types that a class template was given, if T comes from one, and of its name up to them.
template <class... Outer>
struct layout_of_arguments {
  template <class T>
  static consteval std::uint64_t get(const T*) {
    return type_hash<T>();
  }
  template <template <class...> class Of, class... Args>
  static consteval std::uint64_t get(const Of<Args...>*) {
    std::uint64_t hash = hash_of(text_before(type_name<Of<Args...>>(), '<'));
    ((hash = hash_mix(hash, layout_of<Args, Outer...>())), ...);
    return hash;
  }
  template <template <class, std::size_t> class Of, class Arg, std::size_t Size>
  static consteval std::uint64_t get(const Of<Arg, Size>*) {
    return hash_mix(hash_mix(hash_of("array"), layout_of<Arg, Outer...>()), Size);
  }
};

struct layout_of_fields {
  template <class T, class... Outer, class... Field>
  static consteval std::uint64_t get(type_list<Field...>) {
    std::uint64_t hash = sizeof...(Field);
    std::size_t index = 0;
    ((hash =
          hash_mix(hash_mix(hash, hash_of(field_name<T>(index++))), layout_of<std::remove_cvref_t<Field>, Outer...>())),
     ...);
    return hash;
  }
};

inline constexpr auto to_type_list = [](auto&... field) { return type_list<decltype(field)...>(); };

/// The place of T among the types that contain it, from 1; 0 if it is not among them.
template <class T, class... Outer>
consteval std::size_t nesting_of() {
  std::size_t index = 0, found = 0;
  ((++index, found = std::is_same_v<T, Outer> ? index : found), ...);
  return found;
}

template <class T, class... Outer>
consteval std::uint64_t layout_of() {
  if constexpr (std::is_void_v<T> || std::is_function_v<T> || std::is_reference_v<T>) {
    return type_hash<T>();
  } else if constexpr (constexpr std::size_t nesting = nesting_of<T, Outer...>(); nesting != 0) {
    return hash_mix(hash_of("the type that contains this one"), nesting);
  } else {
    std::uint64_t hash = hash_mix(sizeof(T), alignof(T));
    if constexpr (requires { hash_mix(0, T::layout_version); }) hash = hash_mix(hash, T::layout_version);
    if constexpr (!std::is_class_v<T>) {
      hash = hash_mix(hash, std::is_enum_v<T> ? hash_of(short_type_name<T>()) : type_hash<T>());
    } else {
      if constexpr (!reflectable<T> || has_fields_member<T> || requires { std::tuple_size<T>::value; })
        hash = hash_mix(hash, layout_of_arguments<T, Outer...>::get(static_cast<const T*>(nullptr)));
      if constexpr (reflectable<T> && !requires { std::tuple_size<T>::value; })
        hash = hash_mix(hash, layout_of_fields::get<T, T, Outer...>(
                                  decltype(visit_fields(std::declval<const T&>(), to_type_list))()));
    }
    return hash;
  }
}

}  // namespace detail

/// A hash of how T lies in memory and what its fields mean: size, alignment and the fields' names and layouts, all the
/// way down. T's own name and those of the structs inside do not count, so a mirror struct of an older version matches.
/// A class that cannot be walked counts by its name, the layouts of its template arguments, and its `layout_version`
/// (`static constexpr int layout_version = 2;`), which is how its author says that the meaning has changed.
/// Cost: none at run time.   Spec: C10
template <class T>
consteval std::uint64_t layout_hash() {
  return detail::layout_of<std::remove_cv_t<T>>();
}

}  // namespace coppice
