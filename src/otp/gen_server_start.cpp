// SPDX-License-Identifier: Apache-2.0
//
// gen_server_start: making a server. The starter makes the process and owns it: links, monitor and name are there before
// anything runs. Then init runs in the new process like the handler of a direct call: at once, on a pooled fiber. If it
// waits, the starter waits for the answer.
//
// The starter hears of a failure when the process is completely gone: the answer is given by what is left of it, its stack,
// after end_process (GS-28).
#include <coppice/otp/start.hpp>

#include <coppice/base/assert.hpp>
#include <coppice/base/log_sink.hpp>
#include <coppice/process/process.hpp>

#include "otp/gen_core.hpp"
#include "otp/server_data.hpp"
#include "process/names.hpp"
#include "process/result_place.hpp"
#include "process/signal.hpp"
#include "process/spawn.hpp"
#include "process/system.hpp"

#include <exception>
#include <new>
#include <stdexcept>

namespace coppice::internal {

using detail::after;
using detail::call_record;
using detail::call_status;
using detail::handler_frame;
using detail::has;
using detail::init_request;
using detail::reply_ticket;
using detail::set;
using detail::start_kind;
using detail::start_record;

namespace {

/// What init came to, told to the starter.
struct verdict {
  enum kind : std::uint8_t { started, ignored, failed } what;
  exit_reason why;
};

/// What the call record of a start is about: who gives it up knows what to destroy.
struct start_question { using reply = verdict; };
void print(text_sink& out, const verdict& v) { print(out, v.why); }

/// What the new process needs of the start; copied to its stack, because the starter may not wait for the end.
struct start_job {
  detail::trampoline init;
  void* arguments;
};

/// Where the verdict goes: the record of a starter who waits on this thread, or a reply slot.
struct starter {
  call_record* record;
  reply_ticket ticket;

  explicit starter(handler_frame& frame) noexcept
      : record(frame.record), ticket{std::exchange(frame.reply, nullptr), std::exchange(frame.reply_serial, 0), frame.caller} {}
  void tell(verdict v) const noexcept {
    if (record != nullptr) {
      ::new (record->place) verdict(std::move(v));
      record->status = call_status::replied;
    } else if (void* place = detail::claim_reply(ticket.slot, ticket.serial)) {
      ::new (place) verdict(std::move(v));
      detail::publish_reply(ticket.slot, ticket.serial);
    }
  }
};

/// The state is made and init said ok.
bool succeeded(slot& self, handler_frame& frame, const init_request& request) noexcept {
  if (frame.then_do != after::failed && request.said == init_request::ok) set(self, detail::started);
  if (has(self, detail::leaving)) {                            // it swallowed its own exit(reason)
    detail::clear(self, detail::leaving);
    frame.then_do = after::failed;
    frame.reason = detail::ext_of(self).pending;
  }
  if (has(self, detail::doomed)) {
    frame.then_do = after::failed;
    frame.reason = detail::ext_of(self).pending;
  }
  return frame.then_do != after::failed && request.said == init_request::ok;
}

/// GS-22..GS-26: what the starter hears, and what the process ends with.
void end_failed(slot& self, handler_frame& frame, const init_request& request) noexcept {
  const starter to(frame);
  verdict v{verdict::failed, std::move(frame.reason)};
  exit_reason ends_with = v.why;
  if (frame.then_do != after::failed && request.said == init_request::ignore) v.what = verdict::ignored;
  if (frame.then_do != after::failed && request.said != init_request::stop) ends_with = exit_reason::normal;
  if (frame.then != nullptr) dispose(std::exchange(frame.then, nullptr), exit_reason::normal);
  frame.then_do = after::nothing;                              // there is no server to do anything
  end_process(self, ends_with);
  to.tell(std::move(v));
}

/// The first thing that runs in a new server.
void begin(handler_frame& frame) noexcept {
  slot& self = *frame.self;
  const start_job job = *static_cast<const start_job*>(frame.request);
  init_request request{.arguments = job.arguments};
  frame.request = &request;
  job.init(frame);
  if (!succeeded(self, frame, request)) return end_failed(self, frame, request);
  starter(frame).tell({verdict::started, {}});
  settle(self, frame, "init", false);                          // the start returns before continue runs (GS-98)
  frame.then_do = after::nothing;
}

// --- the starter's side ----------------------------------------------------------------------------------------------

[[noreturn]] void fail_start(start_error::kind kind, exit_reason why, pid holder, std::string text) {
  throw start_error(kind, std::move(why), holder, "start_error: " + std::move(text));
}

[[noreturn]] void fail_taken(const name_view& name, pid holder) {
  fail_start(start_error::already_started, exit_reason("already_started"), holder,
             "name " + to_text(name) + " is taken by " + to_text(holder));
}

void check_options(const start_record& r, const slot* me) {
  if (r.options->timeout < duration{0}) throw std::invalid_argument("start: a negative timeout");
  const name_view& name = r.options->name;
  if (r.kind == start_kind::linked && me == nullptr)
    fail_start(start_error::not_a_process, exit_reason::noproc, {},
               "start_link of " + std::string(r.cls->name) + ": not a process; a plain thread has nothing to link to, use start");
  if (name && name.form() != name_view::kind::via && name.text().empty())
    fail_start(start_error::bad_name, exit_reason("bad_name"), {}, "an empty name; leave the name out for a server without one");
}

/// A new process that nobody knows yet, and its end if the start goes no further.
class unborn {
 public:
  unborn(const start_record& r, system& in) : slot_(new_process(*r.cls, in)) {}
  ~unborn() {
    if (!born_) end_process(slot_, exit_reason::normal);
  }
  unborn(const unborn&) = delete;
  slot& operator*() noexcept { return slot_; }
  void is_born() noexcept { born_ = true; }

