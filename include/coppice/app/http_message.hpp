// SPDX-License-Identifier: Apache-2.0
//
// http_message: what a handler gets and what it gives back.
//
// A request is views into what was received: valid until the handler returns, to be copied if kept longer. A response owns
// its text. Both are plain values without behaviour of their own.
#pragma once

#include <coppice/base/function.hpp>

#include <concepts>
#include <cstdint>
#include <exception>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace coppice {

class response_writer;

namespace internal {
struct route_counts;
}

namespace detail {

struct route_table;

/// Where a body comes from that has not arrived yet.
class body_source {
 public:
  /// The next piece, valid until the next call; empty: the end.   Throws: http_error, unwind.
  virtual std::string_view next() = 0;

 protected:
  ~body_source() = default;
};

struct number_limits {
  std::int64_t least;
  std::uint64_t most;
};
/// `text`, which is the value of `name`, as a number; negative ones as their two's complement.
/// Throws: http_error with `status`.
std::uint64_t whole_number(std::string_view name, std::string_view text, number_limits limits, int status);

}  // namespace detail

enum class http_method : std::uint8_t { get, head, post, put, del, patch, options, other };

/// `GET` … `OPTIONS`; `other` is `OTHER`.
std::string_view to_text(http_method method) noexcept;

/// One line of a request's head, or one part of its path that a route named.
struct http_field {
  std::string_view name;
  std::string_view value;
};

/// Where a client is: IPv4, in this machine's byte order. Zero: nowhere, as in tests of handlers.
struct http_peer {
  std::uint32_t address = 0;
  std::uint16_t port = 0;
};
/// `127.0.0.1:50312`.
std::string to_text(const http_peer& peer);

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
    http_peer peer{};
    bool is_secure = false;
    detail::body_source* source = nullptr;
    internal::route_counts** matched = nullptr;  ///< a router tells there which route it took
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
  /// All of it; empty where the handler reads it in pieces (request_body).
  std::string_view body() const noexcept { return parts_.body; }
  std::span<const http_field> fields() const noexcept { return parts_.fields; }
  /// The other end of the connection; behind a proxy, the proxy.
  const http_peer& peer() const noexcept { return parts_.peer; }
  /// Whether it came under TLS; behind a proxy, whether the proxy speaks that with us.
  bool is_secure() const noexcept { return parts_.is_secure; }
  /// `https` or `http`.
  std::string_view scheme() const noexcept { return is_secure() ? "https" : "http"; }
  /// The value of the first field of this name; case does not matter.
  std::optional<std::string_view> header(std::string_view name) const noexcept;
  /// What the route named in the path, still encoded.
  std::span<const http_field> parameters() const noexcept { return parts_.parameters; }
  /// The part of the path that the route calls `:name`, decoded; empty if it names none so.
  std::string parameter(std::string_view name) const;
  /// The same as a whole number.   Fails: http_error 404 for what is none, or does not fit a T.
  template <std::integral T>
  T parameter(std::string_view name) const {
    return static_cast<T>(detail::whole_number(name, parameter(name), limits_of<T>, 404));
  }
  /// The value of `name` in the query, decoded.
  std::optional<std::string> query(std::string_view name) const;
  /// The same as a whole number.   Fails: http_error 400 for what is none, or does not fit a T.
  template <std::integral T>
  std::optional<T> query(std::string_view name) const {
    const std::optional<std::string> text = query(name);
    if (!text) return std::nullopt;
    return static_cast<T>(detail::whole_number(name, *text, limits_of<T>, 400));
  }

  /// The same request with what the route named in its path.
  http_request with_parameters(std::span<const http_field> parameters) const noexcept;

 private:
  friend class request_body;
  friend struct detail::route_table;
  template <class T>
  static constexpr detail::number_limits limits_of{static_cast<std::int64_t>(std::numeric_limits<T>::min()),
                                                   static_cast<std::uint64_t>(std::numeric_limits<T>::max())};
  parts parts_;
  std::string_view path_;
};

/// One more line of a response's head. Neither part may hold a line break: such a response becomes a 500.
struct http_header {
  std::string name;
  std::string value;
};

/// Writes the body of an answer while it is sent (response_writer.hpp): any `void(response_writer&)`. Copies share it.
class http_stream {
 public:
  http_stream() noexcept = default;
  template <class F>
  requires(std::is_invocable_v<std::decay_t<F>&, response_writer&> && !std::is_same_v<std::decay_t<F>, http_stream>)
  http_stream(F&& f) : shared_(share(static_cast<F&&>(f))) {}
  http_stream(const http_stream& other) noexcept;
  http_stream(http_stream&& other) noexcept : shared_(std::exchange(other.shared_, nullptr)) {}
  http_stream& operator=(http_stream other) noexcept {
    std::swap(shared_, other.shared_);
    return *this;
  }
  ~http_stream() {
    if (shared_ != nullptr) drop();
  }

  explicit operator bool() const noexcept { return shared_ != nullptr; }
  void operator()(response_writer& to) const;

 private:
  struct shared;
  static shared* share(function<void(response_writer&)> f);
  void drop() noexcept;
  shared* shared_ = nullptr;
};

/// What the client gets. Content-Length, Date and Connection are added when it is sent; what `headers` say of the body's length is left out, and
/// of `Connection` only `close` is heeded.
struct http_response {
  int status = 200;
  std::string body{};
  std::string content_type{};  ///< empty: the line is left out
  std::vector<http_header> headers{};
  bool close = false;                            ///< ends the connection after this answer
  http_stream stream{};                          ///< if there is one, the body is what it writes
  std::optional<std::uint64_t> stream_length{};  ///< how many bytes that will be, if it is known
};

/// An answer as an exception: whatever runs for a request may throw it, and the client gets the status with `why` as plain
/// text. No failure of the handler: nothing is reported.
class http_error : public std::exception {
 public:
  explicit http_error(int status, std::string why = {}) noexcept : why_(std::move(why)), status_(status) {}
  int status() const noexcept { return status_; }
  const char* what() const noexcept override { return why_.c_str(); }

 private:
  std::string why_;
  int status_;
};

/// Plain text, UTF-8.
http_response text(std::string body, int status = 200);
/// JSON, as it is.
http_response json(std::string body, int status = 200);
/// A status without a body.
http_response status(int code);
/// `404 Not Found: why`, plain text.
http_response plain_answer(int status, std::string_view why = {});

/// `Not Found`; empty for a code that has no common name.
std::string_view status_phrase(int code) noexcept;

/// Decodes %XX and, in queries, +. What is no proper code stays as it is.
std::string decode_percent(std::string_view text, bool plus_is_space = false);

}  // namespace coppice
