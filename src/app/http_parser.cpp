// SPDX-License-Identifier: Apache-2.0
#include "app/http_parser.hpp"

#include "app/authority.hpp"
#include "app/http_text.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/error.hpp>

#include <new>

namespace coppice::internal {

namespace http = boost::beast::http;

namespace {

std::string_view standard(boost::beast::string_view v) noexcept { return {v.data(), v.size()}; }

http_method method_of(http::verb verb) noexcept {
  switch (verb) {
    case http::verb::get:
      return http_method::get;
    case http::verb::head:
      return http_method::head;
    case http::verb::post:
      return http_method::post;
    case http::verb::put:
      return http_method::put;
    case http::verb::delete_:
      return http_method::del;
    case http::verb::patch:
      return http_method::patch;
    case http::verb::options:
      return http_method::options;
    default:
      return http_method::other;
  }
}

bool has_line_break(const char* begin, const char* end) noexcept {
  return std::string_view(begin, static_cast<std::size_t>(end - begin)).find('\n') != std::string_view::npos;
}

/// `GET / HTTP/2.0`: well-formed, but of a version that is not spoken here.
bool names_other_version(std::string_view head) noexcept {
  const std::string_view line = head.substr(0, head.find("\r\n"));
  const std::size_t at = line.find(" HTTP/");
  if (at == std::string_view::npos || line.find(' ', line.find(' ') + 1) != at) return false;
  const std::string_view number = line.substr(at + 6);
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  return number.size() == 3 && digit(number[0]) && number[1] == '.' && digit(number[2]);
}

}  // namespace

http_parser::http_parser(const parser_limits& limits) : most_body_(limits.body_bytes) {
  base::eager(true);
  base::header_limit(64 * 1024);  // the caller's limit is lower: it counts the bytes before it asks
  base::body_limit(boost::none);  // ours is lower, and may depend on the head
}

refusal http_parser::take_head(std::string_view head) {
  head_ = head;
  error_code ec;
  base::put(boost::asio::const_buffer(head.data(), head.size()), ec);
  if (ec && ec != http::error::need_more) return judged(ec, head);
  if (!base::is_header_done()) return {400, "the head has no end"};
  in_trailer_ = true;
  keep_alive_ = base::keep_alive();
  return limit_body(most_body_);
}

refusal http_parser::limit_body(std::size_t bytes) {
  most_body_ = bytes;
  const boost::optional<std::uint64_t> length = base::content_length();
  if (length && *length > bytes) return {413, "the body is too large"};
  return {};
}

refusal http_parser::take_body(std::string_view bytes, std::size_t& taken) {
  taken = 0;
  // Of a last chunk that is also the first one Beast wants three bytes, then at least five, and asserts it. No chunked body
  // ends with less than five bytes to come, so waiting for them holds up nobody.
  if (base::chunked() && bytes.size() < std::string_view("0\r\n\r\n").size()) return {};
  error_code ec;
  taken = base::put(boost::asio::const_buffer(bytes.data(), bytes.size()), ec);
  if (ec && ec != http::error::need_more) return judged(ec, bytes);
  return {};
}

http_request::parts http_parser::parts() const noexcept {
  return {.method = method_,
          .method_text = method_text_,
          .target = target_,
          .body = body_,
          .fields = fields(),
          .parameters = {},
          .version = version_,
          .peer = {},
          .source = nullptr};
}

refusal http_parser::judged(const error_code& ec, std::string_view bytes) const {
  if (refused_) return refused_;
  if (ec == http::error::header_limit) return {431, "the head is too large"};
  if (ec == http::error::bad_version && names_other_version(bytes))
    return {505, "HTTP/1.0 and HTTP/1.1 are spoken here"};
  return {400, "not a well-formed HTTP request"};
}

void http_parser::refuse(int status, std::string_view why, error_code& ec) {
  refused_ = {status, why};
  ec = http::error::bad_value;
}

void http_parser::on_request_impl(http::verb verb, view method, view target, int version, error_code& ec) {
  method_ = method_of(verb);
  method_text_ = standard(method);
  target_ = standard(target);
  if (!target_.starts_with('/')) take_authority_off_target();
  version_ = static_cast<unsigned>(version);
  if (verb == http::verb::unknown) refuse(501, "a method that is not known here", ec);
}

/// `http://host/path`, as one writes to a proxy, is `/path` of that host.
void http_parser::take_authority_off_target() noexcept {
  const std::size_t end = target_.find("://");
  const std::string_view scheme = target_.substr(0, end);
  if (end == std::string_view::npos || !(equal_ignoring_case(scheme, "http") || equal_ignoring_case(scheme, "https"))) return;
  const std::string_view rest = target_.substr(end + 3);
  const std::size_t path = rest.find_first_of("/?#");
  named_ = rest.substr(0, path);
  target_ = path == std::string_view::npos ? target_.substr(end + 2, 1) : rest.substr(path);  // without a path: one of its slashes
}

void http_parser::on_field_impl(http::field which, view name, view value, error_code& ec) {
  if (in_trailer_) return;  // after a chunked body: of no use to anybody
  const std::string_view text = standard(value);
  // An unfolded value lies in the parser's scratch space: it would be gone, and servers must refuse folding anyway. One that
  // begins after the fold does not.
  const bool lies_in_head = text.data() >= head_.data() && text.data() < head_.data() + head_.size();
  if (!text.empty() && (!lies_in_head || has_line_break(standard(name).end(), text.begin())))
    return refuse(400, "a folded line in the head", ec);
  if (count_ == most_fields) return refuse(431, "too many lines in the head", ec);
  if (which == http::field::host) {
    ++hosts_;
    host_ = text;
  }
  if (which == http::field::transfer_encoding) {
    coded_ = true;
    if (!equal_ignoring_case(text, "chunked")) return refuse(501, "a transfer coding other than chunked", ec);
  }
  if (which == http::field::expect) {
    if (!equal_ignoring_case(text, "100-continue")) return refuse(417, "an expectation other than 100-continue", ec);
    expects_continue_ = version_ >= 11;
  }
  ::new (static_cast<void*>(room_ + count_ * sizeof(http_field))) http_field{standard(name), text};
  ++count_;
}

void http_parser::on_header_impl(error_code& ec) {
  if (version_ >= 11 && hosts_ == 0) return refuse(400, "no Host", ec);
  if (hosts_ > 1) return refuse(400, "more than one Host", ec);
  if (!host_.empty() && !parse_authority(host_)) return refuse(400, "a Host that is none", ec);
  if (!named_.empty() && hosts_ == 1 && !equal_ignoring_case(named_, host_)) return refuse(400, "the target is another host's than Host", ec);
  if (coded_ && (!base::chunked() || version_ < 11)) return refuse(400, "a transfer coding out of place", ec);
}

void http_parser::on_body_init_impl(const boost::optional<std::uint64_t>& length, error_code&) {
  if (length) body_.reserve(static_cast<std::size_t>(*length < 64 * 1024 ? *length : 64 * 1024));
}

void http_parser::take_in(view bytes, error_code& ec) {
  if (bytes.size() > most_body_ - body_bytes_) return refuse(413, "the body is too large", ec);
  body_bytes_ += bytes.size();
  body_.append(bytes.data(), bytes.size());
}

std::size_t http_parser::on_body_impl(view bytes, error_code& ec) {
  take_in(bytes, ec);
  return bytes.size();
}

void http_parser::on_chunk_header_impl(std::uint64_t size, view, error_code& ec) {
  if (size > most_body_ - body_bytes_) refuse(413, "the body is too large", ec);
}

std::size_t http_parser::on_chunk_body_impl(std::uint64_t, view bytes, error_code& ec) {
  take_in(bytes, ec);
  return bytes.size();
}

std::string_view http_parser::take_piece() {
  piece_.clear();
  std::swap(piece_, body_);
  return piece_;
}

}  // namespace coppice::internal
