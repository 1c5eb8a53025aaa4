// SPDX-License-Identifier: Apache-2.0
//
// gen_event_core: the handlers of one event manager, compiled once. Read from top to bottom: an event goes to each handler
// in the order in which they were added; `settle` does what a handler said. A handler that fails is reported and taken out,
// and the next one gets the same event.
//
// A handler's code may end the manager only by a signal; what it throws stays its own affair.
#include <coppice/base/detail/sync.hpp>
#include <coppice/base/log_sink.hpp>
#include <coppice/otp/detail/event_core.hpp>
#include <coppice/otp/gen_event.hpp>
#include <coppice/otp/gen_server.hpp>
#include <coppice/process/process.hpp>
#include <coppice/process/receive.hpp>

#include "otp/server_data.hpp"
#include "process/mailbox.hpp"
#include "process/slot.hpp"
#include "runtime/planted.hpp"

#include <algorithm>

namespace coppice {

namespace planted = internal::planted;

std::string to_text(const handler_id& id) {
  return id.id.empty() ? id.handler : id.handler + " \"" + id.id + '"';
}

namespace detail {

namespace {

/// A handler in a process of its own: the same calls, from the same table.
struct forwarded_event {
  const message_descriptor* type;
  std::size_t place;
  owned_value event;
  event_receipt receipt;
};
struct ordered_job {
  handler_job job;
  owned_value data;
};

struct handler_process {
  static constexpr server_options options{.trap_exit = true};  // its terminate runs when the manager ends
  const handler_class* cls = nullptr;
  owned_value state{};

  init_outcome<> init(const handler_class* of, make_handler make, owned_value arguments) {
    exit_reason why;
    void* made = make(arguments.value, why);
    if (made == nullptr) return fail(std::move(why));
    cls = of;
    state = owned_value(made, of->destroy);
    return ok();
  }
  outcome<void> handle_cast(forwarded_event f) {
    handler_turn turn;
    cls->events[f.place](state.value, f.event.value, turn);
    return after(turn);
  }
  outcome<void> handle_cast(ordered_job j) {
    handler_turn turn;
    j.job(state.value, j.data.value, turn);
    return after(turn);
  }
  void terminate(const exit_reason& why) {
    if (gone || cls->terminate == nullptr) return;
    cls->terminate(state.value, {failed ? handler_end::error : handler_end::stopped, why});
  }
  outcome<void> handle_info(exit_signal s) {                   // of whom it is linked to, or of whoever wants it to end
    if (s.reason.is(exit_reason::normal)) return noreply();
    return fails(std::move(s.reason));
  }

  bool gone = false;                                           // its terminate has run
  bool failed = false;

