// SPDX-License-Identifier: Apache-2.0
//
// registry: finds processes by keys: any key that can be compared and hashed, a user's text for instance. Of unique keys it
// names processes (`via`), of duplicate ones it is a list of subscribers (`dispatch`). A value may stand with each entry.
//
//     registry<std::string> names;
//     start<session>({.name = via(names, user)}, user);
//     cast(named<session>(via(names, user)), put{"bread", 2});
//
// Look-ups take no lock and ask nobody. A process registers itself; its entries go with it, before anybody hears that it has
// ended. Nothing of a key stays when its last entry is gone. The design note is docs/internals/registry.md.
//
// Invariants:
//   1. A registry runs with its process: from the constructor on, or, made with `supervised`, while the child that `child()`
//      describes runs. When that process ends, for whatever reason, all who are registered get an exit signal with the reason,
//      and the registry is empty.
//   2. The registry outlives whoever uses it by reference, names (`via`) included.
//   3. Keys and values are compared, copied and destroyed while others look at them: these operations must not wait.
#pragma once

#include <coppice/base/fields.hpp>
#include <coppice/base/hash.hpp>
#include <coppice/base/result.hpp>
#include <coppice/base/type_name.hpp>
#include <coppice/otp/detail/registry.hpp>
#include <coppice/otp/task_group.hpp>
#include <coppice/process/child_spec.hpp>
#include <coppice/process/process.hpp>

#include <concepts>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace coppice {

/// The value of a registry that keeps none.
struct no_value {
  friend bool operator==(no_value, no_value) = default;
};

namespace detail {
struct supervised_word {};
}
/// For a registry that a supervisor starts: `registry<std::string> names{supervised};`.
inline constexpr detail::supervised_word supervised{};

/// One entry: who is registered, with what.
template <class Value = no_value>
struct registration {
  pid who;
  [[no_unique_address]] Value value;
  friend bool operator==(const registration&, const registration&) = default;
};

/// One entry and its key.
template <class Key, class Value = no_value>
struct registry_entry {
  Key key;
  pid who;
  [[no_unique_address]] Value value;
};

/// What update_value did.
template <class Value>
struct updated_value {
  Value now;
  Value before;
};

/// To listeners: `who` registered itself.   Spec: EX-91.
template <class Key, class Value = no_value>
struct registered {
  std::string registry;
  Key key;
  pid who;
  [[no_unique_address]] Value value;
};
/// To listeners: `who` gave up what it had under `key`. Not sent when `who` ends: monitor it.   Spec: EX-91.
template <class Key>
struct unregistered {
  std::string registry;
  Key key;
  pid who;
};

/// The entries under one key: a range. One entry needs no memory of its own.
template <class Value = no_value>
class registrations {
 public:
  using value_type = registration<Value>;
  void push_back(value_type e) {
    if (!one_ && more_.empty()) return void(one_.emplace(std::move(e)));
    if (one_) more_.push_back(*std::exchange(one_, std::nullopt));
    more_.push_back(std::move(e));
  }
  const value_type* begin() const noexcept { return one_ ? &*one_ : more_.data(); }
  const value_type* end() const noexcept { return begin() + size(); }
  std::size_t size() const noexcept { return one_ ? 1 : more_.size(); }
  bool empty() const noexcept { return size() == 0; }
  const value_type& operator[](std::size_t i) const noexcept { return begin()[i]; }
  const value_type& front() const noexcept { return *begin(); }

 private:
  std::optional<value_type> one_{};   // either this one, or those
  std::vector<value_type> more_{};
};

struct dispatch_options {
  bool parallel = false;              ///< each partition in a task of its own
};

