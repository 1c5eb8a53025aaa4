// SPDX-License-Identifier: Apache-2.0
#include <coppice/app/request_body.hpp>

#include <utility>

namespace coppice {

request_body::request_body(const http_request& request) noexcept
    : source_(request.parts_.source), rest_(request.body()) {}

std::string_view request_body::read() {
  const std::string_view piece = source_ != nullptr ? source_->next() : std::exchange(rest_, {});
  bytes_read_ += piece.size();
  return piece;
}

}  // namespace coppice
