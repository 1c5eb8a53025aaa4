// SPDX-License-Identifier: Apache-2.0
//
// name: how a process is addressed by something that outlives it. A name is text in the local table, text that is unique
// over all connected nodes (`global("ledger")`), or a key in any registry that offers the three operations (`via`).
//
// `named<S>` is a name that promises to hold a server of class S. It borrows its text like a string_view and is resolved at
// each use; that the holder really is an S is checked by one comparison when the request reaches it.
//
// Invariants:
//   1. A name_view owns nothing: text, registry and key must outlive it. It is a parameter, not something to keep.
//   2. An empty text names nobody; "no name" is the default-constructed view and nothing else (GS-13).
//   3. An owned_name owns its text or its copy of the key; of a `via` it borrows the registry alone.
#pragma once

#include <coppice/base/any_value.hpp>
#include <coppice/base/to_text.hpp>
#include <coppice/process/pid.hpp>

#include <concepts>
#include <string>
#include <string_view>
#include <type_traits>

namespace coppice {

/// What a registry offers to name processes by its keys. Spec: PR-75.
template <class Registry, class Key>
concept names_processes = requires(Registry& registry, const Key& key, pid who) {
  { registry.register_name(key, who) } -> std::convertible_to<bool>;
  registry.unregister_name(key);
  { registry.whereis(key) } -> std::convertible_to<pid>;
};

/// One that also keeps a value with each name.
template <class Registry, class Key, class Value>
concept names_processes_with = names_processes<Registry, Key> &&
                               requires(Registry& registry, const Key& key, pid who, const Value& value) {
  { registry.register_name(key, who, value) } -> std::convertible_to<bool>;
};

namespace detail {

/// The operations of one registry type with one key type, and one value type if the name carries a value.
struct via_operations {
  /// `owner`: the slot of `who`, if the caller owns it (a process that is just being made), or null.
  bool (*register_name)(void* registry, const void* key, const void* value, pid who, slot* owner);
  void (*unregister_name)(void* registry, const void* key);
  pid (*whereis)(void* registry, const void* key);
  const value_operations* key;                         // to print it and to keep a copy of it; null: it cannot be copied
  const value_operations* value;                       // null: none, or it cannot be copied
  void (*print)(text_sink& out, const void* key);
};

template <class Key>
constexpr const value_operations* key_operations() noexcept {
  if constexpr (std::is_void_v<Key>) return nullptr;
  else if constexpr (std::copy_constructible<Key> || (std::is_array_v<Key> && std::is_trivially_copyable_v<Key>)) return &value_constant<Key>;
  else return nullptr;
}

/// A registry of this library: it notes in the holder itself what that has, so it must know whether the caller owns the holder.
template <class Registry, class Key>
concept names_owned_processes = requires(Registry& registry, const Key& key, pid who, slot* owner,
                                         const typename Registry::value_type* value) {
  { registry.claim_for(key, value, who, owner) } -> std::convertible_to<bool>;
};

template <class Registry, class Key, class Value>
bool register_via(void* r, const void* k, const void* v, pid who, slot* owner) {
  auto& registry = *static_cast<Registry*>(r);
  const Key& key = *static_cast<const Key*>(k);
  if constexpr (std::is_void_v<Value>) {
    if constexpr (names_owned_processes<Registry, Key>) return registry.claim_for(key, nullptr, who, owner);
    else return registry.register_name(key, who);
  } else {
    const Value& value = *static_cast<const Value*>(v);
    if constexpr (names_owned_processes<Registry, Key>) {
      const typename Registry::value_type kept(value);
      return registry.claim_for(key, &kept, who, owner);
    } else {
      return registry.register_name(key, who, value);
    }
  }
}

template <class Registry, class Key, class Value>
inline constexpr via_operations via_constant{
    .register_name = &register_via<Registry, Key, Value>,
    .unregister_name = [](void* r, const void* k) { static_cast<Registry*>(r)->unregister_name(*static_cast<const Key*>(k)); },
    .whereis = [](void* r, const void* k) -> pid { return static_cast<Registry*>(r)->whereis(*static_cast<const Key*>(k)); },
    .key = key_operations<Key>(),
    .value = key_operations<Value>(),
    .print = [](text_sink& out, const void* k) { print(out, *static_cast<const Key*>(k)); },
};

}  // namespace detail

/// Any kind of name, borrowed.
/// Thread: any.   Cost: a few words; nothing is looked up before it is used.   Spec: PR-74, GS-10.
class name_view {
 public:
  enum class kind : unsigned char { none, local, global, via };

  constexpr name_view() noexcept = default;
  constexpr name_view(const char* text) noexcept : text_(text), kind_(kind::local) {}
  constexpr name_view(std::string_view text) noexcept : text_(text), kind_(kind::local) {}
  name_view(const std::string& text) noexcept : text_(text), kind_(kind::local) {}

  constexpr kind form() const noexcept { return kind_; }
  constexpr explicit operator bool() const noexcept { return kind_ != kind::none; }
  constexpr std::string_view text() const noexcept { return text_; }

