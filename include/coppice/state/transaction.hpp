// SPDX-License-Identifier: Apache-2.0
//
// transaction: several refs changed, or looked at, as if nobody else were there.
//
//     transact([&] {
//       from.alter(minus, amount);
//       to.alter(plus, amount);
//     });
//     money total = transact([&] { return *ann + *bob; });
//
// All reads of one run of the body are from one instant; all writes become visible at one instant. A body that meets another's
// change is run again, so whatever it does beside refs may happen more than once: io_guard refuses that.
// Design note: docs/internals/transactions.md.
#pragma once

#include <coppice/state/detail/ref_core.hpp>

#include <concepts>
#include <optional>
#include <type_traits>
#include <utility>

namespace coppice {

struct transact_options {
  std::uint32_t attempts = 10'000;               ///< then retry_limit is thrown
};

/// Runs `body()` as a transaction; inside of one, as a part of it.
/// Returns:  what `body` returns in the run that was committed.
/// Fails:    what `body`, a validator, a function of commute at the commit, or (after the commit) a watch throws; retry_limit.
///           But for watches nothing is changed then.
/// Blocks:   the calling process or thread, while another transaction has what this one writes; 100 ms at a time.
/// Thread:   any; the transaction belongs to the calling process or thread alone.
/// Spec:     TX-1..TX-37.
template <class F>
  requires std::invocable<F&>
auto transact(F&& body, const transact_options& options = {}) {
  using result = std::decay_t<std::invoke_result_t<F&>>;
  using function = std::remove_reference_t<F>;
  if constexpr (std::is_void_v<result>) {
    detail::run_transaction([](void* f) { (*static_cast<function*>(f))(); },
                            const_cast<void*>(static_cast<const void*>(std::addressof(body))), options.attempts);
  } else {
    std::optional<result> out;
    auto keep = [&] { out.emplace(body()); };
    detail::run_transaction([](void* f) { (*static_cast<decltype(keep)*>(f))(); }, &keep, options.attempts);
    return std::move(*out);
  }
}

/// Whether a transaction is running here.
inline bool is_in_transaction() noexcept { return detail::current_transaction() != nullptr; }

/// Runs `f()`, which does what must not happen twice.
/// Returns:  what `f` returns.   Fails: in_transaction, with `why` as its text, inside of a transaction.   Spec: TX-16.
template <class F>
  requires std::invocable<F&>
decltype(auto) io_guard(F&& f, const char* why = "i/o in a transaction: its body may run more than once") {
  if (is_in_transaction()) detail::refuse_io(why);
  const detail::io_scope in;
  return static_cast<F&&>(f)();
}
/// Fails: state_error when this is not inside of an io_guard.   Spec: TX-16.
inline void ensure_io() {
  if (!detail::is_in_io()) throw state_error("ensure_io: not inside of io_guard");
}

}  // namespace coppice