 private:
  slot& slot_;
  bool born_ = false;
};

slot& make_unborn_options(slot& s, const start_record& r) {
  const start_options& o = *r.options;
  const server_options& c = table_of(s).options;
  const std::uint32_t bound = o.mailbox_bound != 0 ? detail::bound_word(o.mailbox_bound, o.when_full)
                                                   : detail::bound_word(c.mailbox_bound, c.when_full);
  if (bound != 0) s.bound.store(bound, sync::relaxed);
  if (const priority level = o.priority != priority::normal ? o.priority : c.priority; level != priority::normal) place(s, level);
  if (o.hibernate_after != infinity) make_data(s).hibernate_after = o.hibernate_after.count();
  else if (c.hibernate_after != infinity) make_data(s);
  if (!o.label.empty()) detail::ext_of(s).gets().label = o.label;
  apply_debug(s, o.debug);
  return s;
}

/// A registry may have something against the name itself: too long, or it has room for several holders of one.
pid claim(const name_view& name, slot& s) {
  try {
    return claim_name_as_owner(name, s);
  } catch (const detail::unwind&) {
    throw;
  } catch (const std::exception& e) {
    fail_start(start_error::bad_name, exit_reason::from_current_exception(), {}, "name " + to_text(name) + ": " + e.what());
  }
}

/// Links, monitor, name: everything that exists before init runs.
void prepare(slot& s, start_record& r, slot* me) {
  record_origin(s, me, r.kind != start_kind::alone);
  make_unborn_options(s, r);
  if (r.options->name) {
    const pid holder = claim(r.options->name, s);
    if (holder != r.who) fail_taken(r.options->name, holder);   // GS-11: somebody was quicker
  }
  if (r.kind == start_kind::linked) link_new(s, *me);
  if (r.kind == start_kind::monitored) r.ref = reference(monitor_new(s, detail::here()));
}

/// After a failure: nothing of the attempt stays with the starter (GS-4, GS-22, GS-24). Who is hit by the link ends here.
void forget_attempt(const start_record& r, slot* me) {
  if (r.kind == start_kind::monitored) demonitor_and_flush(r.ref);
  if (r.kind == start_kind::linked) {
    unlink_and_flush(r.who);
    if (has(*me, detail::doomed)) throw_unwind();
  }
  if (r.options->name.form() == name_view::kind::via) detail::free_name(r.options->name);
}

/// GS-7: the starter is unlinked first and survives; then the half-started process is killed, and waited for.
void kill_half_started(start_record& r) {
  if (r.kind == start_kind::linked) unlink_and_flush(r.who);
  const reference gone = r.kind == start_kind::monitored ? r.ref : monitor(r.who);
  exit(r.who, exit_reason::kill);
  std::uint64_t ref = gone.number();
  const detail::receive_clause clause{
      descriptor_of<down>().key,
      [](void* raw, void* p) { return static_cast<down*>(p)->ref.number() == *static_cast<std::uint64_t*>(raw); },
      [](void*, const message_descriptor&, void*) {}, &ref};
  detail::receive_core(std::span(&clause, 1), infinity);
  if (r.options->name.form() == name_view::kind::via) detail::free_name(r.options->name);
}

union verdict_room {
  verdict_room() noexcept {}
  ~verdict_room() {}
  verdict value;
};

[[noreturn]] void throw_verdict(const start_record& r, verdict& v) {
  const std::string cls(r.cls->name);
  if (v.what == verdict::ignored) fail_start(start_error::ignore, exit_reason::normal, {}, "init of " + cls + " said ignore");
  const std::string why = to_text(v.why);
  fail_start(start_error::failed, std::move(v.why), {}, "init of " + cls + " failed: " + why);
}

}  // namespace
}  // namespace coppice::internal

