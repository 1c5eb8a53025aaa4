// SPDX-License-Identifier: Apache-2.0
#include "channel_routes.hpp"

#include "ch3.hpp"

#include <boost/json.hpp>

#include <charconv>

namespace switchboard {

using namespace coppice;
namespace json_of = boost::json;

namespace {

constexpr std::int64_t longest_ms = std::int64_t{30} * 24 * 3600 * 1000;

http_response answer(int status, const json_of::value& v) { return json(json_of::serialize(v) + '\n', status); }
http_response failure(int status, std::string_view why) { return answer(status, {{"error", why}}); }
http_response failure(const call_error& e) { return failure(503, e.what()); }

json_of::array numbers(const std::vector<int>& all) { return json_of::array(all.begin(), all.end()); }

std::optional<duration> milliseconds(std::int64_t n) {
  if (n <= 0 || n > longest_ms) return std::nullopt;
  return std::chrono::milliseconds(n);
}

/// How long the lease is to last: from the query, from the body, for ever. Empty: neither makes sense.
std::optional<duration> asked_time_to_live(const http_request& r) {
  if (const auto text = r.query("ttl")) return parse_time_to_live(*text);
  if (r.body().empty()) return infinity;
  json_of::error_code problem;
  const json_of::value body = json_of::parse(json_of::string_view(r.body().data(), r.body().size()), problem);
  if (problem || !body.is_object()) return std::nullopt;
  const json_of::value* ms = body.as_object().if_contains("ttl_ms");
  if (ms == nullptr) return infinity;
  return ms->is_int64() ? milliseconds(ms->as_int64()) : std::nullopt;
}

http_response allocate(const http_request& r) {
  const auto time_to_live = asked_time_to_live(r);
  if (!time_to_live)
    return failure(400, "a time to live is ?ttl=5s (ms, s, min, h) or {\"ttl_ms\":5000}: above 0, at most 30 days");
  const auto channel = ch3::alloc(*time_to_live);
  if (!channel) return failure(channel.error());
  if (!*channel) return failure(503, "no channel is left");
  http_response made = answer(201, {{"channel", **channel}});
  made.headers.push_back({"Location", "/channels/" + std::to_string(**channel)});
  return made;
}

http_response release(const http_request& r) {
  const std::string text = r.parameter("number");
  int channel = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), channel);
  if (problem != std::errc{} || end != text.data() + text.size()) return failure(404, "no such channel");
  const auto outcome = ch3::free(channel);
  if (!outcome) return failure(outcome.error());
  switch (*outcome) {
    case ch3::freed::yes:
      return status(204);
    case ch3::freed::not_taken:
      return failure(409, "the channel is not allocated");
    case ch3::freed::unknown:
      break;
  }
  return failure(404, "no such channel");
}

http_response list() {
  const auto all = ch3::show();
  if (!all) return failure(all.error());
  return answer(200, {{"free", numbers(all->free)}, {"taken", numbers(all->taken)}});
}

http_response health() { return answer(200, {{"status", "ok"}}); }

}  // namespace

std::optional<duration> parse_time_to_live(std::string_view text) {
  std::int64_t n = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (problem != std::errc{} || n <= 0 || n > longest_ms) return std::nullopt;
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (unit == "ms") return milliseconds(n);
  if (unit == "s") return milliseconds(n * 1000);
  if (unit == "min") return milliseconds(n * 60'000);
  if (unit == "h") return milliseconds(n * 3'600'000);
  return std::nullopt;
}

router channel_routes() {
  return router{post("/channels", &allocate), del("/channels/:number", &release), get("/channels", &list),
                get("/healthz", &health)};
}

}  // namespace switchboard