 private:
  outcome<void> fails(exit_reason why) {
    failed = true;
    return stop(std::move(why));
  }
  outcome<void> after(handler_turn& turn) {
    switch (turn.said) {
      case handler_turn::keep:
      case handler_turn::ends: return noreply();
      case handler_turn::hibernate: return noreply(coppice::hibernate);
      case handler_turn::remove:
        gone = true;
        if (turn.to != &turn_is_over && cls->terminate != nullptr) cls->terminate(state.value, {handler_end::removed});
        return stop();
      case handler_turn::swap: return fails(exit_reason("swap_to: a handler in a process of its own cannot be swapped"));
      case handler_turn::failed: return fails(turn.why);
    }
    return noreply();
  }
};
std::string to_text(const handler_process& p) {
  if (p.state.value == nullptr) return "handler";
  text_sink out;
  p.cls->print(out, p.state.value);
  return out.take();
}
std::string to_text(const forwarded_event& f) { return std::string(f.type->name); }

handler_id id_of(const handler_entry& e) { return {std::string(e.cls->name), e.id}; }

std::string printed(const message_descriptor& type, const void* object) {
  text_sink out({.max_bytes = 256});
  type.print(out, object);
  return out.take();
}

}  // namespace

handler_entry* event_core::find(std::uint64_t key, std::string_view id) noexcept {
  for (handler_entry& e : handlers_)
    if (e.cls->key == key && e.id == id) return &e;
  return nullptr;
}

// --- events ----------------------------------------------------------------------------------------------------------

bool event_core::handle_event(std::size_t place, const message_descriptor& type, const void* event, const event_receipt& receipt) {
  hibernates_ = false;
  for (std::size_t i = 0; i < handlers_.size();) {
    handler_entry& e = handlers_[i];
    const handler_run run = e.cls->events[place];
    if (run == nullptr || e.process) {
      if (run != nullptr) cast(server_ref<handler_process>(e.process), forwarded_event{&type, place, e.cls->copies[place](event), receipt});
      ++i;
      continue;
    }
    handler_turn turn;
    run(e.state.value, event, turn);
    if (turn.said == handler_turn::ends) break;
    if (settle(e, turn, "handle_event", type, event)) ++i;
    else if (planted::is(planted::handler_failure_ends_event)) break;
  }
  return hibernates_;
}

bool event_core::handle_info(message& m) {
  hibernates_ = false;
  for (std::size_t i = 0; i < handlers_.size();) {
    handler_entry& e = handlers_[i];
    if (e.cls->info == nullptr || e.process) {
      ++i;
      continue;
    }
    handler_turn turn;
    e.cls->info(e.state.value, m, turn);
    if (turn.said == handler_turn::ends) break;
    if (settle(e, turn, "handle_info", m.type(), m.object())) ++i;
  }
  return hibernates_;
}

/// SE-69: who supervises handlers has ended; a handler's own process has; or it concerns the handlers (SE-66).
bool event_core::handle_exit(exit_signal& s) {
  bool known = false;
  for (std::size_t i = 0; i < handlers_.size();) {
    handler_entry& e = handlers_[i];
    if (e.process == s.who) {
      known = true;
      e.process = {};
      if (!s.reason.is_quiet()) report(e, "process", descriptor_of<exit_signal>(), &s, s.reason);
      const bool failed = !s.reason.is(exit_reason::normal);
      remove(e, {failed ? handler_end::error : handler_end::removed, s.reason}, false);
    } else if (e.supervisor && e.supervisor == s.who) {
      known = true;
      e.supervisor = {};
      remove(e, {handler_end::supervisor_ended, s.reason}, true);
    } else {
      ++i;
    }
  }
  if (known) return false;
  message m(descriptor_of<exit_signal>(), &s);
  return handle_info(m);
}

// --- what a handler said ---------------------------------------------------------------------------------------------

bool event_core::settle(handler_entry& e, handler_turn& turn, std::string_view doing, const message_descriptor& type, const void* object) {
  switch (turn.said) {
    case handler_turn::keep:
    case handler_turn::ends:
      return true;
    case handler_turn::hibernate:
      return hibernates_ = true;
    case handler_turn::remove:
      remove(e, {handler_end::removed}, true);
      return false;
    case handler_turn::swap:
      return !exchange(e, *turn.to, e.id, turn.exchange, turn.arguments.value, {});
    case handler_turn::failed:
      report(e, doing, type, object, turn.why);
      remove(e, {handler_end::error, turn.why}, true);
      return false;
  }
  return true;
}

handler_error event_core::exchange(handler_entry& e, const handler_class& to, std::string_view id, exchange_handler with, void* arguments, any_value&& given) {
  exit_reason why;
  const handler_end end{handler_end::swapped, exit_reason::normal, std::move(given)};
  void* made = with(e.state.value, end, arguments, why);
  const handler_id next{std::string(to.name), std::string(id)};
  if (made == nullptr) {
    remove(e, {handler_end::error, why}, false);               // the old one's terminate has run
    return handler_error(handler_error::failed, why, to_text(next) + " could not take over: " + to_text(why));
  }
  tell_supervisor(e, exit_reason::normal, next);
  e.cls = &to;
  e.id = id;
  e.state = owned_value(made, to.destroy);
  return {};
}

void event_core::remove(handler_entry& e, const handler_end& end, bool terminate) {
  handler_entry gone = std::move(e);
  handlers_.erase(handlers_.begin() + (&e - handlers_.data()));
  if (terminate && gone.cls->terminate != nullptr && gone.state.value != nullptr) gone.cls->terminate(gone.state.value, end);
  if (!gone.supervisor) return;
  tell_supervisor(gone, end.what == handler_end::deleted || end.what == handler_end::removed ? exit_reason(exit_reason::normal) : end.reason);
  leave_supervisor(gone.supervisor);
}

namespace {

void end_and_wait(pid process, const exit_reason& why) {
  const reference gone = monitor(process);
  exit(process, why);
  receive(when([&](const down& d) { return d.ref == gone; }, [](down) {}));
}

}  // namespace

void event_core::stop(const exit_reason& why) {
  while (!handlers_.empty()) {
    handler_entry& e = handlers_.front();
    e.supervisor = {};                                         // its link tells
    const pid process = e.process;
    remove(e, {handler_end::stopped, why}, true);
    if (process) end_and_wait(process, why);
  }
}

// --- adding ----------------------------------------------------------------------------------------------------------

handler_error event_core::may_add(const handler_class& cls, std::string_view id) const {
  for (const handler_entry& e : handlers_) {
    if (e.cls->key == cls.key && e.id == id)
      return handler_error(handler_error::already_present, exit_reason("already_present"),
                           to_text(handler_id{std::string(cls.name), std::string(id)}) + " is there already: add it under another id");
  }
  return {};
}

void event_core::add(const handler_class& cls, std::string_view id, owned_value state, pid supervisor, pid process) {
  if (supervisor) link(supervisor);
  handlers_.push_back({&cls, std::string(id), std::move(state), supervisor, process});
}

handler_error event_core::add_process(const handler_class& cls, std::string_view id, pid supervisor, make_handler make, owned_value arguments) {
  const handler_id name{std::string(cls.name), std::string(id)};
  const std::string label = coppice::to_text(name);
  auto started = try_start_link<handler_process>({.label = label}, &cls, make, std::move(arguments));
  if (!started)
    return handler_error(handler_error::failed, started.error().reason(), label + " could not be added: " + coppice::to_text(started.error().reason()));
  add(cls, id, {}, supervisor, started->id());
  return {};
}

void event_core::order(pid process, handler_job job, owned_value data) { cast(server_ref<handler_process>(process), ordered_job{job, std::move(data)}); }

handler_error event_core::unknown(std::string_view cls, std::string_view id) const {
  std::string text = to_text(handler_id{std::string(cls), std::string(id)}) + " is no handler of this manager; it has";
  if (handlers_.empty()) text += " none";
  for (const handler_entry& e : handlers_) text += (&e == handlers_.data() ? " " : ", ") + to_text(id_of(e));
  return handler_error(handler_error::unknown_handler, exit_reason("bad_module"), std::move(text));
}

void event_core::leave_supervisor(pid supervisor) noexcept {
  const bool others = std::any_of(handlers_.begin(), handlers_.end(), [&](const handler_entry& e) { return e.supervisor == supervisor; });
  if (!others) unlink_and_flush(supervisor);
}

void event_core::tell_supervisor(const handler_entry& e, const exit_reason& why, const handler_id& swapped_to) noexcept {
  if (!e.supervisor) return;
  try {
    send(e.supervisor, handler_exit{self(), id_of(e), why, swapped_to});
  } catch (...) {
    // Without memory it learns nothing; the link stays.
  }
}

void event_core::supervise(std::uint64_t key, std::string_view id, pid supervisor) {
  handler_entry* e = find(key, id);
  if (e == nullptr || e->supervisor == supervisor) return;
  const pid before = std::exchange(e->supervisor, supervisor);
  if (before) leave_supervisor(before);
  link(supervisor);
}

// --- what is shown ---------------------------------------------------------------------------------------------------

namespace {

std::string state_of_handler(const handler_entry& e) {
  if (e.process) return "in process " + coppice::to_text(e.process);
  text_sink out;
  e.cls->print(out, e.state.value);
  return out.take();
}

}  // namespace

std::vector<handler_id> ids_of(const event_core& core) {
  std::vector<handler_id> out;
  for (const handler_entry& e : core.handlers()) out.push_back(id_of(e));
  return out;
}

std::vector<handler_state> states_of(const event_core& core) {
  std::vector<handler_state> out;
  for (const handler_entry& e : core.handlers()) out.push_back({id_of(e), state_of_handler(e)});
  return out;
}

std::string text_of(const event_core& core) {
  std::string text = "event_manager{";
  for (const handler_entry& e : core.handlers()) text += (&e == core.handlers().data() ? "" : ", ") + coppice::to_text(id_of(e)) + ": " + state_of_handler(e);
  return text + '}';
}

const handler_class turn_is_over{};

void handler_threw(handler_turn& turn) noexcept {
  slot* me = current_slot();
  if (me != nullptr && has(*me, doomed)) {
    turn.said = handler_turn::ends;
    return;
  }
  turn.said = handler_turn::failed;
  turn.why = what_handler_threw();
}

exit_reason what_handler_threw() noexcept {
  slot* me = current_slot();
  if (me == nullptr) return exit_reason::from_current_exception();
  if (has(*me, doomed)) return ext_of(*me).pending;             // the manager ends with the handler
  return has(*me, leaving) ? internal::take_back_exit(*me) : exit_reason::from_current_exception();
}

handler_error not_a_process() {
  return handler_error(handler_error::not_a_process, exit_reason::noproc, "add_sup_handler: not a process; a plain thread has nothing to link to, use add_handler");
}

// --- reports ---------------------------------------------------------------------------------------------------------

void event_core::report(const handler_entry& e, std::string_view doing, const message_descriptor& type, const void* object, const exit_reason& why) noexcept {
  if (!would_log(log_level::error)) return;
  try {
    const slot* me = current_slot();
    coppice::report r{.level = log_level::error, .kind = "handler", .time = wall_clock()};
    r.headline = to_text(id_of(e)) + " of " + (me != nullptr ? internal::title_of(*me) : std::string("no process")) + "  in " + std::string(doing) +
                 '(' + printed(type, object) + ")  is removed";
    if (me != nullptr) r.who = to_text(pid_of(*me));
    r.name = std::string(e.cls->name);
    r.doing = std::string(doing);
    r.fields.push_back({"why", to_text(why)});
    if (!why.trace().empty()) r.fields.push_back({"thrown in", std::string(why.trace())});
    if (e.state.value != nullptr) {
      text_sink state;
      e.cls->print(state, e.state.value);
      r.fields.push_back({"state", state.take()});
    }
    write_report(r);
  } catch (...) {
  }
}

// --- receipts --------------------------------------------------------------------------------------------------------

struct event_receipt::shared {
  explicit shared(from<void>&& c) : caller(std::move(c)) {}
  from<void> caller;
  sync::atomic<std::uint32_t> holders{1};
};

namespace {

/// One holder less. Returns: how many there are now.
std::uint32_t left_by(sync::atomic<std::uint32_t>& holders) noexcept {
  if (planted::is(planted::receipt_by_load_store)) {
    const std::uint32_t left = holders.load(sync::acquire) - 1;
    holders.store(left, sync::release);
    return left;
  }
  return holders.fetch_sub(1, sync::acq_rel) - 1;              // pairs with the others' releases
}

}  // namespace

event_receipt::event_receipt(from<void>&& caller) : shared_(new shared(std::move(caller))) {}

event_receipt::event_receipt(const event_receipt& other) noexcept : shared_(other.shared_) {
  if (shared_ != nullptr) shared_->holders.fetch_add(1, sync::relaxed);
}

event_receipt::~event_receipt() {
  if (shared_ == nullptr || left_by(shared_->holders) != 0) return;
  try {
    std::move(shared_->caller).reply();
  } catch (...) {
  }
  delete shared_;
}

}  // namespace detail
}  // namespace coppice
