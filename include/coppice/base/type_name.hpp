// SPDX-License-Identifier: Apache-2.0
//
// type_name: the name of a type as text, and hashes of it, at compile time and without run-time type information.
//
// Compilers spell types differently (`long unsigned int`, `std::__cxx11::basic_string<char>`, `(anonymous namespace)`);
// the text is brought to one spelling, so that name and hash are equal with g++ and clang for ordinary named types.
// Lambdas and types local to a function keep their compiler's spelling. Constants only: any thread.
#pragma once

#include <coppice/base/hash.hpp>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace coppice {

namespace detail {

/// Text of a size that is known at compile time; lives in a constant.
template <std::size_t Size>
struct static_text {
  char data[Size + 1]{};
  std::size_t size = 0;

  constexpr void put(char c) noexcept { data[size++] = c; }
  constexpr void put(std::string_view text) noexcept {
    for (char c : text) put(c);
  }
  constexpr std::string_view view() const noexcept { return {data, size}; }
};

/// The signature of a function of T. Its return type must be `auto`: g++ explains any alias in the text.
template <class T>
constexpr auto signature_of() noexcept {
  return std::string_view(__PRETTY_FUNCTION__, sizeof(__PRETTY_FUNCTION__) - 1);
}

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
constexpr bool is_word(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c) ||
         static_cast<unsigned char>(c) >= 0x80;
}

/// The compiler's own spelling of T: what stands behind "T = " up to the closing bracket.
template <class T>
constexpr auto spelling_of() noexcept {
  constexpr std::string_view text = signature_of<T>();
  constexpr std::size_t from = text.find("T = ") + 4;
  return text.substr(from, text.size() - 1 - from);
}

/// `text` up to the first `end`. Not by find(): g++'s sanitizer makes that no constant expression.
constexpr std::string_view text_before(std::string_view text, char end) noexcept {
  std::size_t size = 0;
  while (size < text.size() && text[size] != end) ++size;
  return text.substr(0, size);
}

constexpr std::string_view word_at(std::string_view text, std::size_t at) noexcept {
  std::size_t end = at;
  while (end < text.size() && is_word(text[end])) ++end;
  return text.substr(at, end - at);
}

/// The words of one built-in number type, in whatever order they came.
struct number_words {
  bool is_unsigned = false, is_signed = false, is_short = false;
  int longs = 0;
  std::string_view base{};

  constexpr bool take(std::string_view word) noexcept {
    if (word == "unsigned") return is_unsigned = true;
    if (word == "signed") return is_signed = true;
    if (word == "short") return is_short = true;
    if (word == "long") return ++longs, true;
    if (word == "int" || word == "char" || word == "double" || word == "__int128") return base = word, true;
    return false;
  }
  constexpr void write(auto& out) const noexcept {
    if (is_unsigned) out.put("unsigned ");
    if (is_signed && base == "char") out.put("signed ");
    const bool sized = is_short || longs > 0;
    if (is_short) out.put("short");
    for (int i = 0; i < longs; ++i) out.put(i == 0 ? "long" : " long");
    const bool implied = base.empty() || (base == "int" && sized);
    if (sized && !implied) out.put(' ');
    if (!implied) out.put(base);
    if (base.empty() && !sized) out.put("int");
  }
};

/// The size of the words for an unnamed namespace if `text` begins with them, else 0.
constexpr std::size_t unnamed_at(std::string_view text) noexcept {
  for (std::string_view spelling : {"(anonymous namespace)", "<unnamed>", "{anonymous}"})
    if (text.starts_with(spelling)) return spelling.size();
  return 0;
}

