// SPDX-License-Identifier: Apache-2.0
#include <coppice/app/http_message.hpp>
#include <coppice/base/detail/sync.hpp>

#include "app/http_text.hpp"

#include <algorithm>
#include <charconv>
#include <system_error>
#include <utility>

namespace coppice {

std::string_view to_text(http_method method) noexcept {
  switch (method) {
    case http_method::get:
      return "GET";
    case http_method::head:
      return "HEAD";
    case http_method::post:
      return "POST";
    case http_method::put:
      return "PUT";
    case http_method::del:
      return "DELETE";
    case http_method::patch:
      return "PATCH";
    case http_method::options:
      return "OPTIONS";
    case http_method::other:
      break;
  }
  return "OTHER";
}

std::string to_text(const http_peer& peer) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) {
    out += std::to_string(peer.address >> shift & 0xff);
    out += shift > 0 ? '.' : ':';
  }
  return out += std::to_string(peer.port);
}

namespace {

/// `http://host?a=b` is sent without a path, which means that of the root (RFC 9110, 4.2.3).
std::string_view path_in(std::string_view target) noexcept {
  return target.starts_with('?') ? "/" : target.substr(0, target.find('?'));
}

}  // namespace

http_request::http_request(const parts& p) noexcept : parts_(p), path_(path_in(p.target)) {}

std::optional<std::string_view> http_request::header(std::string_view name) const noexcept {
  for (const http_field& f : parts_.fields)
    if (internal::equal_ignoring_case(f.name, name)) return f.value;
  return std::nullopt;
}

std::string http_request::parameter(std::string_view name) const {
  for (const http_field& p : parts_.parameters)
    if (p.name == name) return decode_percent(p.value);
  return {};
}

namespace detail {

std::uint64_t whole_number(std::string_view name, std::string_view text, number_limits limits, int status) {
  const char* end = text.data() + text.size();
  const bool negative = text.starts_with('-');
  std::int64_t below = 0;
  std::uint64_t above = 0;
  const auto [stopped, problem] =
      negative ? std::from_chars(text.data(), end, below) : std::from_chars(text.data(), end, above);
  if (problem == std::errc{} && stopped == end && (negative ? below >= limits.least : above <= limits.most))
    return negative ? static_cast<std::uint64_t>(below) : above;
  throw http_error(status, std::string(name) + ": expected a whole number from " + std::to_string(limits.least) +
                               " to " + std::to_string(limits.most));
}

}  // namespace detail

std::optional<std::string> http_request::query(std::string_view name) const {
  std::string_view rest = parts_.target.substr(std::min(parts_.target.find('?'), parts_.target.size()));
  while (!rest.empty()) {
    rest.remove_prefix(1);  // the question mark, then each &
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(pair.size());
    const std::size_t equals = pair.find('=');
    if (decode_percent(pair.substr(0, equals), true) != name) continue;
    return equals == std::string_view::npos ? std::string() : decode_percent(pair.substr(equals + 1), true);
  }
  return std::nullopt;
}

http_request http_request::with_parameters(std::span<const http_field> parameters) const noexcept {
  http_request copy = *this;
  copy.parts_.parameters = parameters;
  return copy;
}

struct http_stream::shared {
  explicit shared(function<void(response_writer&)> f) noexcept : write(std::move(f)) {}
  detail::sync::atomic<std::uint32_t> holders{1};
  function<void(response_writer&)> write;
};

http_stream::shared* http_stream::share(function<void(response_writer&)> f) { return new shared(std::move(f)); }

http_stream::http_stream(const http_stream& other) noexcept : shared_(other.shared_) {
  if (shared_ != nullptr) shared_->holders.fetch_add(1, detail::sync::relaxed);
}

void http_stream::drop() noexcept {
  if (shared_->holders.fetch_sub(1, detail::sync::acq_rel) == 1) delete shared_;
}

void http_stream::operator()(response_writer& to) const { shared_->write(to); }

http_response text(std::string body, int status) {
  return {.status = status, .body = std::move(body), .content_type = "text/plain; charset=utf-8"};
}

http_response json(std::string body, int status) {
  return {.status = status, .body = std::move(body), .content_type = "application/json"};
}

http_response status(int code) { return {.status = code}; }

http_response plain_answer(int status, std::string_view why) {
  std::string body = std::to_string(status);
  body += ' ';
  body += status_phrase(status);
  if (!why.empty()) (body += ": ") += why;
  return text(body + '\n', status);
}

std::string_view status_phrase(int code) noexcept {
  switch (code) {
    case 100:
      return "Continue";
    case 101:
      return "Switching Protocols";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 307:
      return "Temporary Redirect";
    case 308:
      return "Permanent Redirect";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 402:
      return "Payment Required";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 406:
      return "Not Acceptable";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 411:
      return "Length Required";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 416:
      return "Range Not Satisfiable";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 422:
      return "Unprocessable Content";
    case 426:
      return "Upgrade Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return {};
  }
}

std::string decode_percent(std::string_view text, bool plus_is_space) {
  const auto digit = [](char c) noexcept -> int {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int high = text[i] == '%' && i + 2 < text.size() ? digit(text[i + 1]) : -1;
    const int low = high >= 0 ? digit(text[i + 2]) : -1;
    if (low >= 0) {
      out += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      out += text[i] == '+' && plus_is_space ? ' ' : text[i];
    }
  }
  return out;
}

}  // namespace coppice
