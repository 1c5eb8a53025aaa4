// SPDX-License-Identifier: Apache-2.0
//
// http_message: what a handler gets and what it gives back.
//
// A request is views into what was received: valid until the handler returns, to be copied if kept longer. A response owns
// its text. Both are plain values without behaviour of their own.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace coppice {

enum class http_method : std::uint8_t { get, head, post, put, del, patch, options, other };

/// `GET` … `OPTIONS`; `other` is `OTHER`.
std::string_view to_text(http_method method) noexcept;

/// One line of a request's head, or one part of its path that a route named.
struct http_field {
  std::string_view name;
  std::string_view value;
};

/// What a client asks for.
/// Thread: only the process that handles it, until its handler returns.
class http_request {
 public:
  /// For the library and for tests of handlers.
  struct parts {
    http_method method = http_method::get;
    std::string_view method_text{"GET"};
    std::string_view target{"/"};
    std::string_view body{};
    std::span<const http_field> fields{};
    std::span<const http_field> parameters{};
    unsigned version = 11;
  };
  explicit http_request(const parts& p) noexcept;

  http_method method() const noexcept { return parts_.method; }
  std::string_view method_text() const noexcept { return parts_.method_text; }
  /// As it was sent: path and query, still encoded.
  std::string_view target() const noexcept { return parts_.target; }
  /// The target up to its question mark, still encoded.
  std::string_view path() const noexcept { return path_; }
  /// 10 or 11.
  unsigned version() const noexcept { return parts_.version; }
  std::string_view body() const noexcept { return parts_.body; }
  std::span<const http_field> fields() const noexcept { return parts_.fields; }
  /// The value of the first field of this name; case does not matter.
  std::optional<std::string_view> header(std::string_view name) const noexcept;
  /// The part of the path that the route calls `:name`, decoded; empty if it names none so.
  std::string parameter(std::string_view name) const;
  /// The value of `name` in the query, decoded.
  std::optional<std::string> query(std::string_view name) const;

  /// The same request with what the route named in its path.
  http_request with_parameters(std::span<const http_field> parameters) const noexcept;

 private:
  parts parts_;
  std::string_view path_;
};

/// One more line of a response's head. Neither part may hold a line break: such a response becomes a 500.
struct http_header {
  std::string name;
  std::string value;
};

/// What the client gets. Content-Length, Date and Connection are added when it is sent.
struct http_response {
  int status = 200;
  std::string body{};
  std::string content_type{};  ///< empty: the line is left out
  std::vector<http_header> headers{};
  bool close = false;  ///< ends the connection after this answer
};

/// Plain text, UTF-8.
http_response text(std::string body, int status = 200);
/// JSON, as it is.
http_response json(std::string body, int status = 200);
/// A status without a body.
http_response status(int code);

/// `Not Found`; empty for a code that has no common name.
std::string_view status_phrase(int code) noexcept;

/// Decodes %XX and, in queries, +. What is no proper code stays as it is.
std::string decode_percent(std::string_view text, bool plus_is_space = false);

}  // namespace coppice
