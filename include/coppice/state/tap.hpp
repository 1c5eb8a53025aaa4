// SPDX-License-Identifier: Apache-2.0
//
// tap: changes of a reference as messages to a process.
//
//     a.tap(self());
//     receive([](changed<int> c) { show(c.old, c.now); });
#pragma once

#include <variant>

namespace coppice {

/// A tapped reference changed.   Spec: TP-1.
template <class T>
struct changed {
  std::monostate source{};                       ///< empty: the message keeps the reference from nothing
  T old;
  T now;
};

/// A tapped reference is gone.   Spec: TP-5.
struct tap_closed {};

struct tap_options {
  bool keep_open = false;                        ///< no tap_closed when the reference is destroyed
};

}  // namespace coppice
