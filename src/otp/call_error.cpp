// SPDX-License-Identifier: Apache-2.0
//
// call_error, start_error: the texts. They say what was asked of whom, and for a timeout what the server was doing (GS-X4).
// Built only when something has failed.
#include <coppice/otp/call_error.hpp>

#include <coppice/otp/call.hpp>
#include <coppice/otp/request.hpp>

#include "otp/server_data.hpp"

namespace coppice {

call_error::call_error(kind what, exit_reason reason, pid server, std::string text)
    : kind_(what), reason_(std::move(reason)), server_(server), text_(std::move(text)) {}

start_error::start_error(kind what, exit_reason reason, pid holder, std::string text)
    : kind_(what), reason_(std::move(reason)), holder_(holder), text_(std::move(text)) {}

namespace detail {

namespace {

constexpr int longest_chain = 16;

/// `ch3 <0.41>`, `ch3 "pool" <0.41>`, `"pool"` where nobody has the name.
std::string server_text(std::string_view cls, pid who, const name_view* name) {
  std::string text(cls);
  const auto add = [&](const std::string& part) {
    if (!text.empty()) text += ' ';
    text += part;
  };
  if (name != nullptr) add(to_text(*name));
  if (who) add(to_text(who));
  return text;
}

std::string request_text(const message_descriptor& type, const void* request) {
  if (request == nullptr) return std::string(type.name);
  text_sink out;
  type.print(out, request);
  return out.take();
}

/// What the server is at, by what it has published. A guess while it runs; exact while it waits.
std::string activity_text(pid who) {
  if (!who || !who.is_local() || who.where()->serial.load(sync::acquire) != who.serial()) return {};
  const slot& s = *who.where();
  std::string text;
  if (const message_descriptor* doing = s.doing.load(sync::acquire)) {
    text += "; it has been handling " + std::string(doing->name);
    const std::int64_t since = s.since.load(sync::relaxed);
    if (since > 0) text += " for " + duration_text(sync::now() - since);
  }
  const std::uint32_t waiting = s.length.load(sync::relaxed);
  if (waiting != 0) text += (text.empty() ? "; " : ", ") + std::to_string(waiting) + (waiting == 1 ? " message waits" : " messages wait");
  return text;
}

std::string process_text(const slot& s) {
  // Those in a ring wait for each other: whoever has published `calling` has published its class before.
  const class_descriptor* cls = s.cls;
  return (cls != nullptr ? std::string(cls->name) + " " : std::string()) + to_text(pid_of(s));
}

std::string ring_text(pid to) {
  const slot& me = here();
  std::string text = "cycle: " + process_text(me);
  const slot* s = to.where();
  for (int i = 0; s != nullptr && i < longest_chain; s = s->calling.load(sync::acquire), ++i) {
    text += " → " + process_text(*s);
    if (s == &me) break;
  }
  return text;
}

call_error make(call_error::kind kind, exit_reason reason, pid who, std::string text) {
  return call_error(kind, std::move(reason), who, std::move(text));
}

}  // namespace

call_error error_of(const call_record& r, const call_site& site, const name_view* name) {
  const std::string server = server_text(site.server, r.to, name);
  const std::string request = !site.operation.empty() ? std::string(site.operation)
                                                      : request_text(*site.type, site.request_outlives_move ? r.request : nullptr);
  switch (r.status) {
    case call_status::noproc:
      return make(call_error::noproc, exit_reason::noproc, r.to,
                  "noproc: " + (r.to ? server + " is not alive" : name != nullptr ? "nobody has the name " + to_text(*name) : "no process was named") +
                      "; asked for " + request);
    case call_status::timed_out:
      return make(call_error::timeout, exit_reason::timeout, r.to,
                  "timeout after " + duration_text(r.timeout.count()) + ": " + server + " has not answered " + request + activity_text(r.to));
    case call_status::calling_self:
      return make(call_error::calling_self, exit_reason::calling_self, r.to,
                  "calling_self: " + server + " asked itself for " + request + ", which it could only answer after that");
    case call_status::cycle:
      return make(call_error::cycle, exit_reason("cycle"), r.to, ring_text(r.to));
    case call_status::ended:
      return make(call_error::ended, r.reason, r.to, "ended: " + server + " ended before it answered " + request + ": " + to_text(r.reason));
    case call_status::full:
      return make(call_error::full, exit_reason::system_limit, r.to, "full: the mailbox of " + server + " takes no more; refused " + request);
    case call_status::no_reply:
      return make(call_error::no_reply, exit_reason::no_reply, r.to, "no_reply: " + server + " dropped " + request + " unanswered");
    case call_status::bad_request:
      return make(call_error::bad_request, exit_reason::bad_request, r.to,
                  "bad_request: " + server + " is another class of server, or its protocol has no " + request);
    case call_status::caller_ends:
      internal::throw_unwind();
    case call_status::pending:
    case call_status::detached:
    case call_status::replied:
      break;
  }
  return make(call_error::failed, exit_reason::normal, r.to, "the call of " + server + " has no error");
}

void throw_call_error(const call_record& record, const call_site& site, const name_view* name) {
  throw error_of(record, site, name);
}

call_error error_of_cast(sent what, pid to, const message_descriptor& type, std::string_view server, const name_view* name) {
  const call_site site{{&type, nullptr, 0}, server, false};
  call_record record;
  record.to = to;
  record.target = &site;
  record.status = what == sent::full ? call_status::full : call_status::noproc;
  return error_of(record, site, name);
}

call_error error_of_answer(const answer_record& a, pid server) {
  const std::string who = server ? to_text(server) : "the server";
  if (a.kind == answer_kind::timed_out)
    return make(call_error::timeout, exit_reason::timeout, server, "timeout: no response from " + who + activity_text(server));
  switch (a.reason.what()) {
    case exit_reason::noproc:
      return make(call_error::noproc, a.reason, server, "noproc: " + who + " is not alive");
    case exit_reason::no_reply:
      return make(call_error::no_reply, a.reason, server, "no_reply: " + who + " dropped the request unanswered");
    case exit_reason::bad_request:
      return make(call_error::bad_request, a.reason, server, "bad_request: " + who + " does not know this request");
    case exit_reason::system_limit:
      return make(call_error::full, a.reason, server, "full: the mailbox of " + who + " takes no more");
    default:
      return make(call_error::ended, a.reason, server, "ended: " + who + " ended before it answered: " + to_text(a.reason));
  }
}

call_error error_of_unknown() {
  return make(call_error::unknown, exit_reason("unknown"), {}, "unknown: the response was taken, or the request abandoned, before");
}

}  // namespace detail
}  // namespace coppice
