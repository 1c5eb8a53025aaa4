// SPDX-License-Identifier: Apache-2.0
//
// ref: a cell that is changed in transactions only, together with others.
//
//     ref<int> ann(100, {.validator = [](int x) { return x >= 0; }}), bob(0);
//     transact([&] { ann.alter(minus, 30); bob.alter(plus, 30); });
//     int now = *ann;                              // anywhere
//
// Thread: any. Views of a value, and a transaction that uses it, must be over before a ref is destroyed; snapshots stay valid.
#pragma once

#include <coppice/state/detail/observers.hpp>
#include <coppice/state/detail/ref_core.hpp>
#include <coppice/state/transaction.hpp>
#include <coppice/state/view.hpp>

#include <concepts>
#include <functional>  // std::invoke: functions of a ref may be pointers to members
#include <tuple>
#include <type_traits>
#include <utility>

namespace coppice {

template <class T>
struct ref_options {
  /// Answers whether a value may be committed. Runs at the commit, in the transaction.
  detail::validator_function<T> validator{};
  metadata meta{};
  unsigned min_history = 0;                      ///< older versions kept in any case
  unsigned max_history = 10;                     ///< … and at most, as readers turn out to need them
};

template <class T>
class ref : public detail::observed<ref<T>, T, detail::ref_core> {
  using base = detail::observed<ref<T>, T, detail::ref_core>;
  static_assert(std::is_object_v<T> && !std::is_const_v<T> && std::move_constructible<T>, "ref<T>: T is a type of values that can be moved");
  using box = detail::box;
  using value_box = detail::value_box<T, detail::version_head>;

 public:
  using value_type = T;
  static constexpr const char* noun = "ref";

  ref() requires std::default_initializable<T> : ref(T{}) {}
  /// Fails: invalid_state when the validator refuses `value`.   Spec: RF-1, VA-2.
  explicit ref(T value, ref_options<T> options = {}) {
    if (options.validator && !options.validator(value)) detail::refuse(noun);
    if (options.validator) detail::replace_validator(observers_, detail::make_validator<T>(std::move(options.validator)));
    if (!options.meta.empty()) detail::put_metadata(observers_, std::move(options.meta));
    detail::ref_core& mine = core();
    mine.least.store(options.min_history, detail::sync::relaxed);
    mine.most.store(options.max_history, detail::sync::relaxed);
    mine.begin(make([&]() -> T { return std::move(value); }), detail::word_value<T>, this);
  }

  /// The value: in a transaction as that sees it, else the last committed one. Itself if it is a word, else a view of it.
  /// Fails:  in a transaction: the signal to begin anew, which is no std::exception.   Blocks: for the moment that a commit takes.
  /// Cost:   about 3 ns.   Spec: RF-1, TX-1, TX-2.
  look<T> operator*() const {
    if constexpr (detail::word_value<T>)
      return detail::from_word<T>(detail::look_at_word(core()));
    else
      return show([this](detail::guard& g) { return &detail::look_at(core(), g); });
  }
  view<T> operator->() const requires(!detail::word_value<T>) { return operator*(); }
  T get() const requires std::copy_constructible<T> {
    const auto& now = **this;
    return now;
  }
  template <class F>
  decltype(auto) read(F&& f) const {
    const auto& now = **this;
    return std::invoke(static_cast<F&&>(f), static_cast<const T&>(now));
  }
  /// Calls the value.   Spec: RF-10.
  template <class... Args>
    requires std::invocable<const T&, Args...>
  decltype(auto) operator()(Args&&... args) const {
    const auto& now = **this;
    return std::invoke(static_cast<const T&>(now), static_cast<Args&&>(args)...);
  }