namespace detail {

template <class K>
concept text_key = std::same_as<K, std::string>;

template <class K>
concept has_std_hash = requires(const K& key) {
  { std::hash<K>{}(key) } -> std::convertible_to<std::size_t>;
};

/// Of what std::hash knows, else of the fields.
template <class K>
std::uint64_t hash_of_key(const K& key) noexcept;
template <class K>
consteval bool can_hash();

struct hash_fields {
  template <class... F>
  std::uint64_t operator()(const F&... field) const noexcept {
    std::uint64_t hash = sizeof...(F);
    ((hash = hash_mix(hash, hash_of_key(field))), ...);
    return hash;
  }
};

template <class K>
consteval bool can_hash() {
  if constexpr (has_std_hash<K>) return true;
  else if constexpr (reflectable<K>) return decltype(visit_fields(std::declval<const K&>(), [](const auto&... f) {
    return std::bool_constant<(can_hash<std::remove_cvref_t<decltype(f)>>() && ...)>{};
  }))::value;
  else return false;
}

template <class K>
std::uint64_t hash_of_key(const K& key) noexcept {
  if constexpr (has_std_hash<K>) return hash_mix(0, std::hash<K>{}(key));
  else return visit_fields(key, hash_fields{});
}

template <class K>
concept registry_key = std::equality_comparable<K> && std::copy_constructible<K> && can_hash<K>();

template <class K, class V>
inline constexpr registry_types registry_types_of{
    .text_keys = text_key<K>,
    .key_size = sizeof(K),
    .value_size = std::is_empty_v<V> ? 0 : sizeof(V),
    .equal = [](const void* kept, const void* asked) { return *static_cast<const K*>(kept) == *static_cast<const K*>(asked); },
    .copy_key = [](void* place, const void* key) { ::new (place) K(*static_cast<const K*>(key)); },
    .destroy_key = [](void* key) noexcept { static_cast<K*>(key)->~K(); },
    .move_value = [](void* place, void* value) { ::new (place) V(std::move(*static_cast<V*>(value))); },
    .destroy_value = [](void* value) noexcept { static_cast<V*>(value)->~V(); },
    .print_key = [](text_sink& out, const void* key) { print(out, *static_cast<const K*>(key)); },
};

}  // namespace detail

/// Finds processes by keys.
/// Thread:  any, for everything; a plain thread may register itself, too.
/// Cost:    a look-up is a hash, a fence and two cache lines, one more for a value or a key of more than 32 bytes; registering and unregistering take one short lock.
/// Spec:    EX-80..EX-97.
template <class Key, class Value = no_value>
class registry : private detail::registry_base {
  static_assert(!!detail::registry_key<Key>, "coppice: a registry's key is copied, compared by == and hashed: it needs std::hash, or fields that have it.");
  static_assert(std::copy_constructible<Value>, "coppice: a registry's value is copied for whoever looks it up: it needs a copy constructor.");
  static_assert(alignof(Key) <= 16 && alignof(Value) <= 16, "coppice: a registry keeps keys and values with an alignment of up to 16 bytes.");

 public:
  using key_type = Key;
  using value_type = Value;
  /// How keys are handed in: text as a view, all else by reference.
  using key_view = std::conditional_t<detail::text_key<Key>, std::string_view, const Key&>;
  using entry = registry_entry<Key, Value>;

  /// Starts it.   Fails: start_error when its name is taken; std::invalid_argument for options that make no sense.
  explicit registry(registry_options options = {}) : registry_base(detail::registry_types_of<Key, Value>, std::move(options), true) {}
  /// Not running until a supervisor starts the child that `child()` describes.
  explicit registry(detail::supervised_word, registry_options options = {})
      : registry_base(detail::registry_types_of<Key, Value>, std::move(options), false) {}

  /// Its process as a child of a supervisor: of type `supervisor`, its id is the registry's name.   Spec: EX-80, EX-101.
  child_spec child(const child_options& said = {}) const { return registry_base::child(said); }

