// SPDX-License-Identifier: Apache-2.0
//
// atom: a cell whose value is replaced as a whole, by a function of the old one. No lock: readers never wait, writers try again.
//
//     atom<int> hits(0);
//     hits.swap(inc);                              // from any thread
//     atom<std::vector<int>> all;
//     all.swap([](std::vector<int> v) { v.push_back(7); return v; });
//     auto v = *all;                               // a view: stays as it is, whatever others do
//
// Values are immutable: a change makes a new one. What was replaced is destroyed later, by whichever thread makes a change then;
// a destructor of a value may throw nothing and must not wait.
//
// Thread: any, all functions. Invariant: the order in which the value is replaced is one order for all threads.
// Design note: docs/internals/atoms.md.
#pragma once

#include <coppice/state/detail/observers.hpp>
#include <coppice/state/view.hpp>

#include <concepts>
#include <functional>  // std::invoke: functions of an atom may be pointers to members
#include <type_traits>
#include <utility>

namespace coppice {

template <class T>
struct atom_options {
  /// Answers whether a value may be the next one. Runs in whoever makes a change, in several threads at once.
  detail::validator_function<T> validator{};
  metadata meta{};
};

template <class T>
class atom : public detail::observed<atom<T>, T> {
  static_assert(std::is_object_v<T> && !std::is_const_v<T> && std::move_constructible<T>, "atom<T>: T is a type of values that can be moved");
  static constexpr bool is_word = detail::word_value<T>;
  using box = detail::box;
  using value_box = detail::value_box<T>;

 public:
  using value_type = T;
  static constexpr const char* noun = "atom";

  atom() requires std::default_initializable<T> : atom(T{}) {}
  /// Fails: invalid_state when the validator refuses `value`.   Spec: AT-1, VA-2.
  explicit atom(T value, atom_options<T> options = {}) {
    if (options.validator && !options.validator(value)) detail::refuse(noun);
    if (options.validator) detail::replace_validator(observers_, detail::make_validator<T>(std::move(options.validator)));
    if (!options.meta.empty()) detail::put_metadata(observers_, std::move(options.meta));
    if constexpr (is_word)
      cell_.store(detail::to_word(value), detail::sync::relaxed);
    else
      cell_.store(detail::make_box<T>([&]() -> T { return std::move(value); }), detail::sync::release);
  }
  /// Snapshots stay valid; views must be gone.
  ~atom() {
    if constexpr (!is_word) detail::drop_holder(cell_.load(detail::sync::acquire));
  }

  /// The value now: itself if it is a word, else a view of it.
  /// Blocks: never.   Cost: one load; a view 1 ns.   Spec: AT-1.
  look<T> operator*() const {
    if constexpr (is_word)
      return detail::from_word<T>(cell_.load(detail::sync::acquire));
    else
      return view<T>(detail::made_by{}, [this](detail::guard& g) { return value_of(g.protect(cell_)); });
  }
  /// `a->member`: of the value now.
  view<T> operator->() const requires(!is_word) { return operator*(); }
  /// A copy of the value now.
  T get() const requires std::copy_constructible<T> {
    const auto& now = **this;
    return now;
  }
  /// `f(value)` without a copy.
  template <class F>
  decltype(auto) read(F&& f) const {
    const auto& now = **this;
    return std::invoke(static_cast<F&&>(f), static_cast<const T&>(now));
  }

  /// Sets the value to `f(old, args…)`; `f` is called again when another change came first.
  /// Returns:  the new value.
  /// Fails:    what `f`, the validator or a watch throws; invalid_state. Nothing has changed then, unless a watch threw.
  /// Cost:     about one compare-and-swap; values that are no words: an allocation from the thread's own pool.
  /// Spec:     AT-2..AT-6, AT-13..AT-19.
  template <class F, class... Args>
    requires std::is_invocable_r_v<T, F&, const T&, const Args&...>
  look<T> swap(F f, const Args&... args) {
    if constexpr (is_word)
      return change([&](const T& old) -> T { return std::invoke(f, old, args...); }).second;
    else
      return view<T>(detail::made_by{}, [&](detail::guard& g) {
        return change(g, [&](const T& old) -> T { return std::invoke(f, old, args...); }, nullptr);
      });
  }
  /// As swap.   Returns: the value before and the new one.   Spec: AT-7.
  template <class F, class... Args>
    requires std::is_invocable_r_v<T, F&, const T&, const Args&...>
  auto swap_vals(F f, const Args&... args) {
    return vals([&](const T& old) -> T { return std::invoke(f, old, args...); });
  }
  /// As swap.   Returns: the value before.   Spec: AT-20.
  template <class F, class... Args>
    requires std::is_invocable_r_v<T, F&, const T&, const Args&...>
  auto trade(F f, const Args&... args) {
    return swap_vals(std::move(f), args...).first;
  }

