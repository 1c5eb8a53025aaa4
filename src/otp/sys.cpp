// SPDX-License-Identifier: Apache-2.0
//
// sys: the server's half of include/coppice/otp/sys.hpp. A request is an ordinary call whose handler is run_system_request:
// it claims the reply first, so the caller and its context stay where they are while the server works on them.
#include <coppice/otp/sys.hpp>

#include <coppice/base/log_sink.hpp>
#include <coppice/otp/start.hpp>

#include "base/pipe_signal.hpp"
#include "otp/gen_server_core.hpp"
#include "otp/machine_data.hpp"
#include "otp/server_data.hpp"
#include "process/query.hpp"
#include "process/signal.hpp"

#include <algorithm>
#include <fcntl.h>
#include <stdexcept>
#include <unistd.h>

namespace coppice::internal {

using detail::after;
using detail::call_record;
using detail::call_status;
using detail::handler_frame;
using detail::has;
using detail::system_request;

void run_system_request(handler_frame& frame) noexcept {
  const system_request request = *static_cast<const system_request*>(frame.request);
  // The caller must not leave while its context is in use: through a reply slot it waits for what was claimed.
  detail::detach(frame);
  if (detail::claim_reply(frame.reply, frame.reply_serial) == nullptr) return;
  request.run(*frame.self, request.context);
  detail::publish_reply(std::exchange(frame.reply, nullptr), std::exchange(frame.reply_serial, 0));
}

void run_stop_request(handler_frame& frame) noexcept {
  const stop_request request = std::move(*static_cast<stop_request*>(frame.request));
  detail::detach(frame);
  frame.then_do = after::stop;
  frame.reason = request.why;
  frame.answer_last = request.answer_at_the_end;               // by end_server, who finds the reply in the frame
  if (frame.answer_last) return;
  if (detail::claim_reply(frame.reply, frame.reply_serial) != nullptr) detail::publish_reply(frame.reply, frame.reply_serial);
  frame.reply = nullptr;
  frame.reply_serial = 0;
}

// --- events ----------------------------------------------------------------------------------------------------------

namespace {

std::string text_of_object(const message_descriptor* type, const void* object) {
  if (type == nullptr) return {};
  if (object == nullptr) return std::string(type->name);
  text_sink out;
  type->print(out, object);
  return out.take();
}

void append_line(int file, const std::string& line) noexcept {
  std::size_t done = 0;
  while (done < line.size()) {
    const ssize_t n = internal::write_without_signal(file, line.data() + done, line.size() - done);
    if (n <= 0) return;
    done += static_cast<std::size_t>(n);
  }
}

void trace_event(slot& self, const sys::event& e) {
  report r = begin_report(self, log_level::notice, "trace");
  r.headline += "  " + to_text(e);
  write_report(r);
}

/// GS-167: a hook that throws is removed silently.
bool stays(installed_hook& h, const sys::event& e) noexcept {
  try {
    return h.watch(e) == sys::hook::stay;
  } catch (...) {
    return false;
  }
}

void tell(slot& self, server_data& d, sys::event e) noexcept {
  try {
    if (d.tracing) trace_event(self, e);
    if (d.log_file >= 0) append_line(d.log_file, title_of(self) + "  " + to_text(e) + "\n");
    std::erase_if(d.hooks, [&](installed_hook& h) { return !stays(h, e); });
    if (d.log_limit == 0) return;
    d.log.push_back(std::move(e));
    while (d.log.size() > d.log_limit) d.log.pop_front();
  } catch (...) {
    // Watching must not change what is watched.
  }
}

}  // namespace

void emit(slot& self, server_data& d, sys::event::kind what, const message_descriptor* type, const void* object) noexcept {
  if (!d.has_listeners()) return;
  try {
    tell(self, d, {what, text_of_object(type, object)});
  } catch (...) {
  }
}

void emit_state(slot& self, server_data& d) noexcept {
  if (!d.has_listeners()) return;
  try {
    text_sink out;
    self.cls->print(out, detail::state_of(self));
    tell(self, d, {sys::event::new_state, formatted_status(self, {.state = out.take()}).state});
  } catch (...) {
  }
}

server_status formatted_status(slot& self, server_status raw) noexcept {
  const auto format = table_of(self).format_status;
  if (format == nullptr) return raw;
  const std::size_t events = raw.log.size();
  try {
    if (format(detail::state_of(self), raw)) return raw;
  } catch (...) {
  }
  // GS-157: what was to be hidden must not be shown because hiding it failed.
  server_status safe{.state = "(format_status failed)", .message = "(format_status failed)", .reason = raw.reason};
  try {
    safe.log.assign(events, "(format_status failed)");
  } catch (...) {
  }
  return safe;
}

void switch_off(server_data& d) noexcept {
  d.tracing = false;
  d.counting = false;
  d.log_limit = 0;
  d.log.clear();
  d.hooks.clear();
  if (d.log_file >= 0) ::close(d.log_file);
  d.log_file = -1;
  d.log_path.clear();
}

namespace {

bool open_log(server_data& d, std::string_view path) {
  if (d.log_file >= 0) ::close(d.log_file);
  d.log_file = -1;
  d.log_path.clear();
  if (path.empty()) return true;
  const std::string name(path);
  // A named pipe that nobody reads is an error: to wait for a reader would be to hold up the server.
  d.log_file = ::open(name.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0644);
  if (d.log_file < 0) return false;
  ::fcntl(d.log_file, F_SETFL, O_APPEND);
  d.log_path = name;
  return true;
}

void count_from_now(server_data& d) noexcept {
  d.counting = true;
  d.counting_since = sync::now();
  d.counts = {};
}

}  // namespace

void apply_debug(slot& self, const sys::debug_options& debug) {
  if (!debug.trace && !debug.statistics && debug.log == 0 && debug.log_to_file.empty()) return;
  server_data& d = make_data(self);
  d.tracing = debug.trace;
  if (debug.statistics) count_from_now(d);
  d.log_limit = debug.log;
  if (!debug.log_to_file.empty() && !open_log(d, debug.log_to_file)) {
    report r = begin_report(self, log_level::warning, "sys");
    r.headline += "  cannot log to " + std::string(debug.log_to_file) + ": ignored";
    write_report(r);
  }
  needs_care(self);
}

}  // namespace coppice::internal

