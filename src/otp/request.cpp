// SPDX-License-Identifier: Apache-2.0
//
// request: asking without waiting. A request is a call node without a reply slot: the answer is a message to an alias of the
// caller, whose reference is also the reference of a monitor on the server. So the answer, the server's death and the end of
// the caller's interest compete in one place, the caller's own mailbox, and nothing late gets in (GS-50..GS-60).
#include <coppice/otp/request.hpp>

#include <coppice/process/process.hpp>

#include "otp/gen_core.hpp"
#include "otp/machine_data.hpp"
#include "otp/server_data.hpp"
#include "process/signal.hpp"
#include "runtime/scope.hpp"

#include <algorithm>

namespace coppice::detail {

namespace {

/// What arrives instead of a response when the server lives and will not answer.
struct request_failed {
  reference ref;
  exit_reason why;
};

void tell_failure(pid caller, reference ref, const exit_reason& why) {
  const alias_ref to{caller, ref};
  node* n = new_alias_node(descriptor_of<request_failed>(), to);
  ::new (payload_of(*n)) request_failed{ref, why};
  deliver_to_alias(to, n);
}

struct waiting {
  answer_record* record;
  bool wants(reference ref) const noexcept {
    return ref && std::find(record->of.begin(), record->of.end(), ref) != record->of.end();
  }
};

/// Every response begins with its reference.
reference ref_of_response(const void* payload) noexcept { return *static_cast<const reference*>(payload); }

}  // namespace
}  // namespace coppice::detail

/// A request node that nobody will handle. If the server has died, the monitor says so.
void coppice::internal::tell_unanswered(node& request, const exit_reason& why) noexcept {
  const detail::call_header& h = header_of(request);
  if (why.is(exit_reason::bad_request) || why.is(exit_reason::system_limit))
    detail::tell_failure(h.caller, reference(h.reply_serial), why);
}

namespace coppice::detail {

request_core send_request_core(pid to, const message_descriptor& type, void* request, trampoline run, std::uint64_t class_key) {
  if (const internal::scope_rules* rules = internal::current_rules(); rules != nullptr) [[unlikely]] rules->refuse("send_request");
  const alias_ref alias = monitor_with_alias(to, alias_mode::once);
  if (!to) return {alias.ref, to};
  try {
    internal::deliver_bounded(to, internal::new_request_node(type, request, run,
                                                             {.reply = nullptr, .reply_serial = alias.ref.number(), .deadline = sync::never,
                                                              .caller = alias.owner, .unanswered = &internal::tell_unanswered, .class_key = class_key}));
  } catch (...) {
    demonitor_and_flush(alias.ref);
    throw;
  }
  return {alias.ref, to};
}

void receive_answer(answer_record& record, duration wait) {
  waiting w{&record};
  const receive_clause clauses[] = {
      {record.type->key,
       [](void* raw, void* p) { return static_cast<waiting*>(raw)->wants(ref_of_response(p)); },
       [](void* raw, const message_descriptor&, void* p) {
         answer_record& r = *static_cast<waiting*>(raw)->record;
         r.kind = answer_kind::value;
         r.ref = ref_of_response(p);
         r.take(r.context, p);
       },
       &w},
      {descriptor_of<request_failed>().key,
       [](void* raw, void* p) { return static_cast<waiting*>(raw)->wants(static_cast<request_failed*>(p)->ref); },
       [](void* raw, const message_descriptor&, void* p) {
         answer_record& r = *static_cast<waiting*>(raw)->record;
         r.kind = answer_kind::died;
         r.ref = static_cast<request_failed*>(p)->ref;
         r.reason = static_cast<request_failed*>(p)->why;
       },
       &w},
      {descriptor_of<down>().key,
       [](void* raw, void* p) { return static_cast<waiting*>(raw)->wants(static_cast<down*>(p)->ref); },
       [](void* raw, const message_descriptor&, void* p) {
         answer_record& r = *static_cast<waiting*>(raw)->record;
         r.kind = answer_kind::died;
         r.ref = static_cast<down*>(p)->ref;
         r.reason = static_cast<down*>(p)->reason;
       },
       &w},
  };
  if (receive_core(clauses, wait)) demonitor_and_flush(record.ref);
}

void abandon_request(reference ref, const message_descriptor& type) noexcept {
  try {
    demonitor_and_flush(ref);                                 // the alias goes with the monitor: nothing more gets in
    slot& s = here();
    node* newest = s.fifo;
    if (newest == nullptr) return;
    node* before = newest;
    for (node* n = newest->next;; before = n, n = n->next) {  // what had got in already
      const bool response = n->type != nullptr && (n->type->key == type.key || n->type->key == descriptor_of<request_failed>().key);
      if (response && ref_of_response(payload_of(*n)) == ref) {
        internal::unlink_from_fifo(s, before, n);
        return internal::dispose(n, exit_reason::normal);
      }
      if (n == newest) return;
    }
  } catch (...) {
    // Only memory can fail here; then the response arrives and somebody may see it.
  }
}

// --- the server's side -----------------------------------------------------------------------------------------------

open_answer begin_answer(const reply_ticket& to, const message_descriptor& type) {
  if (!to) return {};
  node* n = new_alias_node(type, {to.caller, reference(to.serial)});
  return {payload_of(*n), n};
}

void send_answer(const reply_ticket& to, open_answer answer) noexcept {
  deliver_to_alias({to.caller, reference(to.serial)}, answer.response);
}

void answer_no_reply(const reply_ticket& to, const slot* server) noexcept {
  if (internal::note_dropped(to, server)) return;                  // by a machine's handler: perhaps it postpones the call
  if (to.slot != nullptr) return fail_reply(to.slot, to.serial, exit_reason::no_reply);
  const slot* me = current_slot();
  if (me != nullptr && me == server && has(*me, ending)) return;   // the monitor of the request tells why
  try {
    if (to) tell_failure(to.caller, reference(to.serial), exit_reason::no_reply);
  } catch (...) {
  }
}

/// Who used send_request hears of the death by the monitor.
void answer_died(const reply_ticket& to, const exit_reason& why) noexcept {
  if (to.slot != nullptr) fail_reply(to.slot, to.serial, why);
}

pid caller_of(const reply_ticket& to) noexcept { return to.caller; }

}  // namespace coppice::detail