  /// For the library: the parts of a `via`.
  const detail::via_operations* operations() const noexcept { return operations_; }
  void* registry() const noexcept { return registry_; }
  const void* key() const noexcept { return key_; }
  const void* value() const noexcept { return value_; }

 private:
  friend class owned_name;
  friend constexpr name_view global(std::string_view text) noexcept;
  template <class Registry, class Key>
    requires names_processes<Registry, Key>
  friend name_view via(Registry& registry, const Key& key) noexcept;
  template <class Registry, class Key, class Value>
    requires names_processes_with<Registry, Key, Value>
  friend name_view via(Registry& registry, const Key& key, const Value& value) noexcept;

  std::string_view text_{};
  const detail::via_operations* operations_ = nullptr;
  void* registry_ = nullptr;
  const void* key_ = nullptr;
  const void* value_ = nullptr;
  kind kind_ = kind::none;
};

/// A name that is unique over all connected nodes.   Spec: PR-76.
constexpr name_view global(std::string_view text) noexcept {
  name_view n(text);
  n.kind_ = name_view::kind::global;
  return n;
}

/// A name that `registry` knows by `key`. Both are borrowed.   Spec: PR-75.
template <class Registry, class Key>
  requires names_processes<Registry, Key>
name_view via(Registry& registry, const Key& key) noexcept {
  name_view n;
  n.operations_ = &detail::via_constant<Registry, Key, void>;
  n.registry_ = &registry;
  n.key_ = &key;
  n.kind_ = name_view::kind::via;
  return n;
}
/// The same; who is started under this name is registered with `value`, which is borrowed, too. Look-ups do without it.
template <class Registry, class Key, class Value>
  requires names_processes_with<Registry, Key, Value>
name_view via(Registry& registry, const Key& key, const Value& value) noexcept {
  name_view n;
  n.operations_ = &detail::via_constant<Registry, Key, Value>;
  n.registry_ = &registry;
  n.key_ = &key;
  n.value_ = &value;
  n.kind_ = name_view::kind::via;
  return n;
}

/// `"ch3"`, `global "ledger"`, `via "ann"`.
std::string to_text(const name_view& name);

/// Any kind of name, kept: what a child's specification and a supervisor hold. The registry of a `via` is borrowed; key and
/// value are copied, and so is the text behind a key that is only a view.
/// Thread: as a string.   Spec: PR-74, SV-1.
class owned_name {
 public:
  owned_name() noexcept = default;
  /// Fails: std::invalid_argument when the key of a `via` cannot be copied.
  owned_name(const name_view& name);
  owned_name(const char* text) : owned_name(name_view(text)) {}
  owned_name(std::string_view text) : owned_name(name_view(text)) {}
  owned_name(const std::string& text) : owned_name(name_view(text)) {}

  /// Valid as long as this name is neither changed nor destroyed.
  name_view view() const noexcept;
  operator name_view() const noexcept { return view(); }
  explicit operator bool() const noexcept { return kind_ != name_view::kind::none; }

  /// Same form, and same text, or same registry and key.
  friend bool operator==(const owned_name& a, const owned_name& b);

 private:
  std::string text_{};
  any_value key_{};
  any_value value_{};
  const detail::via_operations* operations_ = nullptr;
  void* registry_ = nullptr;
  name_view::kind kind_ = name_view::kind::none;
};

inline std::string to_text(const owned_name& name) { return to_text(name.view()); }

/// The server of class `Server` that holds a name at the moment it is asked something. Borrows the name.
/// Thread: any.   Cost: one look-up at each use.   Spec: PR-74, GS-33.
template <class Server>
class named {
 public:
  using server_type = Server;
  constexpr named(const char* text) noexcept : name_(text) {}
  constexpr named(std::string_view text) noexcept : name_(text) {}
  named(const std::string& text) noexcept : name_(text) {}
  constexpr named(name_view name) noexcept : name_(name) {}

  constexpr const name_view& name() const noexcept { return name_; }
  constexpr operator name_view() const noexcept { return name_; }

 private:
  name_view name_;
};

namespace detail {

/// Who holds `name` now; no process if nobody does, or if the registry behind it fails (GS-80).
pid resolve(const name_view& name) noexcept;
/// Gives `name` to `who`. Returns: the holder, which is another process where the name is taken.
pid claim_name(const name_view& name, pid who);
/// Takes `name` from whoever holds it; nothing happens where nobody does.
void free_name(const name_view& name) noexcept;

}  // namespace detail

/// Names beyond the local table: the cluster puts its own global names here (the hook of this room). Null entries: names
/// given by `global` live in the local table under a prefix, which is all that one node needs (PR-76).
struct name_resolver {
  pid (*whereis)(std::string_view name) = nullptr;
  pid (*claim)(std::string_view name, pid who) = nullptr;
  void (*release)(std::string_view name) = nullptr;
};
/// Installs `resolver` for the whole program; null brings the default back. It must outlive its use.
const name_resolver* set_name_resolver(const name_resolver* resolver) noexcept;

}  // namespace coppice