  /// Sets the value to `f(value, args…)` in the running transaction.
  /// Returns:  the new value as the transaction sees it.
  /// Fails:    no_transaction; set_after_commute; what `f` throws.   Spec: RF-2, RF-3, TX-1, TX-23.
  template <class F, class... Args>
    requires std::is_invocable_r_v<T, F&, const T&, const Args&...>
  look<T> alter(F f, const Args&... args) {
    if constexpr (detail::word_value<T>) {
      const auto [t, bits] = detail::begin_word_write(core());
      const T old = detail::from_word<T>(bits);
      return put(*t, make([&]() -> T { return std::invoke(f, old, args...); }));
    } else {
      return show([&](detail::guard& g) {
        const auto [t, old] = detail::begin_write(core(), g);
        return put(*t, make([&]() -> T { return std::invoke(f, value_of(*old), args...); }), g);
      });
    }
  }
  /// Sets the value in the running transaction.   Returns, fails: as alter.
  look<T> set(T value) {
    if constexpr (detail::word_value<T>) {
      detail::transaction& t = detail::begin_blind_write(core());
      return put(t, make([&]() -> T { return value; }));
    } else {
      return show([&](detail::guard& g) {
        detail::transaction& t = detail::begin_blind_write(core());
        return put(t, make([&]() -> T { return std::move(value); }), g);
      });
    }
  }
  /// As alter, for functions whose order does not matter: `f` runs now, on the last committed value, and once more at the commit, on
  /// the value that is committed then; so commutes of several transactions do not disturb one another.
  /// `f` and `args` are copied.   Spec: TX-19..TX-26.
  template <class F, class... Args>
    requires std::is_invocable_r_v<T, F&, const T&, const Args&...>
  look<T> commute(F f, const Args&... args) {
    detail::transaction& t = detail::transaction_for("commute");
    return show([&](detail::guard& g) -> const box* {
      const box& old = detail::begin_commute(t, core(), g);
      value_box* fresh = make([&]() -> T { return std::invoke(f, value_of(old), args...); });
      detail::put_commuted(t, core(), fresh, record_commute(f, args...));
      detail::keep_made(g, fresh);
      return fresh;
    });
  }
  /// Keeps others from committing this ref until the transaction ends.   Returns: the value as the transaction sees it.
  /// Fails:  no_transaction.   Spec: TX-9..TX-11.
  look<T> ensure() {
    detail::transaction& t = detail::transaction_for("ensure");
    return show([&](detail::guard& g) { return &detail::ensure_ref(t, core(), g); });
  }

  /// How many older versions are kept.   Spec: RF-4..RF-8.
  unsigned history_count() const noexcept { return core().history.load(detail::sync::acquire); }
  unsigned min_history() const noexcept { return core().least.load(detail::sync::relaxed); }
  unsigned max_history() const noexcept { return core().most.load(detail::sync::relaxed); }
  ref& min_history(unsigned versions) noexcept {
    core().least.store(versions, detail::sync::relaxed);
    return *this;
  }
  ref& max_history(unsigned versions) noexcept {
    core().most.store(versions, detail::sync::relaxed);
    return *this;
  }

  /// The order by creation.   Spec: RF-11.
  friend bool operator<(const ref& a, const ref& b) noexcept { return a.order < b.order; }
  /// A new ref with this value, and nothing else of this one.   Spec: RF-12.
  friend ref clone(const ref& of) requires std::copy_constructible<T> { return ref(of.get()); }

 private:
  friend base;
  using base::observers_;

  detail::ref_core& core() const noexcept { return const_cast<ref&>(*this); }
  look<T> look_now() const { return operator*(); }
  static const T& value_of(const box& b) noexcept { return static_cast<const value_box&>(b).value; }
  template <class Make>
  static value_box* make(Make&& how) { return detail::make_box<T, detail::version_head>(static_cast<Make&&>(how)); }
  T put(detail::transaction& t, value_box* fresh) requires detail::word_value<T> {
    const T now = fresh->value;
    detail::put_value(t, core(), fresh);
    return now;
  }
  const box* put(detail::transaction& t, value_box* fresh, detail::guard& g) {
    detail::put_value(t, core(), fresh);
    detail::keep_made(g, fresh);
    return fresh;
  }
  template <class Find>
  static look<T> show(Find&& find) {
    if constexpr (detail::word_value<T>) {
      detail::guard g;
      return value_of(*find(g));
    } else {
      return view<T>(detail::made_by{}, [&](detail::guard& g) { return &value_of(*find(g)); });
    }
  }

  template <class F, class... Args>
  detail::commute_record* record_commute(F& f, const Args&... args) {
    struct record : detail::commute_record {
      record(F& function, const Args&... values) : f(function), arguments(values...) {}
      mutable F f;
      std::tuple<Args...> arguments;
    };
    static_assert(alignof(record) <= 64);
    void* place = detail::allocate_box(sizeof(record));
    record* r = nullptr;
    try {
      r = ::new (place) record(f, args...);
    } catch (...) {
      detail::free_box(place, sizeof(record));
      throw;
    }
    r->ref = &core();
    r->bytes = sizeof(record);
    r->apply = [](const detail::commute_record& self, const box& current) -> box* {
      const auto& mine = static_cast<const record&>(self);
      return make([&]() -> T {
        return std::apply([&](const Args&... values) -> T { return std::invoke(mine.f, value_of(current), values...); }, mine.arguments);
      });
    };
    r->destroy = [](detail::commute_record& self) noexcept { static_cast<record&>(self).~record(); };
    return r;
  }
};

}  // namespace coppice
