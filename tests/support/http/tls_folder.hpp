// SPDX-License-Identifier: Apache-2.0
//
// tls_folder: a folder for certificates and keys that are made when they are needed.
#pragma once

#include <coppice/app/http_server.hpp>

#include <string>
#include <string_view>

namespace coppice::testing {

class tls_folder {
 public:
  tls_folder();
  ~tls_folder();
  tls_folder(const tls_folder&) = delete;

  /// A certificate for the host `name` that is its own authority, valid from and until so many days from now, and its key.
  tls_certificate make(const std::string& name, int from = -1, int until = 30) const;
  /// A file with this text.   Returns: its path.
  std::string file(const std::string& name, std::string_view text) const;
  std::string path_of(const std::string& name) const { return path_ + '/' + name; }

 private:
  std::string path_;
};

}  // namespace coppice::testing
