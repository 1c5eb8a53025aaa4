// SPDX-License-Identifier: Apache-2.0
//
// two_pieces: an input as a server on the network gets it, in two pieces: the first byte says where they part.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "support/http/http_client.hpp"

namespace coppice::testing {

/// Sends the input through `client`, which then only listens.   Returns: all that the server says. `size` is 2 at least.
inline std::string answer_to(http_client& client, const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t first = input.size() * data[0] / 256;
  if (client.send(input.substr(0, first))) client.send(input.substr(first));
  client.end_writing();
  return client.read_to_end();
}

}  // namespace coppice::testing
