// SPDX-License-Identifier: Apache-2.0
//
// response_writer: the body of an answer that is sent while it is made.
//
//     get("/numbers", [] {
//       return streamed([](response_writer& out) {
//         for (int i = 0; i < 1'000'000; ++i) out.write(std::to_string(i) + '\n');
//       }, "text/plain");
//     })
//
// The function runs in the request's process after the handler has returned, so it keeps copies of what it needs of the request.
// Clients of HTTP/1.1 get chunks, unless the length is said beforehand; those of HTTP/1.0 get the body up to the end of the
// connection. What it throws ends the connection before the body's end, which tells the client that something is missing.
#pragma once

#include <coppice/app/http_message.hpp>
#include <coppice/base/result.hpp>

#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace coppice {

namespace internal {
class http_sender;
http_sender& sender_of(response_writer& w) noexcept;
}  // namespace internal

/// The client takes no more: it has closed the connection, or taken nothing for `write_timeout`. One that escapes from the
/// function of a stream is reported nowhere.
class client_gone : public std::exception {
 public:
  explicit client_gone(int error) noexcept : error_(error) {}
  /// An errno value; ETIMEDOUT: nothing was taken for too long.
  int error() const noexcept { return error_; }
  const char* what() const noexcept override { return "the client has gone"; }

 private:
  int error_;
};

/// Where a streamed body is written.
/// Thread: the request's process only.
class response_writer {
 public:
  explicit response_writer(internal::http_sender& to) noexcept : to_(to) {}
  response_writer(const response_writer&) = delete;
  response_writer& operator=(const response_writer&) = delete;

  /// Sends `piece` at once; the head goes with the first. Nothing of an empty piece.
  /// Fails:  client_gone; std::length_error beyond the length that was said.
  /// Blocks: the calling process, while the client takes its time.   Cost: a system call.
  void write(std::string_view piece);
  /// The same.   Returns: what was wrong with the client.
  result<void, client_gone> try_write(std::string_view piece);
  /// Sends the head now, if it has not gone yet.   Fails, blocks: as write.
  void flush();

 private:
  friend internal::http_sender& internal::sender_of(response_writer& w) noexcept;
  internal::http_sender& to_;
};

/// An answer whose body is what `body` writes. `length`: of the whole body in bytes, where it is known.
http_response streamed(http_stream body, std::string content_type = "application/octet-stream",
                       std::optional<std::uint64_t> length = std::nullopt);

}  // namespace coppice
