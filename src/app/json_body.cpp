// SPDX-License-Identifier: Apache-2.0
//
// json_body: what of it needs no JSON.
#include <coppice/app/http_message.hpp>

#include "app/http_text.hpp"

namespace coppice::detail {

bool is_json_type(std::string_view type) noexcept {
  type = type.substr(0, type.find(';'));
  while (!type.empty() && (type.back() == ' ' || type.back() == '\t')) type.remove_suffix(1);
  constexpr std::string_view suffix = "+json";
  if (internal::equal_ignoring_case(type, "application/json")) return true;
  return type.size() > suffix.size() && internal::equal_ignoring_case(type.substr(type.size() - suffix.size()), suffix);
}

}  // namespace coppice::detail
