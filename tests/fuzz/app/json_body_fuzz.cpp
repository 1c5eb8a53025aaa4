// SPDX-License-Identifier: Apache-2.0
//
// A body of a stranger as JSON: it becomes a value, which is written and read again as the same one, or an http_error.
#include <coppice/app/json_body.hpp>

#include <string>
#include <string_view>
#include <vector>

#include "fuzz/fuzz.hpp"

using namespace coppice;
using testing::require;

namespace {

/// No whole numbers: nlohmann-json turns a 1e30 into an int without looking.
struct order {
  std::string item;
  double count = 0;
  std::vector<double> prices{};
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(order, item, count, prices)

/// The status of the error; 0: there was none.
template <class F>
int status_of(F&& f) {
  try {
    f();
    return 0;
  } catch (const http_error& e) {
    return e.status();
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const http_request asked({.method = http_method::post, .body = body});
  nlohmann::json whole;
  const int said = status_of([&] { whole = json_body(asked); });
  require(said == 0 || said == 400, "it is JSON, or it is none");
  const int bound = status_of([&] { json_response(json_body<order>(asked)); });
  require(said == 0 ? bound == 0 || bound == 422 : bound == 400, "JSON fits, or it does not");
  if (said != 0) return 0;
  const http_response written = json_response(whole);
  nlohmann::json again;
  require(status_of([&] { again = json_body(http_request({.body = written.body})); }) == 0, "what is written can be read");
  require(json_response(again).body == written.body, "and is the same");
  return 0;
}
