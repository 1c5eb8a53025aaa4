// SPDX-License-Identifier: Apache-2.0
//
// port_holder: which OS process listens on a TCP port, as far as /proc tells. For error texts: slow, and out of date when it returns.
#pragma once

#include <cstdint>
#include <string>

namespace coppice::internal {

/// `nginx (OS process 123)`; empty if nobody does, or nobody whose descriptors we may see.
std::string port_holder(std::uint16_t port);

}  // namespace coppice::internal
