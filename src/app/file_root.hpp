// SPDX-License-Identifier: Apache-2.0
//
// file_root: a folder, beneath which files are opened and never outside of it. The kernel keeps to that (openat2, Linux 5.6); where it
// does not know how, each part of a path is opened by itself and no symbolic link is followed.
//
// Thread: any.
#pragma once

#include "process/owned_fd.hpp"

#include <string>
#include <string_view>

namespace coppice::internal {

class file_root {
 public:
  /// Throws: std::system_error.
  explicit file_root(const std::string& path);

  /// Opens `path`, which has no slash in front and no `..` in it, for reading.
  /// Returns: nothing, with errno set, when it is not there or leads out.
  owned_fd open(const std::string& path) const noexcept;
  /// The way for kernels without openat2.
  owned_fd open_by_steps(std::string_view path) const noexcept;

 private:
  owned_fd root_;
};

}  // namespace coppice::internal
