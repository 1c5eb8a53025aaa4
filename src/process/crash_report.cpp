// SPDX-License-Identifier: Apache-2.0
#include "process/crash_report.hpp"

#include <coppice/base/log_sink.hpp>
#include <coppice/base/time.hpp>

#include "process/result_place.hpp"
#include "process/signal.hpp"
#include "process/system.hpp"

namespace coppice::internal {

namespace {

constexpr std::size_t shown_messages = 3;

/// Above this many names nobody looks for the holder of one: it would cost more than the rest of a report.
constexpr std::size_t names_looked_through = 4096;

std::string list(const std::vector<pid>& pids) {
  std::string out;
  for (const pid p : pids) out += (out.empty() ? "" : " ") + titled(p);
  return out;
}

struct name_search {
  pid wanted;
  std::string found;
};

void look_at_name(void* raw, std::string_view name, name_holder holder) {
  auto& search = *static_cast<name_search*>(raw);
  if (search.found.empty() && holder.slot == search.wanted.where() && holder.serial == search.wanted.serial()) search.found = name;
}

std::string names(const detail::extension& e) {
  std::string out;
  for (const detail::held_name& n : e.has().names) out += (out.empty() ? "" : " ") + n.text;
  return out;
}

std::string first_messages(const slot& s) {
  std::string out;
  const node* newest = s.fifo;
  if (newest == nullptr) return out;
  const node* n = newest->next;
  for (std::size_t i = 0; i < shown_messages; ++i, n = n->next) {
    if (n->type != nullptr) {
      text_sink text({.max_bytes = 120});
      n->type->print(text, reinterpret_cast<const char*>(n) + n->offset);
      out += (out.empty() ? "" : ", ") + text.take();
    }
    if (n == newest) break;
  }
  return out;
}

}  // namespace

std::string titled(pid who) {
  if (!who || !who.is_local()) return to_text(who);
  system* sys = systems[who.where()->home.load(sync::relaxed)];
  name_search search{who, {}};
  if (sys != nullptr && sys == &current_system() && sys->names.size() <= names_looked_through) sys->names.for_each(&look_at_name, &search);
  return search.found.empty() ? to_text(who) : search.found + ' ' + to_text(who);
}

void report_crash(slot& s, const exit_reason& why) noexcept try {
  if (!would_log(log_level::error)) return;
  drain(s);
  report r;
  r.level = log_level::error;
  r.kind = "crash";
  const detail::extension* e = s.ext;
  const std::string name = e != nullptr && !e->has().names.empty() ? e->has().names.front().text : std::string(s.cls->name);
  r.time = wall_clock();
  r.who = to_text(detail::pid_of(s));
  r.name = name;
  if (const message_descriptor* doing = s.doing.load(sync::relaxed)) r.doing = doing->name;
  r.headline = name + " " + r.who;
  if (!r.doing.empty()) r.headline += "  in " + r.doing;
  r.fields.push_back({"why", to_text(why)});
  const std::vector<pid> callers = callers_of(s);
  if (s.cls->body != nullptr && s.cls->print != nullptr) {
    text_sink function;
    s.cls->print(function, detail::state_of(s));
    r.fields.push_back({"function", function.take()});
  }
  if (!callers.empty()) r.fields.push_back({"started from", titled(callers.front())});
  if (!why.trace().empty()) r.fields.push_back({"thrown in", std::string(why.trace())});
  if (e != nullptr && e->has().names.size() > 1) r.fields.push_back({"names", names(*e)});
  if (e != nullptr && !e->has().label.empty()) r.fields.push_back({"label", e->has().label});
  if (const auto ancestors = detail::ancestors_of(s); !ancestors.empty()) r.fields.push_back({"ancestors", list(ancestors)});
  if (!callers.empty()) r.fields.push_back({"callers", list(callers)});
  if (e != nullptr && !e->links.empty()) {
    std::vector<pid> linked;
    for (const auto& l : e->links) linked.push_back(l.who);
    r.fields.push_back({"links", list(linked)});
  }
  if (detail::has(s, detail::trapping)) r.fields.push_back({"traps exits", "yes"});
  const std::uint32_t queued = s.length.load(sync::relaxed);
  if (queued != 0) r.fields.push_back({"queue", std::to_string(queued) + " messages: " + first_messages(s)});
  write_report(r);
} catch (...) {
  // A report must never make a death worse.
}

}  // namespace coppice::internal
