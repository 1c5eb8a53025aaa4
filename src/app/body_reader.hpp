// SPDX-License-Identifier: Apache-2.0
//
// body_reader: reads the body that follows a head, from the buffer and then from the socket. The bytes before the place where the
// buffer's rest began stay where they are: views into the head do.
//
// Time: `body_timeout` in all; where the body goes to its handler in pieces, a second more for each kilobyte that has come, and
// only what is spent waiting for the client counts.
#pragma once

#include <coppice/app/http_server.hpp>

#include "app/http_parser.hpp"
#include "app/read_buffer.hpp"
#include "app/transport.hpp"

#include <cstdint>

namespace coppice::internal {

class body_reader {
 public:
  body_reader(http_parser& parser, transport& sock, read_buffer*& buffer, const http_server_options& o) noexcept
      : parser_(parser),
        sock_(sock),
        buffer_(buffer),
        options_(o),
        start_(buffer->begin),
        invited_(!parser.expects_continue()) {}

  /// Parses what has been read.
  refusal parse();
  /// Waits for more, at the first time after leave to send it. A status below 0: the client has gone.
  refusal read(bool in_pieces);
  /// The client sends no more.
  bool ended() const noexcept { return ended_; }

 private:
  std::int64_t time_left(bool in_pieces) const noexcept;

  http_parser& parser_;
  transport& sock_;
  read_buffer*& buffer_;
  const http_server_options& options_;
  const std::uint32_t start_;
  bool invited_;
  bool ended_ = false;
  std::int64_t waited_ = 0;  // ns
  std::uint64_t received_ = 0;
};

}  // namespace coppice::internal