  /// Registers the calling process under `key`.
  /// Fails:   registry_error: already_registered with the holder, which may be the caller (unique keys only); not_running;
  ///          key_too_long; ending.
  /// Cost:    one allocation, two where a value is kept.   Spec: EX-81, EX-82, EX-94.
  void register_self(key_view key, Value value = Value()) {
    if (auto done = try_register_self(key, std::move(value)); !done) throw std::move(done).error();
  }
  /// The same, with the error as a value.
  [[nodiscard]] result<void, registry_error> try_register_self(key_view key, Value value = Value()) {
    const std::optional<Value> told = copy_for_listeners(value);
    const detail::key_ref ref = ref_of(key);
    const detail::claim_result r = claim_here(ref, &value);
    if (r.what != detail::claim_result::done) return error(error_of(r, ref));
    if (told) tell(registered<Key, Value>{options().name, Key(key), self(), *told});
    return {};
  }

  /// Gives up everything that the calling process has under `key`; nothing is fine, too.   Spec: EX-85.
  void unregister_self(key_view key) {
    if (unregister_here(ref_of(key)) != 0) tell_unregistered(key);
  }
  /// Gives up what the caller has under `key` with a value for which `which(value)` is true.
  /// Returns:  how many entries those were.   Spec: EX-85.
  template <std::predicate<const Value&> F>
  std::size_t unregister_match(key_view key, F&& which) {
    std::vector<std::uint64_t> numbers;
    for (const own_entry& e : own(key))
      if (which(e.value)) numbers.push_back(e.number);
    const std::size_t n = numbers.empty() ? 0 : unregister_here(ref_of(key), numbers.data(), numbers.size());
    if (n != 0) tell_unregistered(key);
    return n;
  }

  /// Replaces the value v of the caller's entry by `f(v)`. Unique keys only. `f` is not called if the caller has no entry.
  /// Returns:  the new value and the old one.
  /// Fails:    registry_error: not_registered, not_unique; and what `f` throws: then nothing has changed.   Spec: EX-86.
  template <class F>
    requires std::convertible_to<std::invoke_result_t<F&, const Value&>, Value>
  updated_value<Value> update_value(key_view key, F&& f) {
    auto done = try_update_value(key, std::forward<F>(f));
    if (!done) throw std::move(done).error();
    return std::move(*done);
  }
  template <class F>
    requires std::convertible_to<std::invoke_result_t<F&, const Value&>, Value>
  [[nodiscard]] result<updated_value<Value>, registry_error> try_update_value(key_view key, F&& f) {
    must_be_unique("update_value");
    const detail::key_ref ref = ref_of(key);
    std::vector<own_entry> mine = own(key);
    if (mine.empty()) return error(error_of(registry_error::not_registered, ref));
    Value now = f(std::as_const(mine.front().value));
    Value kept = now;
    if (!replace_here(ref, &kept)) return error(error_of(registry_error::not_registered, ref));
    return updated_value<Value>{std::move(now), std::move(mine.front().value)};
  }

  /// Who is registered under `key`, with which values; in no promised order. Of unique keys at most one.
  /// Cost:   no lock; one entry costs no memory.   Spec: EX-83, EX-95.
  registrations<Value> lookup(key_view key) const {
    registrations<Value> found;
    if constexpr (std::is_empty_v<Value>) {      // of a unique key there is nothing to know but its holder
      if (options().keys == registry_keys::unique) {
        if (const pid who = registry_base::whereis(ref_of(key))) found.push_back({who, Value()});
        return found;
      }
    }
    registry_base::visit(ref_of(key), &add_registration<registrations<Value>>, &found);
    return found;
  }
  /// Who has `key`, or no process. Unique keys only: registry_error{not_unique} else.   Spec: EX-83, PR-75.
  pid whereis(key_view key) const {
    if (options().keys != registry_keys::unique) [[unlikely]] must_be_unique("whereis");
    return registry_base::whereis(ref_of(key));
  }
  /// The values that `who` has under `key`.   Spec: EX-84.
  std::vector<Value> values(key_view key, pid who) const {
    std::vector<Value> out;
    for (const registration<Value>& r : lookup(key))
      if (r.who == who) out.push_back(r.value);
    return out;
  }
  /// The keys under which `who` is registered; one under which it is twice, twice.   Spec: EX-84.
  std::vector<Key> keys(pid who) const {
    std::vector<Key> out;
    visit_keys_of(who, [](void* to, const detail::key_ref& key, pid, const void*) {
      static_cast<std::vector<Key>*>(to)->push_back(key_from(key));
    }, &out);
    return out;
  }
  /// How many entries there are.   Cost: a load for each partition.   Spec: EX-84.
  std::size_t count() const noexcept { return registry_base::count(); }

