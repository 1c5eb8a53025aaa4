// SPDX-License-Identifier: Apache-2.0
//
// gen_statem_core: the order in which a machine does things, compiled once for all of them. A machine is a server whose
// trampolines run one *turn*: begin, the user's handler, returned, leave_state, act, (enter, act,) done. Calls, casts, stops,
// suspension, reports and sys are gen_server_core's; what is here runs inside its handlers and reads from top to bottom.
//
// SE-10 comes out of two lists. `queue` holds what is to be handled before the mailbox: done() puts inserted events, then
// postponed ones, in front of it. A tick in front of the mailbox, the pump, takes them one at a time, and when the queue is
// empty the timeouts that were due at once. So the mailbox itself is never reordered.
//
// Everything here runs as the machine, on its own fiber (a leaf: on its caller's stack).
#include <coppice/base/assert.hpp>

#include "otp/gen_core.hpp"
#include "otp/gen_server_core.hpp"
#include "otp/machine_data.hpp"
#include "otp/server_data.hpp"
#include "process/process_timer.hpp"
#include "process/signal.hpp"
#include "runtime/planted.hpp"

#include <algorithm>
#include <exception>

namespace coppice::internal {

using detail::action_list;
using detail::after;
using detail::handler_frame;
using detail::machine_action;
using detail::machine_turn;
using detail::reply_ticket;
using detail::timer_kind;
using detail::trampoline;

namespace {

machine_data* machine_of(const slot& s) noexcept {
  const server_data* d = data_of(s);
  return d != nullptr ? d->machine : nullptr;
}
machine_data& make_machine(slot& s) {
  server_data& d = make_data(s);
  if (d.machine == nullptr) d.machine = new machine_data(d.dying_of);
  return *d.machine;
}
const detail::machine_table& machine_table_of(const slot& s) noexcept {
  return static_cast<const detail::machine_table&>(table_of(s));
}

// --- timeouts --------------------------------------------------------------------------------------------------------

using timeouts = std::vector<machine_timeout>;

timeouts::iterator find_timeout(machine_data& d, timer_kind kind, std::string_view name) noexcept {
  return std::find_if(d.timeouts.begin(), d.timeouts.end(),
                      [&](const machine_timeout& t) { return t.kind == kind && t.name == name; });
}

/// Takes a timeout out of the list. Returns: its event.
node* take_timeout(machine_data& d, timeouts::iterator t) noexcept {
  if (t->zero) --d.zeros;
  node* event = std::exchange(t->event, nullptr);
  d.timeouts.erase(t);
  return event;
}

void cancel_timeout(slot& self, machine_data& d, timer_kind kind, std::string_view name) noexcept {
  const auto t = find_timeout(d, kind, name);
  if (t == d.timeouts.end()) return;
  if (!t->zero) cancel_own_timer(self, t->timer);              // its tick may be on the way: the token will not be found
  if (planted::is(planted::cancelled_timeout_kept)) return;
  if (node* event = take_timeout(d, t)) dispose(event, exit_reason::normal);
}

void start_timeout(slot& self, machine_action& a, std::int64_t wait) {
  machine_data& d = make_machine(self);
  const std::uint64_t token = ++data_of(self)->last_token;
  machine_timeout t{a.timer, wait <= 0, token, 0, sync::now() + wait, std::exchange(a.event, nullptr), std::move(a.name)};
  d.timeouts.push_back(std::move(t));
  machine_timeout& made = d.timeouts.back();
  if (made.zero) {
    ++d.zeros;
    return;
  }
  node* tick = make_node(node_kind::tick, tick_payload{tick_payload::machine_timeout, token});
  tick->serial = self.serial.load(sync::relaxed);
  made.timer = start_own_timer(self, wait, tick);
}

std::string_view kind_name(timer_kind kind) noexcept {
  return kind == timer_kind::event ? "event_timeout" : kind == timer_kind::state ? "state_timeout" : "named_timeout";
}

/// SE-41: a timeout that nobody would handle is refused when it is set.
bool is_handled(const slot& self, const void* state, const machine_action& a, unsigned handlers) noexcept {
  const detail::machine_table& t = machine_table_of(self);
  if (a.handled != nullptr) return a.handled(state, handlers);
  if (a.event != nullptr) return true;                          // checked for all states when it was compiled
  switch (a.timer) {
    case timer_kind::state: return t.on_state_timeout != nullptr && t.handles_state_timeout(state, handlers);
    case timer_kind::event: return t.on_event_timeout != nullptr && t.handles_event_timeout(state, handlers);
    case timer_kind::named: return t.on_named_timeout != nullptr;
  }
  return false;
}

bool refuse_timeout(handler_frame& frame, const machine_action& a) {
  std::string text = "bad action: ";
  text += kind_name(a.timer);
  if (a.timer == timer_kind::named) text += " \"" + a.name + '"';
  text += " in a state that has no handle(state&, ";
  text += a.event != nullptr ? a.event->type->name : kind_name(a.timer);
  text += ')';
  frame.then_do = after::failed;
  frame.reason = detail::bad_machine_action(text);
  return false;
}

void set_timeout(slot& self, machine_action& a) {
  const std::int64_t wait = detail::then_part::wait_of(a.wait, a.absolute);
  if (machine_data* d = machine_of(self)) cancel_timeout(self, *d, a.timer, a.name);
  if (wait != sync::never) start_timeout(self, a, wait);
}

/// SE-33: a running one gets another event; where none runs it is delivered at once.
void update_timeout(slot& self, machine_action& a) {
  machine_data& d = make_machine(self);
  const auto t = find_timeout(d, a.timer, a.name);
  if (t == d.timeouts.end()) return start_timeout(self, a, 0);
  if (t->event != nullptr) dispose(t->event, exit_reason::normal);
  t->event = std::exchange(a.event, nullptr);
}

/// The message of a timeout that brings none of its own.
node* make_plain(slot& self, timer_kind kind, std::string&& name) {
  const detail::machine_table& t = machine_table_of(self);
  const auto make = [&](auto message, detail::trampoline run) {
    using M = decltype(message);
    node* n = make_node(node_kind::info, std::move(message));
    n->type = &descriptor_of<M>();
    n->run = run;
    return n;
  };
  if (kind == timer_kind::state) return make(state_timeout(duration{0}), t.on_state_timeout);
  if (kind == timer_kind::event) return make(event_timeout(duration{0}), t.on_event_timeout);
  return make(named_timeout(std::move(name), duration{0}), t.on_named_timeout);
}

void deliver_timeout(slot& self, machine_data& d, timeouts::iterator t) noexcept {
  const timer_kind kind = t->kind;
  std::string name = std::move(t->name);
  node* event = take_timeout(d, t);
  if (event == nullptr) event = make_plain(self, kind, std::move(name));
  event->serial = self.serial.load(sync::relaxed);
  run_queued(self, event);
}

// --- the pump --------------------------------------------------------------------------------------------------------

void pump(slot& self, machine_data& d) {
  if (d.pumping || (d.queue.empty() && d.zeros == 0)) return;
  d.pumping = true;
  node* tick = make_node(node_kind::tick, tick_payload{tick_payload::machine_queue, 0});
  tick->serial = self.serial.load(sync::relaxed);
  if (planted::is(planted::pump_behind_mail)) static_cast<void>(start_own_timer(self, 1, tick));
  else prepend(self, tick);
}

/// An event of the machine's own making, or one that it has put aside.
node* make_event(slot& self, const message_descriptor& type, void* event, trampoline run) {
  node* n = allocate_node(type.size, type.align);
  n->type = &type;
  n->run = run;
  n->kind = node_kind::info;
  n->serial = self.serial.load(sync::relaxed);
  try {
    type.move(detail::payload_of(*n), event);
  } catch (...) {
    detail::free_node(n);
    throw;
  }
  return n;
}
detail::call_header header_for(const reply_ticket& to) noexcept {
  return {.reply = to.slot, .reply_serial = to.serial, .deadline = sync::never, .caller = to.caller,
          .unanswered = to.slot == nullptr ? &tell_unanswered : nullptr, .class_key = 0};
}
node* make_call_event(slot& self, const message_descriptor& type, trampoline run, const reply_ticket& to) {
  node* n = allocate_node_behind(sizeof(detail::call_header), type.size, type.align);
  n->type = &type;
  n->run = run;
  n->kind = node_kind::call;
  n->serial = self.serial.load(sync::relaxed);
  ::new (&header_of(*n)) detail::call_header(header_for(to));
  return n;
}

bool is_of_call(const handler_frame& frame) noexcept {
  return frame.record != nullptr || frame.reply != nullptr || frame.reply_serial != 0;
}

}  // namespace

void run_machine_queue(slot& self) noexcept {
  machine_data* d = machine_of(self);
  if (d == nullptr) return;
  d->pumping = false;
  if (!d->queue.empty()) {
    node* n = d->queue.pop_front();
    pump(self, *d);                                            // before the event runs: it may wait, or end the machine
    return run_queued(self, n);
  }
  const auto t = std::find_if(d->timeouts.begin(), d->timeouts.end(), [](const machine_timeout& x) { return x.zero; });
  if (t == d->timeouts.end()) return;
  t->zero = false;
  --d->zeros;
  pump(self, *d);
  deliver_timeout(self, *d, t);
}

void run_machine_timeout(slot& self, std::uint64_t token) noexcept {
  machine_data* d = machine_of(self);
  if (d == nullptr) return;
  const auto t = std::find_if(d->timeouts.begin(), d->timeouts.end(), [&](const machine_timeout& x) { return x.token == token; });
  if (t != d->timeouts.end()) deliver_timeout(self, *d, t);
}

void forget_machine_trampolines(machine_data& d) noexcept {
  for (node* n = d.queue.first; n != nullptr; n = n->next) n->run = nullptr;
  for (node* n = d.postponed.first; n != nullptr; n = n->next) n->run = nullptr;
  for (const machine_timeout& t : d.timeouts)
    if (t.event != nullptr) t.event->run = nullptr;
  d.handlers.clear();
}

std::vector<std::string> running_timeouts(const machine_data& d) {
  std::vector<std::string> out;
  for (const machine_timeout& t : d.timeouts) {
    std::string text = t.kind == timer_kind::named ? '"' + t.name + '"' : std::string(kind_name(t.kind));
    if (t.event != nullptr) text += " (" + std::string(t.event->type->name) + ')';
    out.push_back(text + " in " + duration_text(std::max<std::int64_t>(t.zero ? 0 : t.due - sync::now(), 0)));
  }
  return out;
}

bool note_dropped(const reply_ticket& to, const slot* server) noexcept {
  if (server == nullptr || detail::current_slot() != server || !is_machine(*server)) return false;
  machine_data* d = machine_of(*server);
  if (d == nullptr || d->turn == nullptr) return false;
  const reply_ticket& lent = d->turn->lent;
  if (lent.slot != to.slot || lent.serial != to.serial) return false;
  d->turn->dropped = true;
  return true;
}

machine_data::~machine_data() {
  while (!queue.empty()) dispose(queue.pop_front(), dying_of);
  while (!postponed.empty() && !planted::is(planted::postponed_forgotten)) dispose(postponed.pop_front(), dying_of);
  for (const machine_timeout& t : timeouts)
    if (t.event != nullptr) dispose(t.event, exit_reason::normal);
}

}  // namespace coppice::internal

