// SPDX-License-Identifier: Apache-2.0
//
// gen_server_core: a server's way with one message, compiled once for all classes. Reads from top to bottom: handle -> one
// of handle_* -> run -> settle (what the handler left to do) -> end_server. The templates only supply trampolines.
//
// Everything here runs as the process itself, on its own fiber (a leaf: on its caller's stack).
#include "otp/gen_server_core.hpp"

#include <coppice/base/assert.hpp>

#include "otp/machine_data.hpp"
#include "otp/server_data.hpp"
#include "process/class_counts.hpp"
#include "process/process_timer.hpp"
#include "process/signal.hpp"
#include "process/system.hpp"
#include "process/trace.hpp"
#include "runtime/scope.hpp"

#include <algorithm>

namespace coppice::internal {

using detail::after;
using detail::call_status;
using detail::clear;
using detail::handler_frame;
using detail::has;
using detail::trampoline;

namespace {

void run_framed(handler_frame& frame, trampoline handler) noexcept;
void trim(slot& self) noexcept;
void hibernate(slot& self);
void arm_hibernation(slot& self);
node* make_tick(slot& self, tick_payload what);

/// What the typed sends put between a node and its payload.
std::uint64_t& class_header_of(node& n) noexcept { return *reinterpret_cast<std::uint64_t*>(&n + 1); }

std::string_view callback_name(const slot& self, node_kind kind) noexcept {
  if (is_machine(self)) return "handle";
  switch (kind) {
    case node_kind::call: return "handle_call";
    case node_kind::cast: return "handle_cast";
    default: return "handle_info";
  }
}

detail::reply_ticket ticket_of(const detail::call_header& h) noexcept { return {h.reply, h.reply_serial, h.caller}; }

/// `system`: a call that goes before all messages.
bool is_call(const node& n) noexcept { return n.kind == node_kind::call || n.kind == node_kind::system; }

/// Destroys a handled message.
[[gnu::always_inline]] inline void drop(node* n) noexcept {
  if (n->type != nullptr && !n->type->inert) n->type->destroy(payload_at(*n));
  free_node(here(), n);
}

/// Nobody waits for this call any more (GS-X1). A look at its reply slot, no clock: who gives up or dies abandons it.
bool is_expired(node& n) noexcept {
  if (n.kind != node_kind::call || n.type->late) return false;
  const detail::call_header& h = header_of(n);
  return h.reply != nullptr && phase_of(*h.reply, h.reply_serial) == reply_phase::gone;
}

trampoline for_library_message(const detail::gen_server_table& t, const message_descriptor& type) noexcept {
  if (type.key == descriptor_of<coppice::down>().key) return t.on_down;
  if (type.key == descriptor_of<exit_signal>().key) return t.on_exit_signal;
  if (type.key == descriptor_of<coppice::timeout>().key) return t.on_timeout;
  return nullptr;
}

trampoline find_for(slot& self, const node& n) noexcept {
  if (n.run != nullptr) return n.run;
  const node_kind kind = n.kind == node_kind::call || n.kind == node_kind::cast ? n.kind : node_kind::info;
  if (const trampoline run = find_trampoline(*self.cls, kind, n.type->key)) return run;
  if (kind != node_kind::info) return nullptr;
  const detail::gen_server_table& t = table_of(self);
  if (const trampoline run = for_library_message(t, *n.type)) return run;
  return t.on_message;
}

/// Whether the sender meant a server of this class. Who names a server may find another class under the name.
bool is_for_this_class(const slot& self, node& n) noexcept {
  std::uint64_t wanted = 0;
  if (n.kind == node_kind::call) wanted = header_of(n).class_key;
  else if (n.run != nullptr) wanted = class_header_of(n);
  return wanted == 0 || wanted == self.cls->key;
}

/// A message that no callback takes: the sender of a call learns of it, everything else gets a line in the log (GS-121).
void refuse(slot& self, node* n) noexcept {
  if (n->kind != node_kind::call) report_unexpected(self, *n, callback_name(self, n->kind));
  dispose(n, exit_reason::bad_request);
}

/// It still counts: for the length that others see, and for the bound (GS-X2).
void hold(slot& self, server_data& d, node* n) {
  d.held.push_back(n);
  self.length.store(self.length.load(sync::relaxed) + 1, sync::relaxed);
  if (self.bound.load(sync::relaxed) == 0 || n->kind == node_kind::tick) return;
  n->counted = true;
  self.counted.fetch_add(1, sync::relaxed);
}

/// The reverse, but for the bound: that is the mailbox's business again.
void unhold(slot& self) noexcept { self.length.store(self.length.load(sync::relaxed) - 1, sync::relaxed); }

/// A message that came while it was not wanted waits for resume.
bool hold_if_suspended(slot& self, node* n) {
  server_data* d = data_of(self);
  if (d == nullptr || !d->suspended) return false;
  hold(self, *d, n);
  return true;
}

/// Runs one handler. The message is gone afterwards.
void run(slot& self, node* n, trampoline handler, handler_frame& frame) noexcept {
  frame.self = &self;
  frame.state = detail::state_of(self);
  frame.request = detail::payload_of(*n);
  frame.type = n->type;
  if (is_call(*n)) {
    const detail::call_header& h = header_of(*n);
    frame.reply = h.reply;
    frame.reply_serial = h.reply_serial;
    frame.caller = h.caller;
  }
  self.doing.store(n->type, sync::release);
  self.since.store(here().clock, sync::relaxed);
  run_framed(frame, handler);
  if (self.serial.load(sync::relaxed) != 0) self.doing.store(nullptr, sync::relaxed);
  drop(n);
}

/// The same for a watched server: events before and after, counters.
void run_watched(slot& self, server_data& d, node* n, trampoline handler, handler_frame& frame) noexcept {
  const node_kind kind = n->kind;
  const message_descriptor* type = n->type;
  const sys::event::kind got = kind == node_kind::call ? sys::event::got_call
                               : kind == node_kind::cast ? sys::event::got_cast : sys::event::got_info;
  emit(self, d, got, type, detail::payload_of(*n));
  if (d.counting) ++d.counts.messages_in, ++d.counts.work;
  const bool asked = kind == node_kind::call && bool(ticket_of(header_of(*n)));
  run(self, n, handler, frame);
  const bool replied = asked && frame.reply == nullptr && frame.reply_serial == 0;      // form_ticket took it
  if (replied && d.counting) ++d.counts.messages_out;
  if (replied) emit(self, d, sys::event::sent_reply, type->reply, nullptr);
  if (frame.then_do != after::failed) emit_state(self, d);
}

void handle_ordinary(slot& self, node* n) noexcept {
  if (is_expired(*n)) return dispose(n, exit_reason::timeout);
  server_data* d = data_of(self);
  if (d != nullptr) disarm_idle(self, *d);
  const trampoline handler = is_for_this_class(self, *n) ? find_for(self, *n) : nullptr;
  if (handler == nullptr) return refuse(self, n);
  const std::string_view what = callback_name(self, n->kind);
  handler_frame frame;
  if (d != nullptr && d->is_watched()) run_watched(self, *d, n, handler, frame);
  else run(self, n, handler, frame);
  settle(self, frame, what);
}

/// System requests neither cancel a timeout nor wait for resume (GS-92, GS-164).
void handle_system(slot& self, node* n) noexcept {
  handler_frame frame;
  if (server_data* d = data_of(self); d != nullptr && d->counting) ++d->counts.work;
  run(self, n, n->run, frame);
  settle(self, frame, "sys");
}

/// GS-125: the parent's EXIT ends a trapping server, whatever the reason. So does one of nobody: its runtime stops (OL-23).
void handle_parent_exit(slot& self, node* n) noexcept {
  handler_frame frame;
  frame.self = &self;
  frame.state = detail::state_of(self);
  frame.type = n->type;
  frame.then_do = after::stop;
  frame.reason = payload<exit_signal>(*n).reason;
  drop(n);
  end_server(self, frame, "handle_info");
}

bool is_parent_exit(slot& self, node& n) noexcept {
  if (n.kind != node_kind::exited) return false;
  const pid who = payload<exit_signal>(n).who;
  if (!who && system_of(self).closing.load(sync::relaxed) != 0) return true;
  return self.ext.get() != nullptr && self.ext->parent && who == self.ext->parent;
}

// --- ticks: idle timeouts, named timers, what follows a direct call --------------------------------------------------

node* make_timeout(slot& self) {
  node* n = make_node(node_kind::info, coppice::timeout{});
  n->type = &descriptor_of<coppice::timeout>();
  n->run = table_of(self).on_timeout;
  n->serial = self.serial.load(sync::relaxed);
  return n;
}

/// What continue_with, timeout_with or a named timer made.
void run_follow_up(slot& self, node* n, std::string_view what) noexcept {
  const trampoline handler = n->run != nullptr ? n->run : find_for(self, *n);
  if (handler == nullptr) return refuse(self, n);
  handler_frame frame;
  server_data* d = data_of(self);
  if (d != nullptr && d->is_watched()) run_watched(self, *d, n, handler, frame);
  else run(self, n, handler, frame);
  settle(self, frame, what);
}

/// handle_info(timeout).
void run_timeout(slot& self) noexcept {
  run_follow_up(self, make_timeout(self), "handle_info");
}

void handle_named(slot& self, server_data& d, std::uint64_t token) noexcept {
  const auto timer = std::find_if(d.timers.begin(), d.timers.end(), [&](const named_timer& t) { return t.token == token; });
  if (timer == d.timers.end()) return;                        // cancelled or replaced meanwhile
  node* n = timer->message;
  if (timer->every != 0) {
    n = copy_of(*n, timer->copy);
    timer->due = next_in_cadence(timer->due, timer->every);
    timer->timer = start_own_timer(self, std::max<std::int64_t>(timer->due - sync::now(), 0),
                                   make_node(node_kind::tick, tick_payload{tick_payload::named, token}));
  } else {
    timer->message = nullptr;
    d.timers.erase(timer);
  }
  if (n == nullptr) return;                                   // its copy threw: this one is left out
  n->serial = self.serial.load(sync::relaxed);
  disarm_idle(self, d);
  run_follow_up(self, n, "handle_info");
}

void handle_tick(slot& self, node* n) noexcept {
  if (n->type != nullptr) {                                   // follow_first
    n->kind = node_kind::info;
    return run_follow_up(self, n, "handle_continue");
  }
  const tick_payload tick = payload<tick_payload>(*n);
  server_data* d = data_of(self);
  if (d == nullptr) return detail::free_node(n);
  if (d->suspended) {
    hold(self, *d, n);
    return;
  }
  detail::free_node(n);
  switch (tick.kind) {
    case tick_payload::idle: {
      if (d->idle.armed == idle_timeout::none || d->idle.token != tick.token) return;
      const auto was = d->idle.armed;
      node* then = std::exchange(d->idle.then, nullptr);
      d->idle.armed = idle_timeout::none;
      needs_care(self);
      return was == idle_timeout::plain ? run_timeout(self) : run_follow_up(self, then, "handle_info");
    }
    case tick_payload::hibernate:
      d->hibernation_armed = false;
      if (d->idle.armed == idle_timeout::none && tick.token == d->activity) hibernate(self);   // GS-97
      else arm_hibernation(self);
      return;
    case tick_payload::named: return handle_named(self, *d, tick.token);
    case tick_payload::machine_queue: return run_machine_queue(self);
    case tick_payload::machine_timeout: return run_machine_timeout(self, tick.token);
  }
}

// --- what a handler left to do ---------------------------------------------------------------------------------------

node* make_tick(slot& self, tick_payload what) {
  node* n = make_node(node_kind::tick, what);
  n->serial = self.serial.load(sync::relaxed);
  return n;
}

void arm_idle(slot& self, idle_timeout::state what, std::int64_t wait, node* then) {
  server_data& d = make_data(self);
  disarm_idle(self, d);
  d.idle.armed = what;
  d.idle.token = ++d.last_token;
  d.idle.then = then;
  d.idle.timer = start_own_timer(self, wait, make_tick(self, {tick_payload::idle, d.idle.token}));
  needs_care(self);
}

/// Gives back what can be given back; the stack is gone with the turn anyway (GS-96).
void trim(slot& self) noexcept {
  detail::extension* e = self.ext;
  if (e == nullptr) return;
  e->links.shrink_to_fit();
  e->watches.shrink_to_fit();
  e->watchers.shrink_to_fit();
  if (detail::belongings* rest = e->if_any()) rest->aliases.shrink_to_fit(), rest->open_replies.shrink_to_fit();
  if (server_data* d = data_of(self)) d->timers.shrink_to_fit(), d->log.shrink_to_fit(), d->held.shrink_to_fit();
}

/// One timer looks whether anything was handled since it was armed.
void arm_hibernation(slot& self) {
  server_data* d = data_of(self);
  if (d == nullptr || d->hibernate_after == sync::never || d->hibernation_armed || d->hibernated) return;
  d->hibernation_armed = true;
  start_own_timer(self, d->hibernate_after, make_tick(self, {tick_payload::hibernate, d->activity}));
}

void hibernate(slot& self) {
  make_data(self).hibernated = true;
  trim(self);
}

/// Something ordinary waits already.
bool has_queued(slot& self) noexcept {
  drain(self);
  return self.fifo.get() != nullptr;
}

/// One step. Returns: a follow-up that has to run at once, with `what` set; or null.
node* step(slot& self, handler_frame& frame, std::string_view& what) {
  if (frame.then_do == after::nothing) {
    arm_hibernation(self);
    return nullptr;
  }
  node* then = std::exchange(frame.then, nullptr);
  switch (frame.then_do) {
    case after::nothing:
      break;
    case after::wait:
      if (frame.wait == sync::never) return nullptr;
      if (frame.wait > 0) {
        arm_idle(self, idle_timeout::plain, frame.wait, nullptr);
        return nullptr;
      }
      what = "handle_info";
      return has_queued(self) ? nullptr : make_timeout(self);             // GS-91
    case after::hibernate:
      hibernate(self);
      if (then == nullptr) return nullptr;
      [[fallthrough]];
    case after::wait_message:
      what = "handle_info";
      if (frame.wait <= 0) return then;                                   // GS-93: before anything queued
      if (frame.wait == sync::never) {
        dispose(then, exit_reason::normal);
        return nullptr;
      }
      arm_idle(self, idle_timeout::message, frame.wait, then);
      return nullptr;
    case after::go_on:
      what = "handle_continue";
      return then;
    case after::stop:
    case after::stopped:
    case after::failed:
      break;
  }
  return nullptr;
}

bool ends(const handler_frame& frame) noexcept { return frame.then_do >= after::stop; }

/// `then` is set only together with then_do.
void drop_follow_up(handler_frame& frame) noexcept {
  if (frame.then_do != after::nothing && frame.then != nullptr) dispose(std::exchange(frame.then, nullptr), exit_reason::normal);
  frame.then = nullptr;
}

/// A handler that swallowed the unwinding of its own exit(reason) ends all the same.
void note_swallowed_exit(slot& self, handler_frame& frame) noexcept {
  if (!has(self, detail::leaving)) return;
  clear(self, detail::leaving);
  drop_follow_up(frame);
  frame.then_do = after::failed;
  frame.reason = detail::ext_of(self).pending;
}

/// Who asked and has no answer yet learns why there will be none.
void fail_caller(handler_frame& frame, const exit_reason& why) noexcept {
  if (frame.record != nullptr) {
    if (frame.record->status != call_status::pending) return;
    frame.record->status = call_status::ended;
    frame.record->reason = why;
  } else {
    detail::answer_died({frame.reply, frame.reply_serial, frame.caller}, why);
  }
}

/// Runs terminate. Returns: what the server ends with: `why`, or what terminate failed with (GS-138).
exit_reason run_terminate(slot& self, const exit_reason& why) noexcept {
  const trampoline terminate = table_of(self).terminate;
  if (terminate == nullptr) return why;
  handler_frame frame;
  frame.self = &self;
  frame.state = detail::state_of(self);
  frame.reason = why;
  terminate(frame);                                           // the fiber goes on showing the frame of who is ending
  note_swallowed_exit(self, frame);
  return frame.then_do == after::failed ? frame.reason : why;
}

/// Who asked is answered first; who waits for the very end, last of all: the pid is dead, everything of it is free (GS-149).
void end_and_answer(slot& self, handler_frame& frame, const exit_reason& why) noexcept {
  const bool last = frame.answer_last;
  if (!last) fail_caller(frame, why);
  if (server_data* d = data_of(self)) d->dying_of = why;
  end_process(self, why);
  if (last) fail_caller(frame, why);
}

/// An exit signal came while the handler waited: nothing of the user runs any more (GS-128, GS-134).
void end_by_signal(slot& self, handler_frame& frame) noexcept {
  const exit_reason why = detail::ext_of(self).pending;
  drop_follow_up(frame);
  frame.reason = why;                                         // of a direct call: its caller reads it when we are gone
  end_and_answer(self, frame, why);
}

}  // namespace

void settle(slot& self, handler_frame& frame, std::string_view what, bool at_once) noexcept {
  for (;;) {
    note_swallowed_exit(self, frame);
    if (has(self, detail::doomed)) return end_by_signal(self, frame);
    if (ends(frame)) return end_server(self, frame, what);
    node* next = step(self, frame, what);
    if (next == nullptr) {
      if (has(self, detail::doomed)) end_by_signal(self, frame);          // taken in when the queue was looked at
      return;
    }
    if (!at_once) return follow_first(self, next);
    trampoline handler = next->run;
    if (handler == nullptr) handler = find_for(self, *next);
    if (handler == nullptr) return refuse(self, next);
    frame = handler_frame{};
    server_data* d = data_of(self);
    if (d != nullptr && d->is_watched()) run_watched(self, *d, next, handler, frame);
    else run(self, next, handler, frame);
  }
}

void follow_first(slot& self, node* then) noexcept {
  then->kind = node_kind::tick;
  then->serial = self.serial.load(sync::relaxed);
  prepend(self, then);
}

void end_server(slot& self, handler_frame& frame, std::string_view what) noexcept {
  exit_reason why = frame.reason;
  if (frame.then_do != after::stopped && !has(self, detail::untrappable)) why = run_terminate(self, why);
  if (has(self, detail::untrappable)) why = detail::ext_of(self).pending;   // killed in the middle of it
  clear(self, detail::doomed);
  frame.reason = why;
  if (!why.is_quiet()) report_server(self, frame, what);
  end_and_answer(self, frame, why);
}

void run_queued(slot& self, node* n) noexcept {
  if (is_expired(*n)) return dispose(n, exit_reason::timeout);
  run_follow_up(self, n, callback_name(self, n->kind));
}

// --- data ------------------------------------------------------------------------------------------------------------

server_data::~server_data() {
  for (node* n : held) dispose(n, dying_of);
  if (idle.then != nullptr) dispose(idle.then, exit_reason::normal);
  for (const named_timer& t : timers)
    if (t.message != nullptr) dispose(t.message, exit_reason::normal);
  delete machine;
  switch_off(*this);
}

server_data& make_data(slot& s) {
  detail::extension& e = detail::ext_of(s);
  if (e.data == nullptr) {
    auto* d = new server_data;
    e.data = d;
    d->hibernate_after = sync::never;
    const duration class_wide = table_of(s).options.hibernate_after;
    if (class_wide != infinity) d->hibernate_after = class_wide.count();
  }
  return static_cast<server_data&>(*e.data);
}

void needs_care(slot& s) noexcept {
  const server_data* d = data_of(s);
  const bool own = d != nullptr && (d->suspended || d->idle.armed != idle_timeout::none || d->is_watched());
  const bool by_class = (s.cls->flags & (detail::class_flag::queued | detail::class_flag::pinned)) != 0;
  if (own || by_class || has(s, detail::frozen)) set(s, detail::careful);
  else clear(s, detail::careful);
}

void disarm_idle(slot& self, server_data& d) noexcept {
  d.hibernated = false;
  ++d.activity;
  if (d.idle.armed == idle_timeout::none) return;
  cancel_own_timer(self, d.idle.timer);                       // if it is on its way already, its token will not fit
  d.idle.armed = idle_timeout::none;
  if (d.idle.then != nullptr) dispose(std::exchange(d.idle.then, nullptr), exit_reason::normal);
  needs_care(self);
}

void release_held(slot& self, server_data& d) noexcept {
  while (!d.held.empty()) {
    unhold(self);
    prepend(self, d.held.back());
    d.held.pop_back();
  }
}

void forget_trampolines(slot& self) noexcept {
  if (node* newest = self.fifo) {
    node* n = newest;
    do {
      if (n->kind == node_kind::tick && n->type != nullptr) n->run = nullptr;
      n = n->next;
    } while (n != newest);
  }
  server_data* d = data_of(self);
  if (d == nullptr) return;
  if (d->idle.then != nullptr) d->idle.then->run = nullptr;
  for (const named_timer& t : d->timers) t.message->run = nullptr;
  if (d->machine != nullptr) forget_machine_trampolines(*d->machine);
}

// --- current frame ---------------------------------------------------------------------------------------------------

handler_frame* current_frame() noexcept {
  const thread_block& block = here();
  const bool on_own_fiber = block.on != nullptr && block.process != nullptr && block.on->process == block.process;
  return on_own_fiber ? static_cast<handler_frame*>(block.on->user) : nullptr;
}

namespace {

/// Who made the direct call that runs on this thread.
slot& direct_caller(detail::call_record& record) {
  return record.caller != nullptr ? *record.caller : proxy_of(here());
}

/// The fiber knows the frame while the handler runs: caller() asks for it, wherever the handler goes on after a wait.
void run_framed(handler_frame& frame, trampoline handler) noexcept {
  fiber* f = here().on;
  if (f == nullptr) return handler(frame);
  void* before = std::exchange(f->user, &frame);
  handler(frame);
  f->user = before;
}

// --- the behaviour ---------------------------------------------------------------------------------------------------

/// The commonest of all: a cast to a server that has nothing but its state, `key` its class's.
bool is_plain_cast(node& n, std::uint64_t key) noexcept {
  return n.kind == node_kind::cast && n.run != nullptr && class_header_of(n) == key;
}

/// A run of them, in one frame, as long as each leaves nothing to do and nobody wants to know more of one than its handler does.
/// What has come meanwhile ends the run: it may be a signal.
int handle_plain_casts(slot& self, int most) noexcept {
  const detail::class_descriptor* const cls = self.cls;
  const std::uint64_t key = cls->key;
  node* newest = self.fifo;
  node* n = newest->next;
  if (self.ext.get() != nullptr || !is_plain_cast(*n, key) || is_next_measured(self) || tracing()) return 0;
  handler_frame frame(self, detail::state_of(self), nullptr, *n->type);
  fiber* const on = here().on;                  // nobody's stack but its own: queued messages
  void* const before = std::exchange(on->user, &frame);
  constexpr std::uint32_t ended_or_ending = detail::doomed | detail::leaving;
  int handled = 0;
  for (;;) {
    unlink_from_fifo(self, newest, n);
    count_message(self);
    frame.request = payload_at(*n);
    frame.type = n->type;
    self.doing.store(n->type, sync::release);
    self.since.store(here().clock, sync::relaxed);          // of the thread it is on by now
    n->run(frame);
    drop(n);
    ++handled;
    const std::uint32_t flags = self.flags.load(sync::relaxed);
    if (frame.then_do != after::nothing || self.ext.get() != nullptr || (flags & (ended_or_ending | detail::frozen)) != 0) break;
    if (handled == most || has_mail(self) || self.cls.get() != cls) break;
    newest = self.fifo;
    if (newest == nullptr) break;
    n = newest->next;
    if (!is_plain_cast(*n, key) || is_next_measured(self) || tracing()) break;
  }
  on->user = before;
  const bool something_to_do = frame.then_do != after::nothing || self.ext.get() != nullptr ||
                               (self.flags.load(sync::relaxed) & ended_or_ending) != 0;
  if (self.serial.load(sync::relaxed) != 0) self.doing.store(nullptr, sync::relaxed);
  if (something_to_do) settle(self, frame, "handle_cast");
  return handled;
}

void handle(slot& self, node* n) noexcept {
  if (n->kind == node_kind::tick) return handle_tick(self, n);
  if (is_system_request(*n)) return handle_system(self, n);
  if (is_parent_exit(self, *n)) return handle_parent_exit(self, n);
  if (hold_if_suspended(self, n)) return;
  handle_ordinary(self, n);
}

/// After a direct call. The caller has its reply in hand and waits only for this, so what follows is queued in front of
/// everything else and never run here: this frame must stay the one that the fiber shows.
void finish(slot& self, handler_frame& frame) noexcept { settle(self, frame, callback_name(self, node_kind::call), false); }

void ended(slot& self, const exit_reason& why) {
  server_data* d = data_of(self);
  if (d == nullptr) return;
  d->dying_of = why;
  for (node* n : d->held) {                                   // disposed of with the data
    unhold(self);
    if (std::exchange(n->counted, false)) self.counted.fetch_sub(1, sync::relaxed);
  }
}

}  // namespace

trampoline find_trampoline(const detail::class_descriptor& cls, node_kind kind, std::uint64_t key) noexcept {
  const auto protocol = static_cast<const detail::gen_server_table*>(cls.table)->protocol;
  const auto entry = std::lower_bound(protocol.begin(), protocol.end(), key,
                                      [](const detail::protocol_entry& e, std::uint64_t k) { return e.key < k; });
  if (entry == protocol.end() || entry->key != key) return nullptr;
  return kind == node_kind::call ? entry->call : kind == node_kind::cast ? entry->cast : entry->info;
}

}  // namespace coppice::internal

