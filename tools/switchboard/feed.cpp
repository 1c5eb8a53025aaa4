// SPDX-License-Identifier: Apache-2.0
#include "feed.hpp"

#include "ch3.hpp"
#include "session.hpp"

#include <coppice/state/arithmetic.hpp>

#include <boost/json.hpp>

#include <stdexcept>
#include <utility>

namespace switchboard {

using namespace coppice;
namespace json_of = boost::json;

namespace {

std::string_view text_of(feed::freed_by why) {
  switch (why) {
    case feed::freed_by::hand: return "given back";
    case feed::freed_by::time: return "its time was up";
    case feed::freed_by::end_of_session: return "its session has ended";
  }
  return {};
}

json_of::value left_ms(std::int64_t until) {
  const duration left = time_until(until);
  if (left == infinity) return nullptr;
  return std::chrono::duration_cast<std::chrono::milliseconds>(left).count();
}

json_of::value text_or_null(const std::optional<std::string>& text) { return text ? json_of::value(*text) : json_of::value(nullptr); }

}  // namespace

void feed::init(settings s) {
  set_ = std::move(s);
  if (const auto who = whereis("ch3")) send(*who, feed_begins{});
  for (const char* name : {"ch3", "lease_book", "ledger", "front"})
    if (const auto who = whereis(name)) handle_cast(begins{name, *who});
}

feed::picture feed::handle_call(look) { return {whole(), number_}; }

void feed::handle_cast(const allocated& a) {
  const taken& now = taken_.insert_or_assign(a.channel, taken_by(a.as)).first->second;
  tell([&] {
    return json_of::object{{"event", "allocated"}, {"channel", a.channel}, {"left_ms", left_ms(now.until)}, {"session", text_or_null(now.session)}};
  });
}

void feed::handle_cast(const freed& f) {
  taken_.erase(f.channel);
  tell([&] { return json_of::object{{"event", "freed"}, {"channel", f.channel}, {"why", text_of(f.why)}}; });
}

void feed::handle_cast(all_leases a) {
  taken_.clear();
  for (const auto& [channel, as] : a.now) taken_.emplace(channel, taken_by(as));
  ++number_;
  tell_all(whole());
}

void feed::handle_cast(const begins& b) {
  monitor(b.who);
  watched_[b.who] = b.name;
  tell([&] { return json_of::object{{"event", "started"}, {"server", b.name}, {"process", to_text(b.who)}}; });
}

void feed::handle_info(const down& d) {
  const auto of = watched_.extract(d.who);
  if (of.empty()) return;
  tell([&] { return json_of::object{{"event", "ended"}, {"server", of.mapped()}, {"why", to_text(d.reason)}}; });
}

void feed::handle_cast(break_down) { throw std::runtime_error("crashed on purpose"); }

feed::taken feed::taken_by(const lease& l) {
  taken t{l.until, std::nullopt};
  if (l.holder)
    for (std::string& name : session_names().keys(l.holder)) t.session = std::move(name);
  return t;
}

/// The event `state`: all there is to know.
std::shared_ptr<const std::string> feed::whole() const {
  json_of::array all;
  for (const auto& [channel, t] : taken_)
    all.push_back(json_of::object{{"channel", channel}, {"left_ms", left_ms(t.until)}, {"session", text_or_null(t.session)}});
  return std::make_shared<const std::string>(json_of::serialize(json_of::object{
      {"event", "state"}, {"number", number_}, {"generation", *routes_generation()}, {"channels", set_.channels}, {"taken", std::move(all)},
      {"may_crash", set_.allow_crash}, {"may_restart", set_.allow_restart}}));
}

// [tell]
void feed::tell_all(std::shared_ptr<const std::string> json) const {
  all_listeners().dispatch(everything, [&](auto some) {
    for (const auto& [who, of] : some) {
      if (*of->is_lost) continue;
      if (of->waiting.swap(plus, 1) > listener::most_waiting) of->is_lost.reset(true);  // this message tells it so
      send(who, feed_message{json, number_});
    }
  });
}
// [/tell]

template <class Make>
void feed::tell(Make&& make) {
  ++number_;
  if (all_listeners().count() == 0) return;
  json_of::object event = make();
  event["number"] = number_;
  tell_all(std::make_shared<const std::string>(json_of::serialize(event)));
}

}  // namespace switchboard
