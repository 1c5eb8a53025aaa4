// SPDX-License-Identifier: Apache-2.0
#include <coppice/app/response_writer.hpp>

#include "app/http_sender.hpp"

namespace coppice {

namespace internal {
http_sender& sender_of(response_writer& w) noexcept { return w.to_; }
}  // namespace internal

void response_writer::write(std::string_view piece) {
  if (const int problem = to_.write(piece); problem != 0) throw client_gone(problem);
}

result<void, client_gone> response_writer::try_write(std::string_view piece) {
  if (const int problem = to_.write(piece); problem != 0) return error(client_gone(problem));
  return {};
}

void response_writer::flush() {
  if (const int problem = to_.flush(); problem != 0) throw client_gone(problem);
}

http_response streamed(http_stream body, std::string content_type, std::optional<std::uint64_t> length) {
  return {.content_type = std::move(content_type), .stream = std::move(body), .stream_length = length};
}

}  // namespace coppice
