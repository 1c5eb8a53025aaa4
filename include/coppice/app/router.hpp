// SPDX-License-Identifier: Apache-2.0
//
// router: which handler answers which request. A handler is a plain function that takes the request, or nothing, and returns
// the response; it may throw, wait and call servers, and runs in a process of its own.
//
//     const router app{get("/", [] { return text("App Server Running"); }),
//                      del("/channels/:number", [](const http_request& r) { … r.parameter("number") … })};
//
// A router never changes; copies share one table. Handlers are called from many threads at once.
#pragma once

#include <coppice/app/http_message.hpp>
#include <coppice/base/function.hpp>

#include <concepts>
#include <string>
#include <type_traits>
#include <utility>

namespace coppice {

using http_handler = function<http_response(const http_request&) const>;

/// What can answer a request.
template <class F>
concept answers_requests = std::is_invocable_r_v<http_response, const std::decay_t<F>&, const http_request&> ||
                           std::is_invocable_r_v<http_response, const std::decay_t<F>&>;

namespace detail {

template <class F>
http_handler handler_from(F&& f) {
  static_assert(answers_requests<F>,
                "coppice: a handler is a const callable: http_response(const http_request&) or http_response()");
  if constexpr (std::is_invocable_r_v<http_response, const std::decay_t<F>&, const http_request&>)
    return http_handler(static_cast<F&&>(f));
  else
    return http_handler([own = static_cast<F&&>(f)](const http_request&) -> http_response { return own(); });
}

struct route_table;

}  // namespace detail

/// One line of a router: `:name` in the path stands for any one segment, a last `*` for all the rest.
struct route {
  http_method method;
  std::string path;
  http_handler handler;
};

template <answers_requests F>
route get(std::string path, F&& f) {
  return {http_method::get, std::move(path), detail::handler_from(static_cast<F&&>(f))};
}
template <answers_requests F>
route post(std::string path, F&& f) {
  return {http_method::post, std::move(path), detail::handler_from(static_cast<F&&>(f))};
}
template <answers_requests F>
route put(std::string path, F&& f) {
  return {http_method::put, std::move(path), detail::handler_from(static_cast<F&&>(f))};
}
template <answers_requests F>
route del(std::string path, F&& f) {
  return {http_method::del, std::move(path), detail::handler_from(static_cast<F&&>(f))};
}
template <answers_requests F>
route patch(std::string path, F&& f) {
  return {http_method::patch, std::move(path), detail::handler_from(static_cast<F&&>(f))};
}

/// Itself a handler: the first route that fits answers. No path fits: 404. The path fits, the method does not: 405 with
/// `Allow`. HEAD is answered by GET's handler; its body is counted and not sent.
/// Thread: any.   Cost: linear in the number of routes; no allocation of its own.
class router {
 public:
  router();  ///< without routes: all is 404
  template <class... Routes>
  requires(sizeof...(Routes) > 0 && (std::same_as<Routes, route> && ...))
  explicit router(Routes... routes) : router() {
    (add(std::move(routes)), ...);
  }
  router(const router& other) noexcept;
  router(router&& other) noexcept : table_(std::exchange(other.table_, nullptr)) {}
  router& operator=(router other) noexcept {
    std::swap(table_, other.table_);
    return *this;
  }
  ~router();

  http_response operator()(const http_request& request) const;

 private:
  void add(route&& r);
  detail::route_table* table_;
};

}  // namespace coppice
