// SPDX-License-Identifier: Apache-2.0
//
// reference: what the kinds of references can do, as concepts, for functions that take any of them.
#pragma once

#include <coppice/base/time.hpp>

#include <concepts>
#include <utility>

namespace coppice {

/// `*x` looks at the present value and never blocks.   Spec: AT-21.
template <class X>
concept dereferenceable = requires(const X& x) { *x; typename X::value_type; };

/// `x.get(limit, otherwise)` waits for a value: futures and promises.   Spec: DR-1.
template <class X>
concept blocking_dereferenceable = requires(X& x, duration limit, typename X::value_type otherwise) {
  x.get(limit, std::move(otherwise));
};

/// `x.reset(v)`, or `x.set(v)` where that needs a transaction.
template <class X>
concept settable = requires(X& x, typename X::value_type v) { x.reset(std::move(v)); } ||
                   requires(X& x, typename X::value_type v) { x.set(std::move(v)); };

/// A change by a function of the old value, in one step.
template <class X>
concept swappable = requires(X& x, typename X::value_type (*f)(const typename X::value_type&)) { x.swap(f); x.swap_vals(f); };

/// A value that comes later.
template <class X>
concept pending_value = requires(const X& x) { { x.is_realized() } -> std::convertible_to<bool>; };

template <class X>
concept cancellable = requires(X& x) { { x.cancel() } -> std::convertible_to<bool>; };

}  // namespace coppice
