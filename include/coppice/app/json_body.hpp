// SPDX-License-Identifier: Apache-2.0
//
// json_body: requests and answers as JSON, by nlohmann-json, which whoever includes this header needs. No other header includes it.
//
//     struct order { std::string item; int count; };
//     NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(order, item, count)
//
//     post("/orders", [](const http_request& r) {
//       const order wanted = json_body<order>(r);
//       return json_response(place(wanted), 201);
//     })
#pragma once

#include <coppice/app/http_message.hpp>

#include <nlohmann/json.hpp>

#include <string>
#include <utility>

namespace coppice {

namespace detail {

/// Deeper than any program means it; what goes through it is recursive, and a process's stack is small.
inline constexpr int deepest_json = 16;

/// Whether `type` is application/json, or anything with +json, with or without parameters.
bool is_json_type(std::string_view type) noexcept;

inline nlohmann::json parsed_json(std::string_view text) {
  const auto keep = [](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    if (depth > deepest_json) throw http_error(400, "the JSON is nested too deeply");
    return true;
  };
  try {
    return nlohmann::json::parse(text.begin(), text.end(), keep);
  } catch (const nlohmann::json::exception& e) {
    throw http_error(400, "the body is no JSON: " + std::string(e.what()));
  }
}

}  // namespace detail

/// The body of `r`, from JSON.
/// Note:  nlohmann-json converts numbers without looking: one that does not fit a member of T becomes another one. Where that
///        matters, take a double, or a whole json, and check.
/// Fails: http_error: 415 when the request says that it is something else, 400 when it is no JSON, 422 when it is none of a T.
template <class T = nlohmann::json>
T json_body(const http_request& r) {
  if (const auto type = r.header("Content-Type"); type && !detail::is_json_type(*type))
    throw http_error(415, "JSON is expected");
  const nlohmann::json parsed = detail::parsed_json(r.body());
  try {
    return parsed.template get<T>();
  } catch (const nlohmann::json::exception& e) {
    throw http_error(422, "the JSON is not what is expected: " + std::string(e.what()));
  }
}

/// `value` as JSON. What is no UTF-8 in its texts is replaced.
template <class T>
http_response json_response(const T& value, int status = 200) {
  return json(nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), status);
}

}  // namespace coppice