namespace coppice::detail {

constinit const behaviour gen_server_behaviour{
    .name = "gen_server",
    .handle = &internal::handle,
    .handle_several = &internal::handle_plain_casts,
    .finish = &internal::finish,
    .find = &internal::find_trampoline,
    .ended = &internal::ended,
};

/// A machine is a server whose trampolines do more: gen_statem_core.cpp.
constinit const behaviour gen_statem_behaviour{
    .name = "gen_statem",
    .handle = &internal::handle,
    .handle_several = nullptr,
    .finish = &internal::finish,
    .find = &internal::find_trampoline,
    .ended = &internal::ended,
};

// --- what trampolines call -------------------------------------------------------------------------------------------

void callback_failed(handler_frame& frame) noexcept {
  slot& self = *frame.self;
  internal::drop_follow_up(frame);
  frame.then_do = after::failed;
  try {
    throw;
  } catch (const unwind&) {
    // exit(reason) by the callback itself; or an exit signal, and then `doomed` stays set and terminate does not run.
    clear(self, leaving);
    frame.reason = ext_of(self).pending;
  } catch (...) {
    frame.reason = exit_reason::from_current_exception();
  }
}

void note_request(handler_frame& frame, const message_descriptor& type, const void* request) noexcept {
  if (frame.reason.is_quiet()) return;
  std::string text;
  if (request != nullptr) {
    text_sink out;
    type.print(out, request);
    text = out.take();
  } else {
    text = std::string(type.name) + "{…}";
  }
  internal::make_data(*frame.self).last_message = std::move(text);
}

void terminate_now(handler_frame& frame) noexcept {
  frame.reason = internal::run_terminate(*frame.self, frame.reason);
  frame.then_do = after::stopped;
}

reply_ticket take_ticket(handler_frame& frame) {
  detach(frame);
  return {frame.reply, frame.reply_serial, frame.caller};
}

void keep_open(handler_frame& frame, const reply_ticket& ticket) {
  if (ticket.slot != nullptr && internal::phase_of(*ticket.slot, ticket.serial) == internal::reply_phase::open) {
    internal::note_open_reply(*frame.self, ticket.slot, ticket.serial);
    // Anybody may answer from now on: the caller is no link of a ring through this server any more (GS-X3).
    slot* here = frame.self;
    if (frame.caller && frame.caller.is_local()) frame.caller.where()->calling.cas(here, nullptr, internal::sync::relaxed);
  }
  // The duty is the from's now: a stop form of this handler does not answer for it, the death of the server does.
}

reply_ticket form_ticket(handler_frame& frame) noexcept {
  return {std::exchange(frame.reply, nullptr), std::exchange(frame.reply_serial, 0), frame.caller};
}

std::size_t batched::gather(bool casts, trampoline own, void** payloads, std::size_t most) noexcept {
  slot& self = *frame_.self;
  payloads[0] = frame_.request;
  std::size_t count = 1;
  const node_kind kind = casts ? node_kind::cast : node_kind::info;
  const internal::server_data* d = internal::data_of(self);
  if (d != nullptr && (d->is_watched() || d->suspended)) return count;     // each is an event of its own
  internal::drain(self);
  node** end = &rest_;
  while (count < most && self.fifo.get() != nullptr) {
    node* n = self.fifo->next;
    if (n->kind != kind || n->type->key != frame_.type->key || !internal::is_for_this_class(self, *n) || internal::find_for(self, *n) != own) break;
    internal::pop(self);
    if (internal::tracing()) [[unlikely]] internal::trace_received(self, n->type);
    payloads[count++] = payload_of(*n);
    *end = n;
    end = &n->next;
  }
  return count;
}

batched::~batched() {
  while (rest_ != nullptr) internal::drop(std::exchange(rest_, rest_->next));
}

void set_run(node* n, trampoline run) noexcept { n->run = run; }

open_node new_follow_up(const message_descriptor& type, trampoline run) {
  node* n = new_node(type);
  n->run = run;
  return {n, payload_of(*n)};
}

namespace {

[[gnu::always_inline]] inline open_node typed(node* n, node_kind kind, const message_descriptor& type, trampoline run, std::uint64_t class_key) noexcept {
  n->type = &type;
  n->run = run;
  n->kind = kind;
  internal::class_header_of(*n) = class_key;
  return {n, internal::payload_at(*n)};
}

[[gnu::noinline]] open_node new_rare(node_kind kind, const message_descriptor& type, trampoline run, std::uint64_t class_key) {
  return typed(internal::allocate_node_behind(sizeof(std::uint64_t), type.size, type.align), kind, type, run, class_key);
}

/// What nearly always is there is taken without saving a register for the rest.
[[gnu::always_inline]] inline open_node new_typed(node_kind kind, const message_descriptor& type, trampoline run, std::uint64_t class_key) {
  node* n = internal::take_node_behind(sizeof(std::uint64_t), type.size, type.align);
  if (n == nullptr) [[unlikely]] return new_rare(kind, type, run, class_key);
  return typed(n, kind, type, run, class_key);
}

}  // namespace

open_node new_cast(const message_descriptor& type, trampoline run, std::uint64_t class_key) {
  return new_typed(node_kind::cast, type, run, class_key);
}
open_node new_info(const message_descriptor& type, trampoline run, std::uint64_t class_key) {
  return new_typed(node_kind::info, type, run, class_key);
}

namespace {

/// A cast that waits for the end of the transaction in which it was made.
struct held_cast : held_send {
  pid to;
  node* message;
};

void let_cast_go(held_send& s) noexcept {
  auto& c = static_cast<held_cast&>(s);
  const pid to = c.to;
  node* n = c.message;
  internal::here().blocks.free(&c, sizeof(held_cast));
  (void)internal::deliver_bounded(to, n);
}
void drop_cast(held_send& s) noexcept {
  auto& c = static_cast<held_cast&>(s);
  internal::dispose(c.message, exit_reason::normal);
  internal::here().blocks.free(&c, sizeof(held_cast));
}

[[gnu::noinline]] sent hold_cast(const internal::scope_rules& rules, pid to, node* n) {
  held_cast* c = nullptr;
  try {
    c = ::new (internal::here().blocks.allocate(sizeof(held_cast))) held_cast;
  } catch (...) {
    internal::dispose(n, exit_reason::normal);
    throw;
  }
  c->go = &let_cast_go;
  c->drop = &drop_cast;
  c->to = to;
  c->message = n;
  rules.hold(c);
  return sent::yes;
}

}  // namespace

sent cast_core(pid to, node* n) {
  if (const internal::scope_rules* rules = internal::current_rules(); rules != nullptr && n->kind == node_kind::cast) [[unlikely]]
    return hold_cast(*rules, to, n);
  return internal::send_message(to, n);
}

std::int64_t then_part::wait_of(std::int64_t wait, bool absolute) noexcept {
  return absolute && wait != sync::never ? wait - sync::now() : wait;
}
void then_part::drop(node* n) noexcept { internal::dispose(n, exit_reason::normal); }

pid self_pid() { return pid_of(here()); }

pid caller_now() noexcept {
  const internal::thread_block& block = internal::here();
  if (block.process == nullptr) return {};
  handler_frame* frame = internal::current_frame();
  if (frame == nullptr) {                                     // a leaf on its caller's stack
    if (!has(*block.process, leaf) || block.leaf_call == nullptr) return {};
    return pid_of(internal::direct_caller(*static_cast<call_record*>(block.leaf_call)));
  }
  return frame->record != nullptr ? pid_of(internal::direct_caller(*frame->record)) : frame->caller;
}

void* state_of_server(slot& self) noexcept { return state_of(self); }
std::uint64_t class_key_of(slot& self) noexcept { return self.cls->key; }

// --- named timers (GS-X7) --------------------------------------------------------------------------------------------

void start_named_timer(std::string_view name, duration after, duration every, node* n, void (*copy)(const void*, void*)) {
  slot& self = here();
  cancel_named_timer(name);
  internal::server_data& d = internal::make_data(self);
  const std::uint64_t token = ++d.last_token;
  const std::uint64_t timer =
      internal::start_own_timer(self, after.count(), internal::make_tick(self, {internal::tick_payload::named, token}));
  const std::int64_t period = copy != nullptr ? std::clamp<std::int64_t>(every.count(), 1, sync::never / 2) : 0;
  d.timers.push_back({std::string(name), token, timer, deadline_after(after), period, n, copy});
}

bool cancel_named_timer(std::string_view name) noexcept {
  slot& self = here();
  internal::server_data* d = internal::data_of(self);
  if (d == nullptr) return false;
  const auto t = std::find_if(d->timers.begin(), d->timers.end(), [&](const internal::named_timer& x) { return x.name == name; });
  if (t == d->timers.end()) return false;
  internal::cancel_own_timer(self, t->timer);
  internal::dispose(t->message, exit_reason::normal);
  d->timers.erase(t);
  return true;
}

}  // namespace coppice::detail
