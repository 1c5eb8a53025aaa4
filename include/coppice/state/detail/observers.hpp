// SPDX-License-Identifier: Apache-2.0
//
// observers: what may hang on a reference beside its value: a validator, watches, taps, metadata. Most references have none
// of them: then there is only a null pointer. The compiled half is src/state/observers.cpp.
//
// Invariants
//   1. No lock is held while a user's function runs, but for alter_meta, which has one of its own.
//   2. A list of watches and taps is never changed, only replaced: whoever notifies walks the one that was there at the start.
#pragma once

#include <coppice/base/detail/sync.hpp>
#include <coppice/base/function.hpp>
#include <coppice/process/pid.hpp>
#include <coppice/process/process.hpp>
#include <coppice/runtime/detail/epoch.hpp>
#include <coppice/state/metadata.hpp>
#include <coppice/state/state_error.hpp>
#include <coppice/state/tap.hpp>
#include <coppice/state/view.hpp>

#include <concepts>
#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <utility>

namespace coppice::detail {

struct observers;
using observers_cell = sync::atomic<observers*>;

struct validator_head : box {
  using box::box;
  bool (*accepts)(const validator_head& self, const void* value) = nullptr;
};
struct watch_head : box {
  using box::box;
  void (*call)(const watch_head& self, std::string_view key, void* reference, const void* old, const void* now) = nullptr;
};
/// How the items of a tap are made. One constant for each type.
struct tap_class {
  void (*send)(pid to, const void* old, const void* now);
};

/// Takes the validator; null: none.
void replace_validator(observers_cell& cell, validator_head* validator);
bool has_validator(observers_cell& cell) noexcept;
/// Throws invalid_state when the validator refuses, and what the validator throws.
void validate(observers& x, const void* value, const char* what);
[[noreturn]] void refuse(const char* what);

void put_watch(observers_cell& cell, std::string_view key, watch_head* watch);
void take_watch(observers_cell& cell, std::string_view key);
void put_tap(observers_cell& cell, pid to, const tap_class& how, const tap_options& options);
void take_tap(observers_cell& cell, pid to);
void take_all_taps(observers_cell& cell);
/// Calls all watches and feeds all taps. An exception of a watch leaves at once; with `all`, when all have run.
void notify(observers& x, void* reference, const void* old, const void* now, bool all = false);
/// For the statistics: a change of an atom came second, and is made again.
void note_conflict() noexcept;
/// Whether a change has anybody to tell.
bool is_watched(const observers& x) noexcept;

metadata read_metadata(observers_cell& cell);
metadata change_metadata(observers_cell& cell, metadata (*change)(void* context, const metadata& old), void* context);
void put_metadata(observers_cell& cell, metadata meta);

/// The reference is going: those who tap it hear of it.
void drop_observers(observers_cell& cell) noexcept;

template <class T>
using validator_function = function<bool(const T&) const>;

template <class T>
validator_head* make_validator(validator_function<T> f) {
  if (!f) return nullptr;
  using stored = value_box<validator_function<T>, validator_head>;
  stored* v = make_box<validator_function<T>, validator_head>([&]() -> validator_function<T> { return std::move(f); });
  v->accepts = [](const validator_head& self, const void* value) {
    return static_cast<const stored&>(self).value(*static_cast<const T*>(value));
  };
  return v;
}

template <class T>
inline constexpr tap_class tap_class_of{[](pid to, const void* old, const void* now) {
  send(to, changed<T>{{}, *static_cast<const T*>(old), *static_cast<const T*>(now)});
}};

/// Where observers hang.
struct observers_holder {
  mutable observers_cell observers_{nullptr, "observers"};
};

/// What atoms, refs and agents have in common. `Reference` has value_type, a function `look_now()` and a name. `Holder` is an
/// observers_holder, perhaps with more that belongs on its line.
template <class Reference, class T, class Holder = observers_holder>
class observed : protected Holder {
 protected:
  using Holder::observers_;

 public:
  observed(const observed&) = delete;
  observed& operator=(const observed&) = delete;

  using watch_function = function<void(std::string_view key, Reference& reference, const T& old, const T& now) const>;

  /// Sets the validator, which every new value must pass from now on; null: none.
  /// Fails:   invalid_state when the present value does not pass, and what `f` throws; the former validator stays then.
  /// Thread:  any.   Spec: VA-3, VA-4, VA-7.
  void set_validator(validator_function<T> f) {
    if (f) {
      const auto& now = self().look_now();
      if (!f(now)) refuse(Reference::noun);
    }
    replace_validator(observers_, make_validator<T>(std::move(f)));
  }
  /// Whether there is a validator.
  bool has_validator() noexcept { return detail::has_validator(observers_); }

  /// Calls `f(key, reference, old, new)` after each change. A watch with that key is replaced.
  /// Thread:  any; several changes may call it at once.   Spec: WA-1..WA-8.
  Reference& add_watch(std::string_view key, watch_function f) {
    using stored = value_box<watch_function, watch_head>;
    stored* w = make_box<watch_function, watch_head>([&]() -> watch_function { return std::move(f); });
    w->call = [](const watch_head& of, std::string_view k, void* changed, const void* old, const void* now) {
      static_cast<const stored&>(of).value(k, *static_cast<Reference*>(changed), *static_cast<const T*>(old),
                                           *static_cast<const T*>(now));
    };
    put_watch(observers_, key, w);
    return self();
  }
  /// Removes a watch; nothing happens if there is none.   Spec: WA-2.
  Reference& remove_watch(std::string_view key) {
    take_watch(observers_, key);
    return self();
  }

  /// Sends `to` a `changed<T>` after each change.   Blocks: never.   Spec: TP-1..TP-7.
  Reference& tap(pid to, const tap_options& options = {}) requires std::copy_constructible<T> {
    put_tap(observers_, to, tap_class_of<T>, options);
    return self();
  }
  Reference& untap(pid to) {
    take_tap(observers_, to);
    return self();
  }
  Reference& untap_all() {
    take_all_taps(observers_);
    return self();
  }

  /// The metadata.   Spec: ME-1.
  metadata meta() const { return read_metadata(observers_); }
  /// Sets it to `f(old, args…)`.   Returns: what it is then.   Blocks: while another alter_meta of this reference runs.   Spec: ME-2.
  template <class F, class... Args>
    requires std::is_invocable_r_v<metadata, F&, const metadata&, Args&...>
  metadata alter_meta(F f, Args... args) {
    auto change = [&](const metadata& old) -> metadata { return f(old, args...); };
    return change_metadata(observers_, [](void* c, const metadata& old) { return (*static_cast<decltype(change)*>(c))(old); }, &change);
  }
  /// Replaces it.   Returns: `m`.
  metadata reset_meta(metadata m) {
    put_metadata(observers_, m);
    return m;
  }

 protected:
  observed() noexcept = default;
  ~observed() {
    if (observers_.load(sync::acquire) != nullptr) drop_observers(observers_);
  }
  Reference& self() noexcept { return static_cast<Reference&>(*this); }
};

}  // namespace coppice::detail
