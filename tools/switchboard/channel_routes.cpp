// SPDX-License-Identifier: Apache-2.0
#include "channel_routes.hpp"

#include "account.hpp"
#include "ch3.hpp"
#include "counters.hpp"
#include "feed.hpp"
#include "feed_route.hpp"
#include "front.hpp"
#include "lease_book.hpp"
#include "ledger.hpp"
#include "metrics_route.hpp"
#include "page_routes.hpp"
#include "session.hpp"

#include <coppice/app/allowed_hosts.hpp>
#include <coppice/app/cross_origin.hpp>
#include <coppice/app/health.hpp>
#include <coppice/otp/supervisor.hpp>
#include <coppice/process/receive.hpp>

#include <boost/json.hpp>

#include <charconv>

namespace switchboard {

using namespace coppice;
namespace json_of = boost::json;

namespace {

constexpr std::int64_t longest_ms = std::int64_t{30} * 24 * 3600 * 1000;

http_response answer(int status, const json_of::value& v) { return json(json_of::serialize(v) + '\n', status); }
http_response failure(int status, std::string_view why) { return answer(status, {{"error", why}}); }
http_response unavailable(const std::exception& e) { return failure(503, e.what()); }

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

/// JSON is UTF-8, and so are the names that we show in it.
bool is_utf8(const std::string& text) {
  json_of::error_code problem;
  json_of::parse(json_of::serialize(json_of::string(text)), problem);
  return !problem;
}

/// What X-Session says; nothing when it is not there.   Fails: with the answer to give.
result<std::optional<std::string>, http_response> session_name_in(const http_request& r) {
  const auto said = r.header("X-Session");
  if (!said) return std::nullopt;
  std::string name(*said);
  if (name.empty()) return error(failure(400, "X-Session is empty"));
  if (name.size() > longest_session)
    return error(failure(400, "X-Session is longer than " + std::to_string(longest_session) + " bytes"));
  if (!is_utf8(name)) return error(failure(400, "X-Session is not UTF-8"));
  return name;
}

/// The session that X-Session names, started if there is none; nobody when it names none.   Fails: with the answer to give.
result<pid, http_response> session_in(const http_request& r, duration idle) {
  auto name = session_name_in(r);
  if (!name) return error(std::move(name.error()));
  if (!*name) return pid{};
  const auto found = session_of(**name, idle);
  if (!found) return error(found.error().is(supervisor_error::max_children) ? failure(503, "there are too many sessions") : unavailable(found.error()));
  return *found;
}

/// The living session that X-Session names.   Fails: with the answer to give.
result<pid, http_response> known_session_in(const http_request& r) {
  auto name = session_name_in(r);
  if (!name) return error(std::move(name.error()));
  if (!*name) return error(failure(400, "which session? X-Session names it"));
  if (const pid who = session_names().whereis(**name)) return who;
  return error(failure(404, "no such session"));
}

http_response allocate(const http_request& r, duration idle) {
  const auto time_to_live = asked_time_to_live(r);
  if (!time_to_live)
    return failure(400, "a time to live is ?ttl=5s (ms, s, min, h) or {\"ttl_ms\":5000}: above 0, at most 30 days");
  const auto holder = session_in(r, idle);
  if (!holder) return holder.error();
  const auto channel = ch3::alloc(*time_to_live, *holder);
  if (!channel) return unavailable(channel.error());
  if (!*channel) switch (channel->error()) {
      case ch3::refused::none_left: return failure(503, "no channel is left");
      case ch3::refused::no_credit: return failure(402, "the session has no credit left");
      case ch3::refused::no_session: return failure(503, "the session has ended");
    }
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
  if (!outcome) return answer(503, {{"error", outcome.error().what()}, {"channel", channel}});
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
  if (!all) return unavailable(all.error());
  return answer(200, {{"free", numbers(all->free)}, {"taken", numbers(all->taken)}});
}

http_response list_sessions() {
  json_of::array all;
  for (const auto& entry : session_names().select()) {
    const auto channels = ch3::channels_of(entry.who);
    if (!channels) return unavailable(channels.error());
    all.push_back(json_of::object{{"name", entry.key}, {"channels", numbers(*channels)}});
  }
  return answer(200, {{"sessions", std::move(all)}});
}

http_response show_ledger() {
  const statement now = all_accounts().state();
  json_of::array sessions;
  credit total = now.house + now.anonymous + now.ended;
  for (const auto& of : now.sessions) {
    sessions.push_back(json_of::object{{"name", of.name}, {"balance", of.balance}});
    total += of.balance;
  }
  return answer(200, {{"house", now.house}, {"anonymous", now.anonymous}, {"ended", now.ended}, {"sessions", std::move(sessions)}, {"total", total}});
}

http_response show_counters() {
  json_of::object all;
  for (const auto& [method, answers] : all_counters().read()) {
    if (answers.empty()) continue;
    json_of::object& of = all[to_text(method)].emplace_object();
    for (const auto& [status, count] : answers) of[std::to_string(status)] = count;
  }
  return answer(200, all);
}

/// Tells `who` to end, and waits for it: ch3 has heard of it, too, before whoever asks next.
template <class S, class M>
void see_it_end(server_ref<S> who, M message) {
  const reference ref = monitor(who);
  cast(who, std::move(message));
  receive(when([ref](const down& d) { return d.ref == ref; }, [](const down&) {}));
}

http_response end_session(const http_request& r) {
  const auto who = known_session_in(r);
  if (!who) return who.error();
  see_it_end(server_cast<session>(*who), session::leave{});
  return status(204);
}

/// Crashes the server of that name. Its supervisor has heard of its end before we have, and looks after it before it answers us.
template <class S>
http_response crash_server(const named<S>& name) {
  const std::string text(name.name().text());
  const auto who = whereis(name);
  if (!who) return failure(503, text + " does not run");
  see_it_end(server_cast<S>(*who), break_down{});
  const auto now = supervisor("switchboard").try_which_child(text);
  if (!now) return unavailable(now.error());
  return answer(202, {{"crashed", to_text(*who)}, {"now", to_text(now->who)}});
}

http_response crash_session(const http_request& r) {
  const auto who = known_session_in(r);
  if (!who) return who.error();
  see_it_end(server_cast<session>(*who), break_down{});
  return answer(202, {{"crashed", to_text(*who)}});
}

http_response crash(const http_request& r) {
  const std::string name = r.parameter("name");
  if (name == "ch3") return crash_server(ch3::server);
  if (name == "lease_book") return crash_server(lease_book::server);
  if (name == "ledger") return crash_server(ledger::server);
  if (name == "feed") return crash_server(feed::server);
  if (name == "front") return crash_server(front::server);
  if (name == "session") return crash_session(r);
  return failure(404, "what can be crashed: ch3, lease_book, ledger, feed, front, session (X-Session says which)");
}

http_response crash_refused() { return failure(403, "only a switchboard that was started with --allow-crash crashes on purpose"); }

/// Counts what `all` answers. Whoever has the answer finds it counted.
http_response counted(const router& all, const http_request& r) {
  try {
    http_response given = all(r);
    all_counters().count(r.method(), given.status);
    return given;
  } catch (const std::exception&) {
    all_counters().count(r.method(), 500);
    throw;
  }
}

/// Not here: a handler cannot wait for its own end.
http_response restart_server() {
  cast(front::server, front::restart{});
  return answer(202, {{"restarting", true}});
}

/// By which names it may be called. On other networks than its own machine's it cannot know them.
std::vector<std::string> hosts(const settings& s) {
  std::vector<std::string> all = loopback_hosts();
  if (!s.host.empty()) all.push_back(s.host);
  else if (s.address != "127.0.0.1") all = {"*"};
  return all;
}

http_response restart_refused() { return failure(403, "only a switchboard that was started with --allow-restart is restarted from outside"); }

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

router channel_routes(const settings& s, int generation) {
  return router{use(refuse_other_hosts(hosts(s), failure(421, "it is not called by that name")),
                    refuse_cross_origin({}, failure(403, "the page that asks is of another site"))),
             page_routes(), feed_route(), metrics_route(),
             post("/channels", [idle = s.session_idle](const http_request& r) { return allocate(r, idle); }),
             del("/channels/:number", &release),
             get("/channels", &list),
             get("/ledger", &show_ledger),
             get("/counters", &show_counters),
             get("/sessions", &list_sessions),
             del("/sessions", &end_session),
             s.allow_crash ? post("/crash/:name", &crash) : post("/crash/:name", &crash_refused),
             s.allow_restart ? post("/admin/restart", &restart_server) : post("/admin/restart", &restart_refused),
             get("/healthz", [generation] { return answer(200, {{"status", "ok"}, {"generation", generation}}); }),
             get("/readyz", health(runs("lease_book"), runs("ch3"), runs("ledger"), runs("feed"), runs("front")))};
}

http_handler counted_routes(const settings& s, int generation) {
  routes_generation().reset(generation);
  return [all = channel_routes(s, generation)](const http_request& r) { return counted(all, r); };
}

}  // namespace switchboard
