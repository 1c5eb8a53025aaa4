// SPDX-License-Identifier: Apache-2.0
//
// http_parser: one request, from bytes to views. Boost.Beast's parser does the grammar; this adds the limits' status codes and
// what a server must refuse lest somebody else reads the same bytes differently: folded lines, a transfer coding other than
// chunked, a missing or second Host, one that is no host, or another one than the target names.
//
// The head is parsed in one go, so the views that `request` holds point into the caller's buffer and live as long as that does.
#pragma once

#include <coppice/app/http_message.hpp>

#include <boost/beast/http/basic_parser.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace coppice::internal {

/// Why a request was refused: the status of the answer; 0: it was not.
struct refusal {
  int status = 0;
  std::string_view why{};
  explicit operator bool() const noexcept { return status != 0; }
};

struct parser_limits {
  std::size_t body_bytes = static_cast<std::size_t>(-1);
};

class http_parser : private boost::beast::http::basic_parser<true> {
  using base = boost::beast::http::basic_parser<true>;
  using error_code = boost::beast::error_code;
  using view = boost::beast::string_view;

 public:
  static constexpr std::size_t most_fields = 100;

  explicit http_parser(const parser_limits& limits);

  /// Parses `head`, which ends with an empty line.
  refusal take_head(std::string_view head);
  /// Another limit for the body, of which nothing was parsed yet.
  refusal limit_body(std::size_t bytes);
  /// Parses what follows. Returns: how many bytes it has taken in `taken`; call it again with the rest and more.
  refusal take_body(std::string_view bytes, std::size_t& taken);

  bool is_complete() const { return base::is_done(); }
  bool keeps_alive() const { return keep_alive_; }
  /// The client waits for 100 before it sends the body.
  bool expects_continue() const noexcept { return expects_continue_; }
  std::string_view body() const noexcept { return body_; }
  /// What of the body was parsed since the last time; replaces the former piece.
  std::string_view take_piece();
  http_request::parts parts() const noexcept;

 private:
  void on_request_impl(boost::beast::http::verb verb, view method, view target, int version, error_code& ec) override;
  void on_response_impl(int, view, int, error_code&) override {}
  void on_field_impl(boost::beast::http::field which, view name, view value, error_code& ec) override;
  void on_header_impl(error_code& ec) override;
  void on_body_init_impl(const boost::optional<std::uint64_t>& length, error_code& ec) override;
  std::size_t on_body_impl(view bytes, error_code& ec) override;
  void on_chunk_header_impl(std::uint64_t size, view extensions, error_code& ec) override;
  std::size_t on_chunk_body_impl(std::uint64_t, view bytes, error_code& ec) override;
  void on_finish_impl(error_code&) override {}

  void take_authority_off_target() noexcept;
  void take_in(view bytes, error_code& ec);
  void refuse(int status, std::string_view why, error_code& ec);
  refusal judged(const error_code& ec, std::string_view bytes) const;
  std::span<const http_field> fields() const noexcept { return {reinterpret_cast<const http_field*>(room_), count_}; }

  std::string_view head_;
  http_method method_ = http_method::other;
  std::string_view method_text_;
  std::string_view target_;
  std::string_view named_;  // `host` of a target as `http://host/path`
  std::string_view host_;   // what Host says
  unsigned version_ = 11;
  unsigned hosts_ = 0;
  bool coded_ = false;  // a Transfer-Encoding line was there
  bool expects_continue_ = false;
  bool in_trailer_ = false;
  bool keep_alive_ = false;
  refusal refused_;
  std::size_t most_body_;
  std::size_t body_bytes_ = 0;  // parsed so far
  std::string body_;
  std::string piece_;
  std::size_t count_ = 0;
  alignas(http_field) std::byte room_[most_fields * sizeof(http_field)];  // raw: 3 KiB that need no clearing
};

}  // namespace coppice::internal
