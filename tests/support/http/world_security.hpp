// SPDX-License-Identifier: Apache-2.0
//
// world_security: whether the worlds and clients of a test program speak TLS where nothing else is said. What it is linked with says
// so, and thus the same tests run both ways.
#pragma once

#include <coppice/app/http_server.hpp>

#include <vector>

namespace coppice::testing {

bool worlds_are_secure();
std::vector<tls_certificate> certificates_of_worlds();

}  // namespace coppice::testing