  /// Sets the value, whatever it is now.   Returns: the new value.   Fails: as swap.   Spec: AT-8, AT-10.
  look<T> reset(T value) {
    if constexpr (is_word)
      return replace(value).second;
    else
      return view<T>(detail::made_by{}, [&](detail::guard& g) { return replace(g, value, nullptr); });
  }
  /// As reset.   Returns: the value that was replaced, and the new one.   Spec: AT-9.
  auto reset_vals(T value) {
    if constexpr (is_word) {
      return replace(value);
    } else {
      snapshot<T> before;
      view<T> now(detail::made_by{}, [&](detail::guard& g) { return replace(g, value, &before); });
      return std::pair<snapshot<T>, snapshot<T>>(std::move(before), now.keep());
    }
  }
  /// As reset.   Returns: the value that was replaced.   Spec: AT-20.
  auto exchange(T value) { return reset_vals(std::move(value)).first; }

  /// Sets the value if it is `expected` now: for words, equal to it.
  /// Returns:  whether it was.   Fails: as swap; `value` is validated first.   Spec: AT-11, AT-12.
  bool compare_and_set(const T& expected, T value) requires is_word {
    check(observers_.load(detail::sync::acquire), value);
    for (;;) {
      std::uint64_t seen = cell_.load(detail::sync::acquire);
      const T old = detail::from_word<T>(seen);
      if (!(old == expected)) return false;
      if (!cell_.cas(seen, detail::to_word(value), detail::sync::seq_cst)) continue;
      tell(old, value);
      return true;
    }
  }
  /// … and for all others, that very object: what `expected` shows.
  bool compare_and_set(const view<T>& expected, T value) requires(!is_word) { return set_if(expected.identity(), value); }
  bool compare_and_set(const snapshot<T>& expected, T value) requires(!is_word) { return set_if(expected.identity(), value); }

  /// A new atom with this value, and nothing else of this one.   Spec: AT-20.
  friend atom clone(const atom& of) requires std::copy_constructible<T> { return atom(of.get()); }

 private:
  friend detail::observed<atom<T>, T>;
  using observers = detail::observers;
  using detail::observed<atom<T>, T>::observers_;

  look<T> look_now() const { return **this; }
  static const T* value_of(const box* b) noexcept { return &static_cast<const value_box*>(b)->value; }

  void check(observers* x, const T& value) {
    if (x != nullptr) [[unlikely]] detail::validate(*x, &value, noun);
  }
  /// Asks for observers anew: who came before the change must hear of it.
  void tell(const T& old, const T& now) {
    observers* x = observers_.load(detail::sync::acquire);
    if (x != nullptr) [[unlikely]] detail::notify(*x, static_cast<atom*>(this), &old, &now);
  }

  // --- words

  // The observers are loaded before the value: behind it they would widen the gap in which others come first.
  template <class Next>
  std::pair<T, T> change(Next&& next) requires is_word {
    for (;;) {
      observers* x = observers_.load(detail::sync::acquire);
      std::uint64_t seen = cell_.load(detail::sync::acquire);
      const T old = detail::from_word<T>(seen);
      const T now = next(old);
      check(x, now);
      if (!cell_.cas(seen, detail::to_word(now), detail::sync::seq_cst)) {
        detail::note_conflict();
        continue;
      }
      tell(old, now);
      return {old, now};
    }
  }
  std::pair<T, T> replace(const T& value) requires is_word {
    check(observers_.load(detail::sync::acquire), value);
    const T old = detail::from_word<T>(cell_.exchange(detail::to_word(value), detail::sync::seq_cst));
    tell(old, value);
    return {old, value};
  }

  // --- boxes

