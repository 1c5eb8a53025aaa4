// SPDX-License-Identifier: Apache-2.0
//
// runs: a simulated thread that runs a lambda; joined at the end of its scope.
#pragma once

#include <coppice/base/detail/sync.hpp>

#include <utility>

namespace coppice::testing {

template <class Body>
class runs {
 public:
  explicit runs(Body body, const char* name = nullptr) : body_(std::move(body)) {
    thread_ = detail::sync::thread([](void* self) { static_cast<runs*>(self)->body_(); }, this, name);
  }
  runs(const runs&) = delete;
  runs& operator=(const runs&) = delete;
  ~runs() { join(); }
  void join() {
    if (thread_.joinable()) thread_.join();
  }

 private:
  Body body_;
  detail::sync::thread thread_;
};

}  // namespace coppice::testing
