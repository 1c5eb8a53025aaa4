// SPDX-License-Identifier: Apache-2.0
#include <coppice/app/router.hpp>

#include <coppice/base/detail/sync.hpp>

#include <vector>

namespace coppice {

namespace detail {

struct route_table {
  sync::atomic<std::uint32_t> holders{1};
  std::vector<route> routes;
};

}  // namespace detail

namespace {

constexpr std::size_t most_parameters = 8;

/// What the `:name`s of a route stand for in one path.
struct captured {
  http_field of[most_parameters];
  std::size_t count = 0;
};

/// The next segment of `path`, which begins with a slash or is empty.
std::string_view take_segment(std::string_view& path) noexcept {
  path.remove_prefix(1);
  const std::string_view segment = path.substr(0, path.find('/'));
  path.remove_prefix(segment.size());
  return segment;
}

bool fits(std::string_view pattern, std::string_view path, captured& out) noexcept {
  out.count = 0;
  while (!pattern.empty() && !path.empty()) {
    const std::string_view wanted = take_segment(pattern);
    if (wanted == "*") return true;
    const std::string_view segment = take_segment(path);
    if (wanted.starts_with(':') && !segment.empty() && out.count < most_parameters)
      out.of[out.count++] = {wanted.substr(1), segment};
    else if (wanted != segment)
      return false;
  }
  return pattern.empty() && path.empty();
}

bool answers(const route& r, http_method method) noexcept {
  return r.method == method || (r.method == http_method::get && method == http_method::head);
}

http_response not_allowed(const std::string& allowed) {
  http_response r = plain_answer(405);
  r.headers.push_back({"Allow", allowed});
  return r;
}

}  // namespace

router::router() : table_(new detail::route_table) {}
router::router(const router& other) noexcept : table_(other.table_) {
  if (table_ != nullptr) table_->holders.fetch_add(1, detail::sync::relaxed);
}
router::~router() {
  if (table_ != nullptr && table_->holders.fetch_sub(1, detail::sync::acq_rel) == 1) delete table_;
}

void router::add(route&& r) { table_->routes.push_back(std::move(r)); }

http_response router::operator()(const http_request& request) const {
  std::string_view path = request.path();
  if (!path.starts_with('/')) return plain_answer(404);
  captured found;
  std::string allowed;
  for (const route& r : table_->routes) {
    if (!fits(r.path, path, found)) continue;
    if (answers(r, request.method())) return r.handler(request.with_parameters({found.of, found.count}));
    if (!allowed.empty()) allowed += ", ";
    allowed += to_text(r.method);
    if (r.method == http_method::get) allowed += ", HEAD";
  }
  return allowed.empty() ? plain_answer(404) : not_allowed(allowed);
}

body_rule router::rule_for(const http_request& request) const {
  const std::string_view path = request.path();
  captured found;
  if (path.starts_with('/'))
    for (const route& r : table_->routes) {
      if (!answers(r, request.method()) || !fits(r.path, path, found)) continue;
      body_rule rule = r.handler.rule_for(request);
      if (r.max_body_bytes != 0) rule.max_bytes = r.max_body_bytes;
      return rule;
    }
  return {};
}

}  // namespace coppice
