// SPDX-License-Identifier: Apache-2.0
//
// metadata: a few words about a reference that are no part of its value: a small map from text to text, numbers, booleans.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace coppice {

/// A map in the order in which its keys were set first. A value like any other.   Spec: ME-1.
class metadata {
 public:
  using value = std::variant<bool, std::int64_t, double, std::string>;
  struct entry {
    std::string key;
    metadata::value value;
    entry(std::string_view k, std::string_view v) : key(k), value(std::string(v)) {}
    entry(std::string_view k, const char* v) : key(k), value(std::string(v)) {}
    template <class N>
      requires std::is_arithmetic_v<N>
    entry(std::string_view k, N v) : key(k), value(widened(v)) {}
    friend bool operator==(const entry&, const entry&) = default;
  };

  metadata() noexcept = default;
  metadata(std::initializer_list<entry> entries) {
    for (const entry& e : entries) put(e);
  }

  template <class V>
  metadata& set(std::string_view key, V&& v) & {
    put(entry(key, static_cast<V&&>(v)));
    return *this;
  }
  template <class V>
  metadata set(std::string_view key, V&& v) && {
    put(entry(key, static_cast<V&&>(v)));
    return std::move(*this);
  }
  /// The value, or null.
  const value* find(std::string_view key) const noexcept {
    for (const entry& e : entries_)
      if (e.key == key) return &e.value;
    return nullptr;
  }
  bool empty() const noexcept { return entries_.empty(); }
  std::size_t size() const noexcept { return entries_.size(); }
  auto begin() const noexcept { return entries_.begin(); }
  auto end() const noexcept { return entries_.end(); }
  friend bool operator==(const metadata&, const metadata&) = default;

 private:
  template <class N>
  static value widened(N v) {
    if constexpr (std::is_same_v<N, bool>) return v;
    else if constexpr (std::is_integral_v<N>) return static_cast<std::int64_t>(v);
    else return static_cast<double>(v);
  }
  void put(entry e) {
    for (entry& old : entries_)
      if (old.key == e.key) {
        old.value = std::move(e.value);
        return;
      }
    entries_.push_back(std::move(e));
  }
  std::vector<entry> entries_;
};

}  // namespace coppice
