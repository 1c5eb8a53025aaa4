// SPDX-License-Identifier: Apache-2.0
//
// router: which handler answers which request.
//
//     const router app{use(log_request),                          // around everything, 404 included
//                      get("/", [] { return text("App Server Running"); }),
//                      group("/api", use(need_token),             // around the routes of the group
//                            get("/channels", &list),
//                            del("/channels/:number<int>", [](const http_request& r) { … r.parameter<int>("number") … }))};
//
// In a path, `:name` stands for any one segment, `:name<int>` for one that is a whole number, a last `*`, which is a parameter of that name, for
// all the rest.
// A middleware is a function that takes the request and the next handler: it answers itself, or calls next, and may change what
// comes back.
//
// A router never changes; copies share one table. Handlers are called from many threads at once.
#pragma once

#include <coppice/app/http_handler.hpp>

#include <concepts>
#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace coppice {

namespace detail {
struct route_table;
}

/// One line of a router.
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

/// Runs around a handler: `http_response(const http_request&, const http_handler& next)`.
/// Thread: called from many at once.
using http_middleware = function<http_response(const http_request&, const http_handler& next) const>;

/// `inner` with `around` in front of it.
http_handler wrap(http_middleware around, http_handler inner);

/// Middlewares, the outermost first.
struct middleware_list {
  std::vector<http_middleware> all;
};
template <class... M>
requires(std::is_constructible_v<http_middleware, M> && ...)
middleware_list use(M&&... around) {
  middleware_list list;
  (list.all.emplace_back(static_cast<M&&>(around)), ...);
  return list;
}

/// Routes under one prefix.
struct route_group {
  std::vector<route> routes;
};

namespace detail {

struct group_parts {
  std::vector<route> routes;
  std::vector<http_middleware> around;
  void add(route&& r) { routes.push_back(std::move(r)); }
  void add(route_group&& g) {
    for (route& r : g.routes) routes.push_back(std::move(r));
  }
  void add(middleware_list&& m) {
    for (http_middleware& one : m.all) around.push_back(std::move(one));
  }
};
template <class T>
concept router_part = std::same_as<T, route> || std::same_as<T, route_group> || std::same_as<T, middleware_list>;

route_group make_group(std::string prefix, group_parts&& parts);

}  // namespace detail

/// Routes, groups and middlewares under `prefix`. The middlewares run around all routes of the group, wherever they stand in it.
template <detail::router_part... Parts>
route_group group(std::string prefix, Parts... parts) {
  detail::group_parts all;
  (all.add(std::move(parts)), ...);
  return detail::make_group(std::move(prefix), std::move(all));
}

/// A route as it can be shown: its path as it was written, with the prefixes of its groups.
struct route_name {
  http_method method;
  std::string path;
  friend bool operator==(const route_name&, const route_name&) = default;
};

/// Itself a handler: the first route that fits answers. No path fits: 404. The path fits, the method does not: 405 with
/// `Allow`; OPTIONS is answered with that, too. HEAD is answered by GET's handler; its body is counted and not sent.
/// Thread: any.   Cost: linear in the number of routes; no allocation of its own.
class router {
 public:
  router();  ///< without routes: all is 404
  /// Fails: std::invalid_argument for a path that is none: no slash in front, a `*` in the middle, an unknown type.
  template <detail::router_part... Parts>
  requires(sizeof...(Parts) > 0)
  explicit router(Parts... parts) : router() {
    detail::group_parts all;
    (all.add(std::move(parts)), ...);
    fill(std::move(all));
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
  /// All routes, in the order in which they are tried.
  std::vector<route_name> routes() const;

 private:
  void fill(detail::group_parts&& parts);
  detail::route_table* table_;
};

}  // namespace coppice