namespace coppice::detail {

using internal::sync::never;

namespace {

call_site site_for(const message_descriptor& type, trampoline run, std::string_view what) noexcept {
  return {{&type, run, 0}, {}, false, what};
}

/// One request that the core itself handles: direct if the server is idle, urgent: in front of what waits.
void ask_server(const target& to, const call_site& site, void* request, duration timeout, bool urgent, call_record& record) {
  nothing room;
  record.to = to.find();
  record.target = &site;
  record.request = request;
  record.place = &room;
  record.timeout = timeout;
  const bool bounded = record.to && record.to.is_local() && record.to.where()->bound.load(internal::sync::relaxed) != 0;
  if (urgent) internal::call_unbounded(record, node_kind::system);
  else if (bounded) internal::call_unbounded(record, node_kind::call);
  else call_core(record);
  if (record.status == call_status::caller_ends) throw_call_error(record, site, to.name());
}

}  // namespace

void system_call(const target& to, const system_request& request, duration timeout, std::string_view what, bool urgent) {
  system_request copy = request;
  const call_site site = site_for(descriptor_of<system_request>(), &internal::run_system_request, what);
  call_record record;
  ask_server(to, site, &copy, timeout, urgent, record);
  if (record.status != call_status::replied) throw_call_error(record, site, to.name());
}

void stop_core(const target& to, const exit_reason& why, duration timeout, bool urgent) {
  if (timeout < duration{0}) throw std::invalid_argument("stop: a negative timeout");   // GS-147
  internal::stop_request request{why, true};
  const call_site site = site_for(descriptor_of<internal::stop_request>(), &internal::run_stop_request, "stop");
  call_record record;
  ask_server(to, site, &request, timeout, urgent, record);
  if (record.status == call_status::ended && record.reason == why) return;
  throw_call_error(record, site, to.name());
}

void throw_bad_class(const target& to, std::string_view wanted) {
  const pid who = to.find();
  throw call_error(call_error::bad_request, exit_reason::bad_request, who,
                   "bad_request: " + (to.name() != nullptr ? to_text(*to.name()) + " " : std::string()) + to_text(who) +
                       " is no server of class " + std::string(wanted));
}

void throw_sys_failed(const target& to, const exit_reason& why, std::string_view what) {
  const pid who = to.find();
  throw call_error(call_error::failed, why, who, std::string(what) + " failed in " + to_text(who) + ": " + to_text(why));
}

}  // namespace coppice::detail