  /// After user code has run under `g`: whether `fresh`, soon visible, is protected by it, too. If the fiber has left its stack
  /// meanwhile it is not, and the guard needs a count of its own on it.
  static bool needs_count(const detail::guard& g, box* fresh) noexcept {
    if (!g.is_counted()) [[likely]] return false;
    fresh->holders.store(2, detail::sync::relaxed);
    return true;
  }
  /// `old` was replaced by `fresh` under `g`, which protects `fresh` from here on.
  const T* settle(detail::guard& g, box* old, box* fresh, bool counts, snapshot<T>* before) {
    if (before != nullptr) {
      old->holders.fetch_add(1, detail::sync::relaxed);
      *before = snapshot<T>(detail::made_by{}, old, value_of(old));
    }
    observers* x = observers_.load(detail::sync::acquire);
    if (x == nullptr) [[likely]] {
      detail::retire(old);
      hand_on(g, fresh, counts);
      return value_of(fresh);
    }
    return tell_boxed(*x, g, old, fresh, counts);
  }
  static void hand_on(detail::guard& g, box* fresh, bool counts) noexcept {
    if (counts) [[unlikely]]
      g.take_over(fresh);
    else
      g.keep(fresh);
  }
  const T* tell_boxed(observers& x, detail::guard& g, box* old, box* fresh, bool counts) {
    const snapshot<T> before(detail::made_by{}, hold(old), value_of(old));
    detail::retire(old);
    hand_on(g, fresh, counts);
    detail::notify(x, static_cast<atom*>(this), value_of(old), value_of(fresh));
    return value_of(fresh);
  }
  static box* hold(box* b) noexcept {
    b->holders.fetch_add(1, detail::sync::relaxed);
    return b;
  }

  template <class Next>
  const T* change(detail::guard& g, Next&& next, snapshot<T>* before) requires(!is_word) {
    for (;;) {
      observers* x = observers_.load(detail::sync::acquire);
      box* old = g.protect(cell_);
      value_box* fresh = detail::make_box<T>([&]() -> T { return next(*value_of(old)); });
      if (x != nullptr) [[unlikely]] check_boxed(*x, fresh);
      const bool counts = needs_count(g, fresh);
      box* seen = old;
      if (cell_.cas(seen, fresh, detail::sync::seq_cst)) [[likely]] return settle(g, old, fresh, counts, before);
      detail::note_conflict();
      detail::discard(fresh);
    }
  }
  const T* replace(detail::guard& g, T& value, snapshot<T>* before) requires(!is_word) {
    value_box* fresh = detail::make_box<T>([&]() -> T { return std::move(value); });
    if (observers* x = observers_.load(detail::sync::acquire); x != nullptr) [[unlikely]] check_boxed(*x, fresh);
    box* old = nullptr;
    bool counts = false;
    do {                                         // an exchange: but the guard must protect what it takes out
      old = g.protect(cell_);
      counts = needs_count(g, fresh);
    } while (!cell_.cas(old, static_cast<box*>(fresh), detail::sync::seq_cst));
    return settle(g, old, fresh, counts, before);
  }
  bool set_if(const box* expected, T& value) requires(!is_word) {
    detail::guard g;
    value_box* fresh = detail::make_box<T>([&]() -> T { return std::move(value); });
    if (observers* x = observers_.load(detail::sync::acquire); x != nullptr) [[unlikely]] check_boxed(*x, fresh);
    box* seen = g.protect(cell_);
    const bool counts = needs_count(g, fresh);
    if (seen != expected || !cell_.cas(seen, static_cast<box*>(fresh), detail::sync::seq_cst)) {
      detail::discard(fresh);
      return false;
    }
    settle(g, seen, fresh, counts, nullptr);
    return true;
  }
  static void check_boxed(observers& x, value_box* fresh) {
    try {
      detail::validate(x, &fresh->value, noun);
    } catch (...) {
      detail::discard(fresh);
      throw;
    }
  }

  template <class Next>
  auto vals(Next&& next) {
    if constexpr (is_word) {
      return change(static_cast<Next&&>(next));
    } else {
      snapshot<T> before;
      view<T> now(detail::made_by{}, [&](detail::guard& g) { return change(g, next, &before); });
      return std::pair<snapshot<T>, snapshot<T>>(std::move(before), now.keep());
    }
  }

  detail::sync::atomic<std::conditional_t<is_word, std::uint64_t, box*>> cell_{};
};

}  // namespace coppice
