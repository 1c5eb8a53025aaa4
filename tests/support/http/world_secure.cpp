// SPDX-License-Identifier: Apache-2.0
#include "support/http/tls_folder.hpp"
#include "support/http/world_security.hpp"

namespace coppice::testing {

bool worlds_are_secure() { return true; }

std::vector<tls_certificate> certificates_of_worlds() {
  static const tls_folder folder;
  static const tls_certificate made = folder.make("localhost");
  return {made};
}

}  // namespace coppice::testing
