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

#include <coppice/app/http_handler.hpp>

#include <concepts>
#include <cstddef>
#include <string>
#include <utility>

namespace coppice {

namespace detail {
struct route_table;
}

/// One line of a router: `:name` in the path stands for any one segment, a last `*` for all the rest.
struct route {
  http_method method;
  std::string path;
  http_handler handler;
  std::size_t max_body_bytes = 0;

  /// Another limit than the server's for the bodies of this route.
  route with_body_limit(std::size_t bytes) && {
    max_body_bytes = bytes;
    return std::move(*this);
  }
};

template <answers_requests F>
route get(std::string path, F&& f) {
  return {http_method::get, std::move(path), static_cast<F&&>(f)};
}
template <answers_requests F>
route post(std::string path, F&& f) {
  return {http_method::post, std::move(path), static_cast<F&&>(f)};
}
template <answers_requests F>
route put(std::string path, F&& f) {
  return {http_method::put, std::move(path), static_cast<F&&>(f)};
}
template <answers_requests F>
route del(std::string path, F&& f) {
  return {http_method::del, std::move(path), static_cast<F&&>(f)};
}
template <answers_requests F>
route patch(std::string path, F&& f) {
  return {http_method::patch, std::move(path), static_cast<F&&>(f)};
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
  /// Of the route that would answer.
  body_rule rule_for(const http_request& request) const;

 private:
  void add(route&& r);
  detail::route_table* table_;
};

}  // namespace coppice
