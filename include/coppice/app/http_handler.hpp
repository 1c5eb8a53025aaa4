// SPDX-License-Identifier: Apache-2.0
//
// http_handler: what answers requests. A plain function that takes the request, or nothing, and returns the response; it may
// throw, wait and call servers, and runs in a process of its own. One that takes a `request_body&` as well reads the body itself, in
// pieces; for all others the whole body is there before they run.
#pragma once

#include <coppice/app/http_message.hpp>
#include <coppice/app/request_body.hpp>
#include <coppice/base/function.hpp>

#include <cstddef>
#include <type_traits>
#include <utility>

namespace coppice {

/// What is done about a request's body before its handler runs.
struct body_rule {
  bool in_pieces = false;     ///< the handler reads it
  std::size_t max_bytes = 0;  ///< more is 413; 0: `http_server_options::max_body_bytes`
};

namespace detail {

template <class F>
concept handles_request = std::is_invocable_r_v<http_response, const std::decay_t<F>&, const http_request&>;
template <class F>
concept handles_nothing = std::is_invocable_r_v<http_response, const std::decay_t<F>&>;
template <class F>
concept handles_pieces =
    std::is_invocable_r_v<http_response, const std::decay_t<F>&, const http_request&, request_body&>;
template <class F>
concept knows_body_rules = requires(const std::decay_t<F>& f, const http_request& r) {
  { f.rule_for(r) } -> std::same_as<body_rule>;
};

}  // namespace detail

/// What can answer a request.
template <class F>
concept answers_requests = detail::handles_request<F> || detail::handles_nothing<F> || detail::handles_pieces<F>;

/// Any handler, by value. Moved, not copied.
/// Thread: called from many at once, as the callable inside must allow.
class http_handler {
 public:
  http_handler() noexcept = default;
  template <class F>
  requires(answers_requests<F> && !std::is_same_v<std::decay_t<F>, http_handler>)
  http_handler(F&& f) {
    if constexpr (detail::knows_body_rules<F>) rule_ = [f](const http_request& r) { return f.rule_for(r); };
    if constexpr (detail::handles_request<F>) {
      answer_ = static_cast<F&&>(f);
    } else if constexpr (detail::handles_pieces<F>) {
      rule_ = [](const http_request&) { return body_rule{.in_pieces = true}; };
      answer_ = [own = static_cast<F&&>(f)](const http_request& r) -> http_response {
        request_body body(r);
        return own(r, body);
      };
    } else {
      answer_ = [own = static_cast<F&&>(f)](const http_request&) -> http_response { return own(); };
    }
  }

  http_response operator()(const http_request& request) const { return answer_(request); }
  /// What a server asks when the head of a request with a body has been read.
  body_rule rule_for(const http_request& request) const { return rule_ ? rule_(request) : body_rule{}; }
  explicit operator bool() const noexcept { return static_cast<bool>(answer_); }

 private:
  function<http_response(const http_request&) const> answer_;
  function<body_rule(const http_request&) const> rule_;
};

}  // namespace coppice
