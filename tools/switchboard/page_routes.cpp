// SPDX-License-Identifier: Apache-2.0
#include "page_routes.hpp"

#include "page_files.hpp"

#include <string_view>

namespace switchboard {

using namespace coppice;

namespace {

/// A file of the program's own. What it loads comes from here, too, and from nowhere else.
auto file(std::string_view text, const char* type) {
  return [text, type] {
    http_response r{.body = std::string(text), .content_type = type};
    r.headers = {{"Cache-Control", "no-cache"},
                 {"Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
                                             "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
                 {"X-Content-Type-Options", "nosniff"}};
    return r;
  };
}

}  // namespace

route_group page_routes() {
  return group("", get("/", file(page_html, "text/html; charset=utf-8")),
               get("/page.css", file(page_css, "text/css; charset=utf-8")),
               get("/page.js", file(page_js, "text/javascript; charset=utf-8")),
               get("/openapi.json", file(openapi_json, "application/json")));
}

}  // namespace switchboard
