// SPDX-License-Identifier: Apache-2.0
//
// eventual: the record of a value that comes once. Counted; whoever waits holds it.
//
//     phase:  pending -> writing -> there        who moves it from pending has won; the value is written in between
//             pending -> cancelled
//
// Invariants
//   1. `value` or `why` is written before `there` is stored, and never again.
//   2. The phase is stored with seq_cst before those who wait are woken (wait_list.hpp).
// Design note: docs/internals/futures.md.
#pragma once

#include <coppice/state/detail/eventual.hpp>

#include "state/wait_list.hpp"

#include <exception>

namespace coppice::detail {

struct eventual {
  enum phases : std::uint32_t { pending, writing, there, called_off };

  eventual() = default;
  eventual(const eventual&) = delete;
  eventual& operator=(const eventual&) = delete;
  ~eventual() {
    if (value.get() != nullptr) drop_holder(value);
  }

  sync::atomic<std::uint32_t> holders{1, "eventual"};
  sync::atomic<std::uint32_t> phase{pending, "eventual phase"};
  sync::var<box*> value{nullptr, "eventual value"};
  std::exception_ptr why{};
  internal::wait_list waiters;
};

}  // namespace coppice::detail
