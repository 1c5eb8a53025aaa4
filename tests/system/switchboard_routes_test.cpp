// SPDX-License-Identifier: Apache-2.0
//
// openapi.json says what the switchboard answers: every route, and nothing else.
#include "switchboard/channel_routes.hpp"

#include <boost/json.hpp>
#include <doctest/doctest.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <string>

using namespace coppice;
namespace json_of = boost::json;

namespace {

http_response ask(const router& all, std::string_view path) {
  const http_field host{"Host", "localhost"};
  return all(http_request({.target = path, .fields = {&host, 1}}));
}

json_of::object openapi() {
  const router all = switchboard::channel_routes({}, 1);
  const http_response said = ask(all, "/openapi.json");
  REQUIRE(said.status == 200);
  REQUIRE(said.content_type == "application/json");
  return json_of::parse(said.body).as_object();
}

/// `/channels/:number` as OpenAPI writes it: `/channels/{number}`.
std::string as_template(const std::string& path) {
  std::string out;
  for (std::size_t i = 0; i < path.size();) {
    const std::size_t end = std::min(path.find('/', i + 1), path.size());
    const std::string segment = path.substr(i, end - i);
    out += segment.starts_with("/:") ? "/{" + segment.substr(2, segment.find('<') - 2) + "}" : segment;
    i = end;
  }
  return out;
}

bool is_method(std::string_view name) { return name != "parameters" && name != "summary" && name != "description" && name != "servers"; }

std::set<std::string> described() {
  std::set<std::string> all;
  const json_of::object file = openapi();
  for (const auto& [path, item] : file.at("paths").as_object())
    for (const auto& [method, operation] : item.as_object())
      if (is_method(method)) all.insert(std::string(method) + " " + std::string(path));
  return all;
}

std::set<std::string> served(const switchboard::settings& s) {
  std::set<std::string> all;
  for (const route_name& r : switchboard::channel_routes(s, 1).routes()) {
    std::string method(to_text(r.method));
    std::ranges::transform(method, method.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    CHECK_MESSAGE(all.insert(method + " " + as_template(r.path)).second, r.path);
  }
  return all;
}

/// The names in braces, and those that `parameters` calls parameters of the path.
void check_parameters(const std::string& path, const json_of::object& item) {
  std::set<std::string> in_path;
  for (std::size_t i = path.find('{'); i != std::string::npos; i = path.find('{', i + 1)) in_path.insert(path.substr(i + 1, path.find('}', i) - i - 1));
  std::set<std::string> named;
  if (const json_of::value* all = item.if_contains("parameters"))
    for (const json_of::value& p : all->as_array())
      if (p.at("in") == "path") named.insert(std::string(p.at("name").as_string()));
  CHECK_MESSAGE(in_path == named, path);
}

/// Every `$ref` leads somewhere.
void check_references(const json_of::value& root, const json_of::value& at) {
  if (at.is_array())
    for (const json_of::value& v : at.as_array()) check_references(root, v);
  if (!at.is_object()) return;
  for (const auto& [name, v] : at.as_object()) {
    if (name != "$ref") {
      check_references(root, v);
      continue;
    }
    const std::string to(v.as_string());
    REQUIRE(to.starts_with("#/"));
    json_of::error_code problem;
    CHECK_MESSAGE(root.find_pointer(to.substr(1), problem) != nullptr, to);
  }
}

}  // namespace

TEST_CASE("openapi.json describes every route, and no other one") {
  const std::set<std::string> file = described();
  CHECK(file.size() > 15);
  CHECK(file == served({}));
  CHECK(file == served({.allow_crash = true, .allow_restart = true}));
}

TEST_CASE("openapi.json is complete in itself") {
  const json_of::value file = openapi();
  CHECK(file.at("openapi").as_string().starts_with("3."));
  check_references(file, file);
  std::set<std::string> names;
  for (const auto& [path, item] : file.at("paths").as_object()) {
    check_parameters(std::string(path), item.as_object());
    for (const auto& [method, operation] : item.as_object()) {
      if (!is_method(method)) continue;
      CHECK_MESSAGE(names.insert(std::string(operation.at("operationId").as_string())).second, path);
      CHECK_MESSAGE(!operation.at("summary").as_string().empty(), path);
      CHECK_MESSAGE(!operation.at("responses").as_object().empty(), path);
    }
  }
}

TEST_CASE("the page loads nothing from elsewhere") {
  const router all = switchboard::channel_routes({}, 1);
  for (const char* path : {"/", "/page.css", "/page.js"}) {
    const http_response r = ask(all, path);
    CHECK(r.status == 200);
    CHECK_MESSAGE(std::ranges::any_of(r.headers, [](const http_header& h) { return h.name == "Content-Security-Policy" && h.value.starts_with("default-src 'none'"); }), path);
  }
}
