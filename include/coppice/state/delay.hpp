// SPDX-License-Identifier: Apache-2.0
//
// delay: a value that is computed when it is first asked for, once.
//
//     delay table([] { return read_table(); });
//     use(table.get());                            // reads it; from then on it is there
//
// The first to ask runs the function, all others wait. It runs outside of the transaction of who asks: it may be run for the first
// of several attempts, and what it gives is for all. If the process that runs it is killed in the middle, the next to ask runs it.
//
// Thread: any. Readers must be done before it is destroyed. Design note: docs/internals/futures.md.
#pragma once

#include <coppice/base/function.hpp>
#include <coppice/state/detail/eventual.hpp>

#include <concepts>
#include <type_traits>
#include <utility>

namespace coppice {

namespace detail {

struct delay_core;
delay_core* make_delay();
void drop_delay(delay_core* d) noexcept;
bool is_realized(const delay_core& d) noexcept;
/// Runs `compute(context)`, or waits for who does.   Returns: the box, which the delay holds.
box* force_delay(delay_core& d, box* (*compute)(void*), void* context);

}  // namespace detail

template <class T>
class delay {
 public:
  using value_type = T;

  /// `f()` runs when the value is first asked for.
  template <class F>
    requires(std::is_invocable_r_v<T, std::decay_t<F>&> && !std::same_as<std::decay_t<F>, delay>)
  explicit delay(F&& f) : f_(static_cast<F&&>(f)), core_(detail::make_delay()) {}
  ~delay() { detail::drop_delay(core_); }
  delay(const delay&) = delete;
  delay& operator=(const delay&) = delete;

  /// The value; the first call runs the function.
  /// Returns:  the value, itself if it is a word, else a snapshot.
  /// Fails:    with what the function threw, the same exception each time; recursive_delay when the function itself, or one that
  ///           it waits for by way of other delays, asks for this one.
  /// Blocks:   the calling process or thread, while another runs the function.
  /// Spec:     DL-1, DL-2, DL-4, DL-5.
  kept<T> get() const {
    return detail::keep_value<T>(*detail::force_delay(*core_, [](void* self) -> detail::box* {
      return detail::box_of_result<T>([&]() -> decltype(auto) { return static_cast<const delay*>(self)->f_(); });
    }, const_cast<delay*>(this)));
  }
  /// Whether the function has run.
  bool is_realized() const noexcept { return detail::is_realized(*core_); }

 private:
  mutable function<T()> f_;
  detail::delay_core* core_;
};

template <class F>
delay(F) -> delay<std::decay_t<std::invoke_result_t<F&>>>;

/// The value of a delay; anything else is returned as it is.   Spec: DL-3.
template <class T>
kept<T> force(const delay<T>& d) { return d.get(); }
template <class X>
X&& force(X&& x) noexcept { return static_cast<X&&>(x); }

}  // namespace coppice
