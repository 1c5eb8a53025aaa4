// SPDX-License-Identifier: Apache-2.0
//
// bindings: how what is bound in a scope (scoped_value) goes along with what is started there.
#pragma once

#include <coppice/state/scoped_value.hpp>

namespace coppice::detail {

/// What is bound here, held for somebody who runs elsewhere; null: nothing.
binding* hold_bindings() noexcept;
void drop_bindings(binding* b) noexcept;

}  // namespace coppice::detail