  /// The entries under `key` with a value for which `which(value)` is true.   Spec: EX-84.
  template <std::predicate<const Value&> F>
  std::vector<registration<Value>> match(key_view key, F&& which) const {
    std::vector<registration<Value>> out;
    for (const registration<Value>& r : lookup(key))
      if (which(r.value)) out.push_back(r);
    return out;
  }
  template <std::predicate<const Value&> F>
  std::size_t count_match(key_view key, F&& which) const { return match(key, which).size(); }

  /// All entries, or those for which `which(entry)` is true.
  /// Cost:   copies all of them; those that come or go meanwhile may be missed.   Spec: EX-84.
  std::vector<entry> select() const {
    std::vector<entry> out;
    visit_all([](void* to, const detail::key_ref& key, pid who, const void* value) {
      static_cast<std::vector<entry>*>(to)->push_back({key_from(key), who, value_from(value)});
    }, &out);
    return out;
  }
  template <std::predicate<const entry&> F>
  std::vector<entry> select(F&& which) const {
    std::vector<entry> out;
    for (entry& e : select())
      if (which(std::as_const(e))) out.push_back(std::move(e));
    return out;
  }
  template <std::predicate<const entry&> F>
  std::size_t count_select(F&& which) const { return select(which).size(); }

  /// Calls `f(std::span<const registration<Value>>)` with the entries under `key`, once for each partition that has some; not
  /// at all where there are none. In the calling process; with `parallel` each partition's in a task of its own, all of which
  /// have ended when it returns.
  /// Fails:   with what `f` throws; in parallel with task_failed, the first failure.   Spec: EX-87.
  template <std::invocable<std::span<const registration<Value>>> F>
  void dispatch(key_view key, F&& f, const dispatch_options& how = {}) const {
    const std::vector<std::vector<registration<Value>>> parts = by_partition(key);
    if (how.parallel && parts.size() > 1) return dispatch_parallel(parts, f);
    for (const auto& part : parts) f(std::span<const registration<Value>>(part));
  }

  /// Calls `f()` in the calling process while no other one is in `lock` with the same key. These keys are a space of their own.
  /// The lock is free again when `f` has returned or thrown, or when the caller has ended.
  /// Returns: what `f` returns.
  /// Fails:   registry_error{locked_already} if the caller has this lock; else with what `f` throws.
  /// Blocks:  the calling process or thread; in the order of coming.   Spec: EX-92.
  template <std::invocable F>
  decltype(auto) lock(key_view key, F&& f) {
    const detail::registry_lock held(core(), ref_of(key));
    return f();
  }

  /// Metadata: values of any type by name. They stay with this object, whatever becomes of its process.
  /// Fails:   meta<T>: registry_error{other_type} if what was put is no T.   Spec: EX-93.
  template <std::copy_constructible T>
  std::optional<T> meta(std::string_view name) const {
    std::optional<T> out;
    get_meta(name, type_hash<T>(), [](void* to, const void* value) {
      static_cast<std::optional<T>*>(to)->emplace(*static_cast<const T*>(value));
    }, &out);
    return out;
  }
  template <std::copy_constructible T>
  void put_meta(std::string_view name, T value) {
    registry_base::put_meta(name, type_hash<T>(), new T(std::move(value)), [](void* p) noexcept { delete static_cast<T*>(p); });
  }
  bool delete_meta(std::string_view name) noexcept { return registry_base::delete_meta(name); }

  /// Bytes of its tables, without what they lead to.
  using registry_base::table_bytes;
  /// Its process; none while it does not run.
  using registry_base::id;
  using registry_base::options;