/// Writes the spelling `text` to `out` in the one form that both compilers share.
constexpr void normalise_type(std::string_view text, auto& out) noexcept {
  std::size_t i = 0;
  while (i < text.size()) {
    if (const std::size_t unnamed = unnamed_at(text.substr(i)); unnamed != 0) {
      out.put("{anonymous}");
      i += unnamed;
      continue;
    }
    if (is_digit(text[i])) {  // a number: without the suffix of its type
      while (i < text.size() && is_digit(text[i])) out.put(text[i++]);
      while (i < text.size() && is_word(text[i])) ++i;
    } else if (is_word(text[i])) {
      std::string_view word = word_at(text, i);
      number_words number;
      if (number.take(word)) {
        i += word.size();
        while (i < text.size() && text[i] == ' ' && number.take(word = word_at(text, i + 1))) i += 1 + word.size();
        number.write(out);
      } else if ((word == "__cxx11" || word == "__1" || word == "_V2") &&
                 text.substr(i + word.size()).starts_with("::")) {
        i += word.size() + 2;  // an inline namespace: only some compilers name it
      } else if ((word == "basic_string" || word == "basic_string_view") &&
                 text.substr(i + word.size()).starts_with("<char>")) {
        out.put(word.substr(6));  // as everybody calls it
        i += word.size() + 6;
      } else {
        out.put(word);
        i += word.size();
      }
    } else if (text[i] == ' ') {  // a space only between two words and behind a comma
      ++i;
      const bool before = out.size > 0 && is_word(out.data[out.size - 1]);
      const bool behind = i < text.size() && (is_word(text[i]) || unnamed_at(text.substr(i)) != 0);
      if (before && behind) out.put(' ');
    } else {
      out.put(text[i]);
      if (text[i++] == ',') out.put(' ');
    }
  }
}

/// The size of `text` without the qualifier that ends it: "a<b::" becomes "a<", "main()::" becomes "".
constexpr std::size_t without_qualifier(std::string_view text) noexcept {
  std::size_t end = text.size();
  int depth = 0;
  while (end > 0) {
    const char c = text[end - 1];
    if (c == ')' || c == '>' || c == '}') {
      ++depth;
    } else if (c == '(' || c == '<' || c == '{') {
      if (depth == 0) break;
      --depth;
    } else if (depth == 0 && !is_word(c) && c != ':') {
      break;
    }
    --end;
  }
  return end;
}

/// Writes `text` without namespaces and enclosing classes, in template arguments too.
constexpr void shorten_type(std::string_view text, auto& out) noexcept {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.substr(i).starts_with("::")) {
      out.size = without_qualifier(out.view());
      ++i;
    } else {
      out.put(text[i]);
    }
  }
}

template <std::size_t Size>
constexpr auto fitted(const auto& text) noexcept {
  static_text<Size> result;
  result.put(text.view());
  return result;
}

template <class T>
constexpr auto make_type_name() noexcept {
  constexpr auto text = [] {
    static_text<2 * spelling_of<T>().size() + 16> out;
    normalise_type(spelling_of<T>(), out);
    return out;
  }();
  return fitted<text.size>(text);
}

template <class T>
inline constexpr auto type_name_text = make_type_name<T>();

template <class T>
constexpr auto make_short_type_name() noexcept {
  constexpr auto text = [] {
    static_text<type_name_text<T>.size> out;
    shorten_type(type_name_text<T>.view(), out);
    return out;
  }();
  return fitted<text.size>(text);
}

template <class T>
inline constexpr auto short_type_name_text = make_short_type_name<T>();

}  // namespace detail

/// The full name of T: `std::vector<shop::item>`.
/// Cost: none at run time.
template <class T>
constexpr std::string_view type_name() noexcept {
  return detail::type_name_text<T>.view();
}

/// The name of T without namespaces and enclosing classes, for reports: `vector<item>`, `want`.
/// Cost: none at run time.
template <class T>
constexpr std::string_view short_type_name() noexcept {
  return detail::short_type_name_text<T>.view();
}

/// The hash of `type_name<T>()`, equal in every module and with both compilers.
/// Cost: none at run time.
template <class T>
constexpr std::uint64_t type_hash() noexcept {
  constexpr std::uint64_t value = hash_of(detail::type_name_text<T>.view());
  return value;
}

}  // namespace coppice
