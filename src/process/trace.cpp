// SPDX-License-Identifier: Apache-2.0
#include "process/trace.hpp"

#include "runtime/thread_block.hpp"

#include <utility>

namespace coppice {

namespace internal {

struct tracer {
  function<void(const trace_event&) const> handler;
  function<bool(const trace_event&) const> filter;
  tracer* kept_before = nullptr;               // all of them are kept: an event may still be on its way to one
};

sync::atomic<tracer*> current_tracer;

namespace {

sync::spinlock keeping;
tracer* kept = nullptr;                        // guarded by keeping

void keep(tracer* t) noexcept {
  sync::lock_guard held(keeping);
  t->kept_before = kept;
  kept = t;
}

std::string_view class_of(const detail::slot& s) noexcept {
  const detail::class_descriptor* cls = s.cls;
  return cls != nullptr ? cls->name : std::string_view();
}

void tell(const trace_event& event) noexcept {
  const tracer* t = current_tracer.load(sync::acquire);        // pairs with trace: the functions are complete
  if (t == nullptr || !t->handler) return;
  try {
    if (!t->filter || t->filter(event)) t->handler(event);
  } catch (...) {
    // A handler's failure is not the traced process's.
  }
}

}  // namespace

void trace_spawned(const detail::slot& child, const detail::slot* parent) noexcept {
  tell({.kind = trace_kind::spawned, .who = pid_of(child), .other = parent != nullptr ? pid_of(*parent) : pid{},
        .class_name = class_of(child), .message = {}});
}
void trace_exited(const detail::slot& s, const exit_reason& why) noexcept {
  tell({.kind = trace_kind::exited, .who = pid_of(s), .other = {}, .class_name = class_of(s), .message = {}, .reason = &why});
}
void trace_sent(pid to, const message_descriptor* type) noexcept {
  const detail::slot* me = here().process;
  tell({.kind = trace_kind::sent, .who = me != nullptr ? pid_of(*me) : pid{}, .other = to,
        .class_name = me != nullptr ? class_of(*me) : std::string_view(), .message = type != nullptr ? type->name : std::string_view()});
}
void trace_received(const detail::slot& s, const message_descriptor* type) noexcept {
  tell({.kind = trace_kind::received, .who = pid_of(s), .other = {}, .class_name = class_of(s),
        .message = type != nullptr ? type->name : std::string_view()});
}

}  // namespace internal

bool trace(function<void(const trace_event&) const> handler, function<bool(const trace_event&) const> filter) {
  auto* t = new internal::tracer{std::move(handler), std::move(filter)};
  internal::keep(t);
  return internal::current_tracer.exchange(t, detail::sync::acq_rel) != nullptr;
}

bool stop_trace() {
  return internal::current_tracer.exchange(nullptr, detail::sync::acq_rel) != nullptr;
}

function<bool(const trace_event&) const> traced_pid(pid who) {
  return [who](const trace_event& e) { return e.who == who || (e.kind == trace_kind::sent && e.other == who); };
}
function<bool(const trace_event&) const> traced_class(std::string name) {
  return [name = std::move(name)](const trace_event& e) { return e.class_name == name; };
}
function<bool(const trace_event&) const> traced_kind(trace_kind kind) {
  return [kind](const trace_event& e) { return e.kind == kind; };
}
function<bool(const trace_event&) const> traced_crashes() {
  return [](const trace_event& e) { return e.kind == trace_kind::exited && !e.reason->is_quiet(); };
}

std::string to_text(const trace_event& e) {
  const std::string who = (e.who ? to_text(e.who) : std::string("a plain thread")) +
                          (e.class_name.empty() ? std::string() : ' ' + std::string(e.class_name));
  switch (e.kind) {
    case trace_kind::spawned: return who + " spawned" + (e.other ? " by " + to_text(e.other) : std::string());
    case trace_kind::exited: return who + " exited: " + to_text(*e.reason);
    case trace_kind::sent: return who + " sent " + std::string(e.message) + " to " + to_text(e.other);
    case trace_kind::received: return who + " received " + std::string(e.message);
  }
  return who;
}

}  // namespace coppice
