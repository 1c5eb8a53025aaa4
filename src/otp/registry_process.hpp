// SPDX-License-Identifier: Apache-2.0
//
// registry_process: the process with which a registry runs, and ends. It is linked with whoever supervises it; its own end,
// whatever the reason, ends all who are registered.
#pragma once

#include <coppice/otp/gen_server.hpp>

#include "otp/registry_core.hpp"

namespace coppice::internal {

/// Holds a registry, as a value that a child's specification keeps.
class registry_handle {
 public:
  explicit registry_handle(detail::registry_core& core) noexcept : core_(&core) { detail::hold(core); }
  registry_handle(const registry_handle& other) noexcept : registry_handle(*other.core_) {}
  registry_handle& operator=(const registry_handle&) = delete;
  ~registry_handle() { detail::let_go(*core_); }

  detail::registry_core& core() const noexcept { return *core_; }
  friend bool operator==(const registry_handle& a, const registry_handle& b) noexcept { return a.core_ == b.core_; }
  friend std::string to_text(const registry_handle& r) { return "registry \"" + r.core_->options.name + '"'; }

 private:
  detail::registry_core* core_;
};

struct registry_process {
  init_outcome<> init(registry_handle of);
};

}  // namespace coppice::internal
