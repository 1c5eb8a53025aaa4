// SPDX-License-Identifier: Apache-2.0
#include <coppice/app/router.hpp>

#include <coppice/base/detail/sync.hpp>

#include "app/http_counts.hpp"

#include <memory>
#include <stdexcept>
#include <vector>

namespace coppice {

namespace {

constexpr std::size_t most_parameters = 8;

/// One part of a route's path.
struct segment {
  enum kind_of : std::uint8_t { literal, any, whole_number, rest } kind;
  std::string text;  // of a literal; else the name
};

struct compiled_route {
  route original;
  std::vector<segment> path;
  internal::route_counts* counts;
};

}  // namespace

namespace detail {

struct route_table {
  http_response dispatch(const http_request& request) const;
  const compiled_route* find(const http_request& request) const;

  sync::atomic<std::uint32_t> holders{1};
  std::vector<compiled_route> routes;
  http_handler around;  // dispatch within the router's own middlewares; none: empty
};

}  // namespace detail

namespace {

// --- paths -----------------------------------------------------------------------------------------------------------

/// The next segment of `path`, which begins with a slash.
std::string_view take_segment(std::string_view& path) noexcept {
  path.remove_prefix(1);
  const std::string_view segment = path.substr(0, path.find('/'));
  path.remove_prefix(segment.size());
  return segment;
}

[[noreturn]] void refuse_path(const std::string& path, const char* why) {
  throw std::invalid_argument("\"" + path + "\" is not the path of a route: " + why);
}

segment compiled_segment(std::string_view text, const std::string& path) {
  if (text == "*") return {segment::rest, "*"};
  if (!text.starts_with(':')) return {segment::literal, std::string(text)};
  const std::size_t type = text.find('<');
  const std::string name(text.substr(1, type == std::string_view::npos ? type : type - 1));
  if (name.empty()) refuse_path(path, "a parameter has a name");
  if (type == std::string_view::npos) return {segment::any, name};
  if (text.substr(type) != "<int>") refuse_path(path, "the only type of a parameter is <int>");
  return {segment::whole_number, name};
}

std::vector<segment> compiled_path(const std::string& path) {
  if (!path.starts_with('/')) refuse_path(path, "it begins with a slash");
  std::vector<segment> out;
  std::size_t parameters = 0;
  for (std::string_view left = path; !left.empty();) {
    if (!out.empty() && out.back().kind == segment::rest) refuse_path(path, "nothing follows a *");
    out.push_back(compiled_segment(take_segment(left), path));
    parameters += out.back().kind != segment::literal;
  }
  if (parameters > most_parameters) refuse_path(path, "it has more than eight parameters");
  return out;
}

/// What the parameters of a route stand for in one path.
struct captured {
  http_field of[most_parameters];
  std::size_t count = 0;
};

bool is_whole_number(std::string_view text) noexcept {
  if (text.starts_with('-')) text.remove_prefix(1);
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

bool fits(const std::vector<segment>& pattern, std::string_view path, captured& out) noexcept {
  out.count = 0;
  for (const segment& wanted : pattern) {
    if (path.empty()) return false;
    if (wanted.kind == segment::rest) {
      out.of[out.count++] = {"*", path.substr(1)};
      return true;
    }
    const std::string_view text = take_segment(path);
    if (wanted.kind == segment::literal) {
      if (text != wanted.text) return false;
      continue;
    }
    if (text.empty() || (wanted.kind == segment::whole_number && !is_whole_number(text))) return false;
    out.of[out.count++] = {wanted.text, text};
  }
  return path.empty();
}

// --- methods ---------------------------------------------------------------------------------------------------------

bool answers(const route& r, http_method method) noexcept {
  return r.method == method || (r.method == http_method::get && method == http_method::head);
}

/// The methods of a path, as `Allow` lists them.
class allowed_methods {
 public:
  void add(http_method m) { seen_ |= 1u << static_cast<unsigned>(m); }
  bool empty() const noexcept { return seen_ == 0; }
  http_response answer(http_method asked) {
    if ((seen_ & 1u << static_cast<unsigned>(http_method::get)) != 0) add(http_method::head);
    add(http_method::options);
    std::string list;
    for (unsigned m = 0; m < static_cast<unsigned>(http_method::other); ++m) {
      if ((seen_ & 1u << m) == 0) continue;
      if (!list.empty()) list += ", ";
      list += to_text(static_cast<http_method>(m));
    }
    http_response r = asked == http_method::options ? status(204) : plain_answer(405);
    r.headers.push_back({"Allow", std::move(list)});
    return r;
  }

 private:
  unsigned seen_ = 0;
};

// --- middleware ------------------------------------------------------------------------------------------------------

/// A handler within a middleware, which it may share with others.
class wrapped {
 public:
  wrapped(std::shared_ptr<const http_middleware> around, http_handler inner)
      : around_(std::move(around)), inner_(std::make_shared<const http_handler>(std::move(inner))) {}
  http_response operator()(const http_request& r) const { return (*around_)(r, *inner_); }
  body_rule rule_for(const http_request& r) const { return inner_->rule_for(r); }

 private:
  std::shared_ptr<const http_middleware> around_;
  std::shared_ptr<const http_handler> inner_;
};

std::string joined(const std::string& prefix, const std::string& path) {
  return path == "/" && !prefix.empty() ? prefix : prefix + path;
}

}  // namespace

http_handler wrap(http_middleware around, http_handler inner) {
  return wrapped(std::make_shared<const http_middleware>(std::move(around)), std::move(inner));
}

namespace detail {

route_group make_group(std::string prefix, group_parts&& parts) {
  if (!prefix.empty() && (!prefix.starts_with('/') || prefix.ends_with('/')))
    throw std::invalid_argument("\"" + prefix +
                                "\" is not the prefix of a group: it begins with a slash and does not end with one");
  route_group made{std::move(parts.routes)};
  for (route& r : made.routes) r.path = joined(prefix, r.path);
  for (; !parts.around.empty(); parts.around.pop_back()) {  // the innermost first
    const auto around = std::make_shared<const http_middleware>(std::move(parts.around.back()));
    for (route& r : made.routes) r.handler = wrapped(around, std::move(r.handler));
  }
  return made;
}

const compiled_route* route_table::find(const http_request& request) const {
  captured found;
  if (request.path().starts_with('/'))
    for (const compiled_route& r : routes)
      if (answers(r.original, request.method()) && fits(r.path, request.path(), found)) return &r;
  return nullptr;
}

http_response route_table::dispatch(const http_request& request) const {
  allowed_methods allowed;
  captured found;
  if (request.path().starts_with('/')) {
    for (const compiled_route& r : routes) {
      if (!fits(r.path, request.path(), found)) continue;
      if (answers(r.original, request.method())) {
        if (request.parts_.matched != nullptr) *request.parts_.matched = r.counts;
        return r.original.handler(request.with_parameters({found.of, found.count}));
      }
      allowed.add(r.original.method);
    }
  } else if (request.path() == "*" && request.method() == http_method::options) {
    for (const compiled_route& r : routes) allowed.add(r.original.method);
  }
  return allowed.empty() ? plain_answer(404) : allowed.answer(request.method());
}

}  // namespace detail

// --- the router ------------------------------------------------------------------------------------------------------

router::router() : table_(new detail::route_table) {}
router::router(const router& other) noexcept : table_(other.table_) {
  if (table_ != nullptr) table_->holders.fetch_add(1, detail::sync::relaxed);
}
router::~router() {
  if (table_ != nullptr && table_->holders.fetch_sub(1, detail::sync::acq_rel) == 1) delete table_;
}

void router::fill(detail::group_parts&& parts) {
  for (route& r : parts.routes) {
    std::vector<segment> path = compiled_path(r.path);
    internal::route_counts& counts = internal::counts_of_route(r.method, r.path);
    table_->routes.push_back({std::move(r), std::move(path), &counts});
  }
  if (parts.around.empty()) return;
  table_->around = [table = table_](const http_request& r) { return table->dispatch(r); };
  for (; !parts.around.empty(); parts.around.pop_back())
    table_->around = wrap(std::move(parts.around.back()), std::move(table_->around));
}

http_response router::operator()(const http_request& request) const {
  return table_->around ? table_->around(request) : table_->dispatch(request);
}

std::vector<route_name> router::routes() const {
  std::vector<route_name> all;
  for (const compiled_route& r : table_->routes) all.push_back({r.original.method, r.original.path});
  return all;
}

body_rule router::rule_for(const http_request& request) const {
  const compiled_route* found = table_->find(request);
  if (found == nullptr) return {};
  body_rule rule = found->original.handler.rule_for(request);
  if (found->original.max_body_bytes != 0) rule.max_bytes = found->original.max_body_bytes;
  return rule;
}

}  // namespace coppice
