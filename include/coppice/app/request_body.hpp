// SPDX-License-Identifier: Apache-2.0
//
// request_body: a request's body as it arrives, for handlers that do not want all of it in memory.
//
//     post("/upload", [](const http_request&, request_body& body) {
//       for (std::string_view piece = body.read(); !piece.empty(); piece = body.read()) …
//       return status(204);
//     })
//
// What the handler leaves unread is thrown away, and the connection ends with the answer. A client that waits for leave to send
// (`Expect: 100-continue`) gets it at the first read.
#pragma once

#include <coppice/app/http_message.hpp>

#include <cstdint>
#include <string_view>

namespace coppice {

/// The body of one request.
/// Thread: the process of its handler only.
class request_body {
 public:
  explicit request_body(const http_request& request) noexcept;
  request_body(const request_body&) = delete;
  request_body& operator=(const request_body&) = delete;

  /// The next piece, at most some 16 KiB, valid until the next read; empty: the end.
  /// Fails:  http_error: 413 above the limit, 408 when it comes too slowly, 400 when it ends too early or is malformed. Left
  ///         alone it is the answer.
  /// Blocks: the calling process, until something arrives.
  std::string_view read();
  std::uint64_t bytes_read() const noexcept { return bytes_read_; }

 private:
  detail::body_source* source_;  // null: all of it is in `rest_`
  std::string_view rest_;
  std::uint64_t bytes_read_ = 0;
};

}  // namespace coppice