  // --- via ---

  /// Registers `who`, which answers for it between two messages. Unique keys only.
  /// Returns: false if the key is taken, or `who` is dead.
  /// Fails:   registry_error: not_unique, not_running, key_too_long.   Spec: PR-75.
  bool register_name(key_view key, pid who, const Value& value = Value()) { return claim_for(key, &value, who, nullptr); }
  /// Takes `key` away from the calling process.   Spec: PR-75.
  void unregister_name(key_view key) { unregister_self(key); }
  /// For the library: `owner` is the slot of `who` if the caller owns it.
  bool claim_for(key_view key, const Value* value, pid who, detail::slot* owner) {
    must_be_unique("via");
    Value own = value != nullptr ? *value : make_value();
    const std::optional<Value> told = copy_for_listeners(own);
    const detail::key_ref ref = ref_of(key);
    const detail::claim_result r = owner != nullptr ? claim_by(*owner, ref, &own) : claim_of(who, ref, &own);
    if (r.what == detail::claim_result::taken || r.what == detail::claim_result::no_process || r.what == detail::claim_result::ending) return false;
    if (r.what != detail::claim_result::done) throw error_of(r, ref);
    if (told) tell(registered<Key, Value>{options().name, Key(key), who, *told});
    return true;
  }

 private:
  struct own_entry {
    std::uint64_t number;
    Value value;
  };

  static detail::key_ref ref_of(const key_view& key) noexcept {
    if constexpr (detail::text_key<Key>) return {.text = key, .hash = hash_of(key)};
    else return {.object = &key, .hash = detail::hash_of_key(key)};
  }
  static Key key_from(const detail::key_ref& key) {
    if constexpr (detail::text_key<Key>) return Key(key.text);
    else return *static_cast<const Key*>(key.object);
  }
  static Value value_from(const void* value) {
    if constexpr (std::is_empty_v<Value>) return Value();
    else return *static_cast<const Value*>(value);
  }
  static Value make_value() {
    static_assert(std::default_initializable<Value>, "coppice: this registry's value has no default: name processes by via(registry, key, value).");
    return Value();
  }
  template <class List>
  static void add_registration(void* to, const detail::key_ref&, pid who, const void* value) {
    static_cast<List*>(to)->push_back({who, value_from(value)});
  }

  std::vector<own_entry> own(key_view key) const {
    std::vector<own_entry> out;
    visit_own(ref_of(key), [](void* to, std::uint64_t number, const void* value) {
      static_cast<std::vector<own_entry>*>(to)->push_back({number, value_from(value)});
    }, &out);
    return out;
  }

  std::vector<std::vector<registration<Value>>> by_partition(key_view key) const {
    const detail::key_ref ref = ref_of(key);
    std::vector<std::vector<registration<Value>>> parts;
    for (unsigned i = 0; i != options().partitions; ++i) {
      std::vector<registration<Value>> part;
      visit_partition(i, ref, &add_registration<std::vector<registration<Value>>>, &part);
      if (!part.empty()) parts.push_back(std::move(part));
    }
    return parts;
  }

  template <class F>
  static void dispatch_parallel(const std::vector<std::vector<registration<Value>>>& parts, F& f) {
    task_group group;
    for (const auto& part : parts) static_cast<void>(group.async([&f, &part] { f(std::span<const registration<Value>>(part)); }));
    group.await_all();
  }

  std::optional<Value> copy_for_listeners(const Value& value) const {
    if (options().listeners.empty()) [[likely]] return std::nullopt;
    return value;
  }
  template <class M>
  void tell(const M& message) const {
    for (const std::string& listener : options().listeners)
      if (const std::optional<pid> who = coppice::whereis(listener)) send(*who, message);
  }
  void tell_unregistered(key_view key) const {
    if (!options().listeners.empty()) [[unlikely]] tell(unregistered<Key>{options().name, Key(key), self()});
  }
};

}  // namespace coppice
