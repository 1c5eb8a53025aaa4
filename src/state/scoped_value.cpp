// SPDX-License-Identifier: Apache-2.0
//
// scoped_value: the chain of what is bound. A scope holds its own link, a link the one around it; an action or a future that was
// started in the scope holds the link, so the chain outlives the scope for it.
#include <coppice/state/scoped_value.hpp>

#include "state/activity.hpp"
#include "state/bindings.hpp"

#include <new>
#include <utility>

namespace coppice::detail {

using internal::activity;
using internal::current_activity;
using internal::inside;

const binding* find_binding(const void* key) noexcept {
  const activity* now = current_activity();
  const binding* b = now != nullptr ? now->bound : nullptr;
  while (b != nullptr && b->key != key) b = b->outer;
  return b;
}

binding* hold_bindings() noexcept {
  const activity* now = current_activity();
  if (now == nullptr || now->bound == nullptr) return nullptr;
  now->bound->holders.fetch_add(1, sync::relaxed);
  return now->bound;
}

void drop_bindings(binding* b) noexcept {
  while (b != nullptr && b->holders.fetch_sub(1, sync::acq_rel) == 1) {
    binding* outer = b->outer;
    b->destroy(b);
    b = outer;
  }
}

static_assert(sizeof(inside) <= 96);
binding_scope::binding_scope(binding* fresh) noexcept : bound_(fresh) {
  fresh->outer = hold_bindings();
  ::new (static_cast<void*>(place_)) inside([&](activity& a) { a.bound = fresh; });
}
binding_scope::~binding_scope() {
  std::launder(reinterpret_cast<inside*>(place_))->~inside();
  drop_bindings(bound_);
}

}  // namespace coppice::detail
