// SPDX-License-Identifier: Apache-2.0
#include <coppice/app/health.hpp>

#include <coppice/process/name.hpp>
#include <coppice/process/process.hpp>

#include <exception>
#include <memory>
#include <utility>

namespace coppice {

namespace {

std::string quoted(std::string_view text) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out = "\"";
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') out += '\\';
    if (code >= 0x20)
      out += c;
    else
      (out += "\\u00") += {digits[code >> 4], digits[code & 15]};
  }
  return out += '"';
}

/// `ok`, or what is wrong.
std::string outcome_of(const health_check& c) {
  try {
    return c.passes() ? "ok" : "does not pass";
  } catch (const std::exception& e) {
    return e.what();
  }
}

http_response ask_all(const std::vector<health_check>& checks) {
  std::string list;
  bool all_pass = true;
  for (const health_check& c : checks) {
    const std::string outcome = outcome_of(c);
    all_pass = all_pass && outcome == "ok";
    list += (list.empty() ? "" : ",") + quoted(c.name) + ":" + quoted(outcome);
  }
  return json(std::string(all_pass ? R"({"status":"ok")" : R"({"status":"failing")") + ",\"checks\":{" + list + "}}\n",
              all_pass ? 200 : 503);
}

}  // namespace

health_check runs(std::string name) {
  std::string wanted = name;
  return {std::move(name), [wanted = std::move(wanted)] { return whereis(wanted).has_value(); }};
}

http_handler detail::health_of(std::vector<health_check> checks) {
  return [all = std::make_shared<const std::vector<health_check>>(std::move(checks))] { return ask_all(*all); };
}

http_response live() { return json("{\"status\":\"ok\"}\n"); }

}  // namespace coppice