namespace coppice::detail {

using namespace coppice::internal;

void start_core(start_record& r) {
  slot* me = current_slot();
  const start_options& options = *r.options;
  check_options(r, me);
  if (options.name && options.in == nullptr)
    if (const pid holder = resolve(options.name)) fail_taken(options.name, holder);   // GS-11: before anything is made

  static constexpr detail::call_target question{&descriptor_of<start_question>(), nullptr, 0};
  verdict_room room;
  call_record record;
  start_job job{r.init, r.arguments};
  handler_frame frame;
  try {
    unborn made(r, options.in != nullptr ? options.in->impl() : current_system());
    slot& s = *made;
    r.who = pid_of(s);
    prepare(s, r, me);
    made.is_born();
    record.to = r.who;
    record.target = &question;
    record.place = &room;
    record.timeout = options.timeout;
    record.caller = me;
    frame.self = &s;
    frame.state = state_of(s);
    frame.request = &job;
    frame.type = question.type;
    frame.record = &record;
    const handled run = run_direct(s, &begin, frame);
    if (!run.blocked && !run.ended) leave(s);
  } catch (const exit_error& e) {
    throw start_error(start_error::system_limit, e.reason(), {}, std::string("start_error: ") + e.what());
  }
  if (record.status != call_status::replied) await_reply(record);
  if (record.status == call_status::replied) {
    verdict v = std::move(room.value);
    room.value.~verdict();
    if (v.what == verdict::started) return;
    forget_attempt(r, me);
    throw_verdict(r, v);
  }
  if (record.status == call_status::timed_out) {
    kill_half_started(r);
    fail_start(start_error::timeout, exit_reason::timeout, {},
               "init of " + std::string(r.cls->name) + " was not done after " + duration_text(options.timeout.count()));
  }
  forget_attempt(r, me);
  fail_start(start_error::failed, record.reason, {}, "init of " + std::string(r.cls->name) + " failed: " + to_text(record.reason));
}

bool try_start_core(start_record& record, void* why) {
  try {
    start_core(record);
    return true;
  } catch (start_error& e) {
    ::new (why) start_error(std::move(e));
    return false;
  }
}

// --- enter_loop ------------------------------------------------------------------------------------------------------

namespace {

/// The server that a process is about to become, while its function's stack is unwound.
struct becoming final : behaviour_data {
  const class_descriptor* cls = nullptr;
  void* state = nullptr;
  handler_frame first;

  becoming(const class_descriptor& c, void (*construct)(void*, void*), void* from) : cls(&c) {
    state = ::operator new(c.state_size, std::align_val_t{c.state_align});
    construct(state, from);
  }
  ~becoming() override {
    if (first.then != nullptr) dispose(first.then, exit_reason::normal);
    if (state == nullptr) return;
    cls->destroy(state);
    ::operator delete(state, std::align_val_t{cls->state_align});
  }

  bool take_over(slot& s) noexcept override {
    void* old = state_of(s);
    s.cls->destroy(old);
    if (has(s, boxed)) ::operator delete(old, std::align_val_t{s.cls->state_align});
    *reinterpret_cast<void**>(reinterpret_cast<char*>(&s) + sizeof(slot)) = std::exchange(state, nullptr);
    set(s, boxed);
    clear(s, began);
    s.cls = cls;
    if (table_of(s).options.trap_exit) set(s, trapping);
    handler_frame frame = std::move(first);
    first.then = nullptr;
    s.ext->data = nullptr;
    delete this;
    frame.self = &s;
    frame.state = state_of(s);
    settle(s, frame, "enter_loop");
    return true;
  }
};

}  // namespace

void enter_loop_core(const class_descriptor& cls, void (*construct)(void*, void*), void* state, const name_view& name,
                     handler_frame& first) {
  slot* s = current_slot();
  if (s == nullptr || s->cls->body == nullptr)
    throw exit_error(exit_reason::noproc, "enter_loop: not in a process that is a function");
  if (place_of(*s) != nullptr)
    throw exit_error(exit_reason("enter_loop"), "enter_loop: somebody waits for the value of this task; a server has none");
  if (name && resolve(name) != pid_of(*s)) exit(exit_reason("process_not_registered"));
  auto* next = new becoming(cls, construct, state);
  next->first = std::move(first);
  first.then = nullptr;
  ext_of(*s).data = next;
  throw_unwind();
}

}  // namespace coppice::detail