namespace coppice::detail {

using namespace coppice::internal;

// --- actions ---------------------------------------------------------------------------------------------------------

void action_list::add(machine_action&& action) {
  auto* a = new machine_action(std::move(action));
  action.event = nullptr;
  a->following = nullptr;
  if (last != nullptr) last->following = a;
  else first = a;
  last = a;
}

void action_list::append(action_list&& other) noexcept {
  postponed |= other.postponed;
  hibernates |= other.hibernates;
  if (other.first == nullptr) return;
  if (last != nullptr) last->following = other.first;
  else first = other.first;
  last = other.last;
  other.first = other.last = nullptr;
}

void action_list::drop() noexcept {
  while (first != nullptr) {
    machine_action* a = first;
    first = a->following;
    if (a->event != nullptr) dispose(a->event, exit_reason::normal);
    delete a;
  }
  last = nullptr;
}

void machine_step::drop() noexcept { dispose(std::exchange(action.event, nullptr), exit_reason::normal); }

open_node new_machine_event(const message_descriptor& type, trampoline run) { return new_follow_up(type, run); }
open_node new_machine_call(const message_descriptor& type, trampoline run, const reply_ticket& caller) {
  node* n = make_call_event(here(), type, run, caller);
  return {n, payload_of(*n)};
}
exit_reason bad_machine_action(std::string_view text) { return exit_reason::with_text(exit_reason::bad_return_value, text); }

// --- a turn, in order ------------------------------------------------------------------------------------------------

machine_turn::machine_turn(handler_frame& f) : frame(f), unwinding(std::uncaught_exceptions()), handlers(0) {
  machine_data* d = machine_of(*f.self);
  if (d == nullptr) return;
  if (!d->timeouts.empty()) cancel_timeout(*f.self, *d, timer_kind::event, {});      // SE-30
  if (!d->handlers.empty()) handlers = d->handlers.back();
}

machine_turn::~machine_turn() {
  const bool fails = std::uncaught_exceptions() > unwinding;
  if (machine_data* d = machine_of(*frame.self)) {
    if (d->turn == this) d->turn = nullptr;
    if (fails) d->failed_in_enter = entering;
  } else if (fails && entering) {
    make_machine(*frame.self).failed_in_enter = true;
  }
  while (inserted_first != nullptr) {
    node* n = inserted_first;
    inserted_first = n->next;
    dispose(n, exit_reason::normal);
  }
}

reply_ticket machine_turn::lend() {
  lent = take_ticket(frame);
  make_machine(*frame.self).turn = this;
  return lent;
}

void machine_turn::returned(const message_descriptor& type, void* event, trampoline run) {
  slot& self = *frame.self;
  const bool was_lent = bool(lent);
  if (was_lent) machine_of(self)->turn = nullptr;
  if (!actions.postponed) {
    if (was_lent && dropped) answer_no_reply(lent, &self);
    else if (was_lent) keep_open(frame, lent);
    return;
  }
  if (was_lent && !dropped) throw exit_error(exit_reason::bad_return_value, "bad action: postponed a call whose `from` the handler has kept");
  if (!is_of_call(frame)) {
    node* n = make_event(self, type, event, run);
    make_machine(self).postponed.push_back(n);
    return;
  }
  const reply_ticket to = was_lent ? lent : take_ticket(frame);
  node* n = new_request_node(type, event, run, header_for(to));
  n->serial = self.serial.load(internal::sync::relaxed);
  make_machine(self).postponed.push_back(n);
}

void machine_turn::leave_state() {
  changed = true;
  if (machine_data* d = machine_of(*frame.self)) cancel_timeout(*frame.self, *d, timer_kind::state, {});
}

bool machine_turn::act(void* state, action_list& list) {
  slot& self = *frame.self;
  for (machine_action* a = list.first; a != nullptr; a = a->following) {
    switch (a->what) {
      case machine_action::start:
        if (a->wait != sync::never && !internal::is_handled(self, state, *a, handlers)) return refuse_timeout(frame, *a);
        set_timeout(self, *a);
        break;
      case machine_action::cancel:
        if (machine_data* d = machine_of(self)) cancel_timeout(self, *d, a->timer, a->name);
        break;
      case machine_action::update:
        if (!internal::is_handled(self, state, *a, handlers)) return refuse_timeout(frame, *a);
        update_timeout(self, *a);
        break;
      case machine_action::insert: {
        node* n = std::exchange(a->event, nullptr);
        n->next = nullptr;
        n->serial = self.serial.load(internal::sync::relaxed);
        if (inserted_last != nullptr) inserted_last->next = n;
        else inserted_first = n;
        inserted_last = n;
        break;
      }
      case machine_action::change_handlers:
      case machine_action::push_handlers: {
        auto& sets = make_machine(self).handlers;
        if (sets.empty()) sets.push_back(0);
        if (a->what == machine_action::change_handlers) sets.pop_back();
        sets.push_back(handlers = a->handlers);
        break;
      }
      case machine_action::pop_handlers: {
        auto& sets = make_machine(self).handlers;
        if (sets.size() < 2) {
          frame.then_do = after::failed;
          frame.reason = bad_machine_action("bad action: pop_handlers, but none were pushed");
          return false;
        }
        sets.pop_back();
        handlers = sets.back();
        break;
      }
    }
  }
  if (list.hibernates) actions.hibernates = true;
  list.drop();
  return true;
}

void machine_turn::done() {
  slot& self = *frame.self;
  if (actions.hibernates) frame.then_do = after::hibernate, frame.wait = 0, frame.then = nullptr;
  machine_data* d = machine_of(self);
  if (d == nullptr && inserted_first == nullptr) return;
  if (d == nullptr) d = &make_machine(self);
  if (changed) d->queue.prepend(d->postponed);
  node_list inserted{std::exchange(inserted_first, nullptr), std::exchange(inserted_last, nullptr)};
  d->queue.prepend(inserted);
  pump(self, *d);
}

}  // namespace coppice::detail

namespace coppice {

std::string to_text(const state_timeout&) { return "state_timeout"; }
std::string to_text(const event_timeout&) { return "event_timeout"; }
std::string to_text(const named_timeout& t) { return "named_timeout{\"" + t.name() + "\"}"; }

}  // namespace coppice