namespace coppice {

result<void, call_error> try_stop(const detail::target& server, exit_reason why, duration timeout) {
  try {
    detail::stop_core(server, why, timeout, false);
    return {};
  } catch (call_error& e) {
    return error(std::move(e));
  }
}

}  // namespace coppice

namespace coppice::sys {

namespace {

using internal::server_data;

/// Runs `f(self, context)` in the server.
template <class F>
void in_server(const detail::target& server, const asking& how, std::string_view what, F f) {
  detail::system_call(server, {.run = [](detail::slot& self, void* raw) { (*static_cast<F*>(raw))(self); }, .context = &f},
                      how.timeout(), what, how.is_urgent());
}

/// The same with the server's data, made if need be; `careful` is brought up to date.
template <class F>
void with_data(const detail::target& server, const asking& how, std::string_view what, F f) {
  in_server(server, how, what, [&](detail::slot& self) {
    f(self, internal::make_data(self));
    internal::needs_care(self);
  });
}

std::string_view name_of(event::kind k) noexcept {
  switch (k) {
    case event::got_call: return "got call ";
    case event::got_cast: return "got cast ";
    case event::got_info: return "got ";
    case event::sent_reply: return "sent reply ";
    case event::new_state: return "new state ";
  }
  return {};
}

}  // namespace

std::string to_text(const event& e) { return std::string(name_of(e.what)) + e.text; }

namespace detail {

bool is_suspended(slot& self) noexcept {
  const server_data* d = internal::data_of(self);
  return d != nullptr && d->suspended;
}

exit_reason current_failure() noexcept { return exit_reason::from_current_exception(); }

exit_reason exchange_state(slot& self, const coppice::detail::class_descriptor& to,
                           void (*make)(void* place, void* old, void* context), void* context) noexcept {
  namespace core = coppice::detail;
  void* old = core::state_of(self);
  void* fresh = nullptr;
  const auto alignment = std::align_val_t{to.state_align};
  try {
    fresh = ::operator new(to.state_size, alignment);
    make(fresh, old, context);
  } catch (...) {
    if (fresh != nullptr) ::operator delete(fresh, alignment);
    return exit_reason::from_current_exception();
  }
  // From here on nothing can fail. The new state stays on the heap: its inline place holds the pointer (C1).
  const core::class_descriptor& from = *self.cls;
  from.destroy(old);
  if (core::has(self, core::boxed)) ::operator delete(old, std::align_val_t{from.state_align});
  *reinterpret_cast<void**>(reinterpret_cast<char*>(&self) + sizeof(slot)) = fresh;
  core::set(self, core::boxed);
  if (&from != &to) internal::forget_trampolines(self);
  self.cls = &to;
  return exit_reason::normal;
}

void throw_not_suspended(const target& to, std::string_view what) {
  const pid who = to.find();
  throw call_error(call_error::failed, exit_reason("unknown_system_msg"), who,
                   std::string(what) + ": " + coppice::to_text(who) + " is not suspended");
}

}  // namespace detail

std::string state_text(const detail::target& server, const asking& how) {
  std::string text;
  in_server(server, how, "sys::state_text", [&](detail::slot& self) {
    text_sink out;
    self.cls->print(out, coppice::detail::state_of(self));
    text = internal::formatted_status(self, {.state = out.take()}).state;
  });
  return text;
}

status get_status(const detail::target& server, const asking& how) {
  status s;
  in_server(server, how, "sys::get_status", [&](detail::slot& self) {
    s.who = coppice::detail::pid_of(self);
    s.behaviour = self.cls->handles->name;
    s.class_name = self.cls->name;
    if (const auto* e = self.ext.get()) s.parent = e->parent;
    if (!s.parent) s.parent = s.who;                            // GS-5
    server_status raw;
    if (const server_data* d = internal::data_of(self)) {
      s.suspended = d->suspended;
      s.tracing = d->tracing;
      s.statistics = d->counting;
      s.log_limit = d->log_limit;
      s.log_file = d->log_path;
      s.hooks = d->hooks.size();
      s.held = d->held.size();
      if (d->machine != nullptr) s.postponed = d->machine->postponed.size(), s.timeouts = internal::running_timeouts(*d->machine);
      for (const event& e : d->log) raw.log.push_back(to_text(e));
    }
    text_sink out;
    self.cls->print(out, coppice::detail::state_of(self));
    raw.state = out.take();
    s.formatted = internal::formatted_status(self, std::move(raw));
  });
  return s;
}

void suspend(const detail::target& server, const asking& how) {
  with_data(server, how, "sys::suspend", [](detail::slot&, server_data& d) { d.suspended = true; });
}

void resume(const detail::target& server, const asking& how) {
  with_data(server, how, "sys::resume", [](detail::slot& self, server_data& d) {
    d.suspended = false;
    internal::release_held(self, d);
  });
}

void terminate(const detail::target& server, const exit_reason& why, const asking& how) {
  internal::stop_request request{why, false};
  const auto site = coppice::detail::site_for(descriptor_of<internal::stop_request>(), &internal::run_stop_request, "sys::terminate");
  coppice::detail::call_record record;
  coppice::detail::ask_server(server, site, &request, how.timeout(), how.is_urgent(), record);
  if (record.status != coppice::detail::call_status::replied)
    coppice::detail::throw_call_error(record, site, server.name());
}

void statistics(const detail::target& server, bool on, const asking& how) {
  with_data(server, how, "sys::statistics", [&](detail::slot&, server_data& d) {
    if (on) internal::count_from_now(d);
    else d.counting = false;
  });
}

std::optional<statistics_report> get_statistics(const detail::target& server, const asking& how) {
  std::optional<statistics_report> out;
  in_server(server, how, "sys::get_statistics", [&](detail::slot& self) {
    const server_data* d = internal::data_of(self);
    if (d == nullptr || !d->counting) return;
    out = d->counts;
    out->running = duration(coppice::detail::sync::now() - d->counting_since);
  });
  return out;
}

void trace(const detail::target& server, bool on, const asking& how) {
  with_data(server, how, "sys::trace", [&](detail::slot&, server_data& d) { d.tracing = on; });
}

void log_to_file(const detail::target& server, std::string_view path, const asking& how) {
  bool opened = true;
  with_data(server, how, "sys::log_to_file", [&](detail::slot&, server_data& d) { opened = internal::open_log(d, path); });
  if (!opened)
    coppice::detail::throw_sys_failed(server, exit_reason("cannot open " + std::string(path)), "sys::log_to_file");
}

void log(const detail::target& server, std::uint32_t limit, const asking& how) {
  with_data(server, how, "sys::log", [&](detail::slot&, server_data& d) {
    d.log_limit = limit;
    while (d.log.size() > limit) d.log.pop_front();
  });
}

std::vector<event> get_log(const detail::target& server, const asking& how) {
  std::vector<event> out;
  in_server(server, how, "sys::get_log", [&](detail::slot& self) {
    if (const server_data* d = internal::data_of(self)) out.assign(d->log.begin(), d->log.end());
  });
  return out;
}

void print_log(const detail::target& server, const asking& how) {
  in_server(server, how, "sys::print_log", [&](detail::slot& self) {
    const server_data* d = internal::data_of(self);
    if (d == nullptr) return;
    for (const event& e : d->log) internal::trace_event(self, e);
  });
}

void detail::install_hook(const target& server, std::string_view id, const hook_parts& watch, const asking& how) {
  internal::installed_hook fresh(id, watch);
  with_data(server, how, "sys::install", [&](slot&, server_data& d) {
    for (const internal::installed_hook& h : d.hooks)
      if (h.id() == id) return;
    d.hooks.push_back(std::move(fresh));
  });
}

void remove(const detail::target& server, std::string_view id, const asking& how) {
  with_data(server, how, "sys::remove", [&](detail::slot&, server_data& d) {
    std::erase_if(d.hooks, [&](const internal::installed_hook& h) { return h.id() == id; });
  });
}

void no_debug(const detail::target& server, const asking& how) {
  with_data(server, how, "sys::no_debug", [](detail::slot&, server_data& d) { internal::switch_off(d); });
}

}  // namespace coppice::sys
