// SPDX-License-Identifier: Apache-2.0
//
// queued_call: calls that are never run on the caller's stack: system requests that must not wait, and many calls at once
// (call_all). All of them share one wait: each has its own reply slot, and every slot wakes the same wait.
#include <coppice/otp/request.hpp>

#include "otp/gen_core.hpp"
#include "otp/server_data.hpp"
#include "process/signal.hpp"

#include <span>

namespace coppice::internal {

using detail::call_record;
using detail::call_status;

namespace {

bool is_answered(const call_record& r) noexcept {
  return r.reply == nullptr || phase_of(*r.reply, r.reply_serial) == reply_phase::done;
}

void send_call(slot& me, std::uint64_t number, node_kind kind, bool bounded, call_record& record) {
  if (record.to == detail::pid_of(me)) {
    record.status = call_status::calling_self;
    return;
  }
  if (!record.to) {
    record.status = call_status::noproc;
    return;
  }
  node* n = open_call(record, me, number);
  n->kind = kind;
  if (!bounded) deliver(record.to, n);
  else if (deliver_bounded(record.to, n) == detail::sent::full) record.status = call_status::full;
}

/// Takes the answer, or gives up waiting for one.
void close_call(call_record& record) noexcept {
  detail::reply_slot* reply = std::exchange(record.reply, nullptr);
  if (reply == nullptr) return;
  if (give_up_reply(*record.caller, record.number, *reply, record.reply_serial)) {
    if (record.status == call_status::pending) record.status = call_status::timed_out;
    return;
  }
  if (!reply->failed) {
    record.status = call_status::replied;
  } else if (record.status != call_status::full) {
    record.status = status_of(reply->failure);
    record.reason = reply->failure;
  }
  close_reply(*reply, record.reply_serial);
}

void wait_for_all(slot& me, std::uint64_t number, std::span<call_record> calls, duration timeout) {
  const auto all_answered = [](void* raw) {
    for (const call_record& r : *static_cast<std::span<call_record>*>(raw))
      if (!is_answered(r)) return false;
    return true;
  };
  try {
    wait_until(me, number, wait_state::signals, timeout == infinity ? sync::never : timeout.count(), all_answered, &calls);
  } catch (...) {
    for (call_record& r : calls) close_call(r);               // the values that came are destroyed by the records' owner
    throw;
  }
}

}  // namespace

void call_unbounded(call_record& record, node_kind kind) {
  slot& me = detail::here();
  const std::uint64_t number = begin_wait(me);
  record.reply = nullptr;
  send_call(me, number, kind, false, record);
  const std::span<call_record> one(&record, 1);
  wait_for_all(me, number, one, record.timeout);
  close_call(record);
}

}  // namespace coppice::internal

namespace coppice::detail {

void call_all_core(std::span<call_record> calls, duration timeout) {
  slot& me = here();
  const std::uint64_t number = internal::begin_wait(me);
  for (call_record& r : calls) r.reply = nullptr;
  try {
    for (call_record& r : calls) internal::send_call(me, number, node_kind::call, true, r);
  } catch (...) {
    for (call_record& r : calls) internal::close_call(r);
    throw;
  }
  internal::wait_for_all(me, number, calls, timeout);
  for (call_record& r : calls) internal::close_call(r);
}

}  // namespace coppice::detail
