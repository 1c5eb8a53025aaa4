// SPDX-License-Identifier: Apache-2.0
#include "support/http/world_security.hpp"

namespace coppice::testing {

bool worlds_are_secure() { return false; }
std::vector<tls_certificate> certificates_of_worlds() { return {}; }

}  // namespace coppice::testing
