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

#include <cmath>
#include <concepts>
#include <limits>
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

template <class T, class... Others>
concept none_of = (!std::same_as<T, Others> && ...);

/// Not what means a truth or a letter.
template <class T>
concept json_integer = std::integral<T> && none_of<T, bool, char, wchar_t, char8_t, char16_t, char32_t>;

/// Whether the number `j` is one of a T's.
template <json_integer T>
bool is_number_of(const nlohmann::json& j) {
  if (j.is_number_unsigned()) return std::in_range<T>(j.get<nlohmann::json::number_unsigned_t>());
  if (j.is_number_integer()) return std::in_range<T>(j.get<nlohmann::json::number_integer_t>());
  const double d = j.get<double>();
  constexpr double end = 2.0 * static_cast<double>(std::numeric_limits<T>::max() / 2 + 1);  // the first that is too large, exactly
  return std::trunc(d) == d && d < end && d >= static_cast<double>(std::numeric_limits<T>::min());
}

/// nlohmann-json converts numbers without looking. Here is looked at those that become whole ones, as far as T shows where they are.
template <class T>
void check_numbers(const nlohmann::json& j) {
  if constexpr (json_integer<T>) {
    if (j.is_number() && !is_number_of<T>(j))
      throw http_error(422, "the JSON is not what is expected: " + j.dump() + " is no whole number from " + std::to_string(std::numeric_limits<T>::min()) +
                                " to " + std::to_string(std::numeric_limits<T>::max()));
  } else if constexpr (requires { typename T::mapped_type; }) {
    if (j.is_object())
      for (const nlohmann::json& of_a_name : j) check_numbers<typename T::mapped_type>(of_a_name);
  } else if constexpr (requires { typename T::value_type; } && !std::same_as<T, nlohmann::json>) {
    if (j.is_array())
      for (const nlohmann::json& one : j) check_numbers<typename T::value_type>(one);
  }
}

}  // namespace detail

/// The body of `r`, from JSON.
/// Note:  a number that does not fit is refused where T is a whole number, or a container of them, or of such containers. The members of a
///        struct are converted by nlohmann-json, which does not look: one that does not fit becomes another one. Where that matters, let
///        the member be a double, or a json, and check.
/// Fails: http_error: 415 when the request says that it is something else, 400 when it is no JSON, 422 when it is none of a T.
template <class T = nlohmann::json>
T json_body(const http_request& r) {
  if (const auto type = r.header("Content-Type"); type && !detail::is_json_type(*type))
    throw http_error(415, "JSON is expected");
  const nlohmann::json parsed = detail::parsed_json(r.body());
  detail::check_numbers<T>(parsed);
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
