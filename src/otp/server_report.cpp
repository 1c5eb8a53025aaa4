// SPDX-License-Identifier: Apache-2.0
//
// server_report: what a server that ends abnormally leaves to its readers (GS-150..GS-155): a structured report with the
// callback, the reason, who had asked, the state (through format_status), what waits, and the last events if they are kept.
// It goes out before the crash report of the process.
#include <coppice/base/log_sink.hpp>

#include "otp/machine_data.hpp"
#include "otp/server_data.hpp"
#include "process/crash_report.hpp"
#include "process/query.hpp"
#include "process/signal.hpp"

namespace coppice::internal {

namespace {

constexpr int most_messages = 16;            // of the queue that are looked at

std::string printed(const message_descriptor& type, const void* object) {
  text_sink out({.max_bytes = 256});
  type.print(out, object);
  return out.take();
}

/// `want{}`; for what the handler has moved away only `want`.
std::string last_message_of(const slot& self, const detail::handler_frame& frame) {
  const server_data* d = data_of(self);
  if (d != nullptr && !d->last_message.empty()) return d->last_message;
  return frame.type != nullptr ? std::string(frame.type->name) : std::string();
}

/// GS-151.
std::string client_of(const detail::handler_frame& frame) {
  const slot* const waiting = frame.record != nullptr ? frame.record->caller : nullptr;     // it waits for us: its class stays
  if (frame.record != nullptr && waiting == nullptr) return "a plain thread";
  const pid who = waiting != nullptr ? detail::pid_of(*waiting) : frame.caller;
  if (!who) return "";
  if (!who.is_local()) return to_text(who) + " (remote)";
  if (who.where()->serial.load(sync::acquire) != who.serial()) return to_text(who) + " (dead)";
  if (waiting != nullptr && waiting->cls->handles != nullptr) return std::string(waiting->cls->name) + ' ' + to_text(who);
  return titled(who);
}

/// `3 messages: want{} ×2, give_back{channel: 2}`.
std::string queue_of(const slot& self) {
  const std::uint32_t length = self.length.load(sync::relaxed);
  if (length == 0) return {};
  std::string text = std::to_string(length) + (length == 1 ? " message: " : " messages: ");
  std::string same;
  int times = 0;
  const auto add = [&](bool last) {
    if (times == 0) return;
    text += same;
    if (times > 1) text += " ×" + std::to_string(times);
    if (!last) text += ", ";
  };
  node* newest = self.fifo;
  node* n = newest->next;
  for (int seen = 0; seen < most_messages; ++seen, n = n->next) {
    const std::string one = n->type != nullptr ? printed(*n->type, detail::payload_of(*n)) : std::string("tick");
    if (one != same) {
      add(false);
      same = one;
      times = 0;
    }
    ++times;
    if (n == newest) {
      add(true);
      return text;
    }
  }
  add(true);
  return text + ", …";
}

}  // namespace

std::string title_of(const slot& self) {
  std::string title(self.cls->name);
  if (const detail::extension* e = self.ext) {
    for (const detail::held_name& n : e->has().names)
      if (n.text != title) title += " \"" + n.text + '"';
    if (!e->has().label.empty()) title += " (" + e->has().label + ")";
  }
  return title + " " + to_text(detail::pid_of(self));
}

report begin_report(const slot& self, log_level level, std::string_view kind) {
  const detail::extension* e = self.ext;
  return {.level = level, .kind = kind, .headline = title_of(self), .time = wall_clock(), .who = to_text(detail::pid_of(self)),
          .name = e != nullptr && !e->has().names.empty() ? e->has().names.front().text : std::string(self.cls->name)};
}

namespace {

report report_of(const slot& self, std::string_view kind, std::string doing) {
  report r = begin_report(self, log_level::error, kind);
  if (!doing.empty()) r.headline += "  in " + doing;
  r.doing = std::move(doing);
  return r;
}

/// What a machine had put aside.
void describe_machine(const machine_data& m, report& r) {
  std::string postponed;
  for (const node* n = m.postponed.first; n != nullptr && postponed.size() < 200; n = n->next)
    postponed += (postponed.empty() ? "" : ", ") + printed(*n->type, detail::payload_of(const_cast<node&>(*n)));
  if (!postponed.empty()) r.fields.push_back({"postponed", std::to_string(m.postponed.size()) + ": " + postponed});
  std::string timeouts;
  for (const std::string& t : running_timeouts(m)) timeouts += (timeouts.empty() ? "" : ", ") + t;
  if (!timeouts.empty()) r.fields.push_back({"timeouts", timeouts});
}

}  // namespace

void report_server(slot& self, const detail::handler_frame& frame, std::string_view what) noexcept {
  if (!would_log(log_level::error)) return;
  try {
    server_status raw;
    text_sink state;
    self.cls->print(state, detail::state_of(self));
    raw.state = state.take();
    raw.message = last_message_of(self, frame);
    raw.reason = to_text(frame.reason);
    if (const server_data* d = data_of(self))
      for (const sys::event& e : d->log) raw.log.push_back(sys::to_text(e));
    const server_status shown = formatted_status(self, std::move(raw));

    const machine_data* machine = data_of(self) != nullptr ? data_of(self)->machine : nullptr;
    const bool entering = machine != nullptr && machine->failed_in_enter;
    report r = report_of(self, "server", (entering ? "enter after " : "") + std::string(what) + "(" + shown.message + ")");
    r.fields.push_back({"why", shown.reason});
    if (!frame.reason.trace().empty()) r.fields.push_back({"thrown in", std::string(frame.reason.trace())});
    if (std::string client = client_of(frame); (what == "handle_call" || what == "handle") && !client.empty()) r.fields.push_back({"asked by", std::move(client)});
    r.fields.push_back({"state", shown.state});
    if (machine != nullptr) describe_machine(*machine, r);
    if (std::string queue = queue_of(self); !queue.empty()) r.fields.push_back({"queue", std::move(queue)});
    if (const auto ancestors = detail::ancestors_of(self); !ancestors.empty())
      r.fields.push_back({"tree", "started by " + titled(ancestors.front())});
    for (const std::string& e : shown.log) r.fields.push_back({"event", e});
    write_report(r);
  } catch (...) {
    // Out of memory while dying: the crash report of the process has no need of any.
  }
}

void report_unexpected(slot& self, const node& n, std::string_view what) noexcept {
  if (!would_log(log_level::error)) return;
  try {
    report r = report_of(self, "server", {});
    r.headline += "  has no " + std::string(what) + " for a message and dropped it";
    r.fields.push_back({"message", printed(*n.type, detail::payload_of(const_cast<node&>(n)))});
    write_report(r);
  } catch (...) {
  }
}

}  // namespace coppice::internal
