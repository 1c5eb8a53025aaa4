// SPDX-License-Identifier: Apache-2.0
//
// reply: the one-shot places that a reply, a death and a timeout compete for. States: reply_slot in slot.hpp.
//
// The value is built in the waiter's own memory, by the claimer, between `writing` and `done`. A waiter whose time is up
// while somebody writes waits for `done`: that is one move constructor away, and then the reply is used (PR-49).
#include <coppice/base/assert.hpp>

#include "process/mailbox.hpp"
#include "process/signal.hpp"
#include "runtime/planted.hpp"

namespace coppice::detail {

namespace {

std::uint64_t word_of(std::uint64_t serial, reply_slot::phase p) noexcept { return serial << 2 | p; }

void complete(reply_slot& r, std::uint64_t serial) noexcept {
  // Read before `done` is published: then the place belongs to the waiter, who may give it to the next.
  slot* waiter = r.waiter;
  const std::uint64_t number = r.wait_number;
  if (internal::planted::is(internal::planted::reply_relaxed))
    r.state.store(word_of(serial, reply_slot::done), sync::relaxed);
  else
    r.state.store(word_of(serial, reply_slot::done), sync::release);   // before wake's looks at the wait word
  if (internal::planted::is(internal::planted::waiter_read_late)) {
    waiter = r.waiter;
    internal::wake(*waiter, r.wait_number);
    return;
  }
  internal::wake(*waiter, number);
}

}  // namespace

void* claim_reply(reply_slot* reply, std::uint64_t serial) noexcept {
  if (reply == nullptr) return nullptr;
  std::uint64_t expected = word_of(serial, reply_slot::open);
  if (internal::planted::is(internal::planted::reply_claimed_by_store)) {
    if (reply->state.load(sync::acquire) != expected) return nullptr;
    reply->state.store(word_of(serial, reply_slot::writing), sync::release);
    return reply->place;
  }
  return reply->state.cas(expected, word_of(serial, reply_slot::writing), sync::acq_rel) ? reply->place.get() : nullptr;
}

void publish_reply(reply_slot* reply, std::uint64_t serial) noexcept { complete(*reply, serial); }

void fail_reply(reply_slot* reply, std::uint64_t serial, const exit_reason& why) noexcept {
  if (reply == nullptr) return;
  std::uint64_t expected = word_of(serial, reply_slot::open);
  if (!reply->state.cas(expected, word_of(serial, reply_slot::writing), sync::acq_rel)) return;
  fail_claimed_reply(reply, serial, why);
}

void fail_claimed_reply(reply_slot* reply, std::uint64_t serial, const exit_reason& why) noexcept {
  reply->failure = why;
  reply->failed = true;
  complete(*reply, serial);
}

void detach(handler_frame& frame) {
  call_record* record = frame.record;
  if (record == nullptr) return;
  frame.record = nullptr;
  slot& caller = record->caller != nullptr ? *record->caller : internal::proxy_of(internal::here());
  record->caller = &caller;
  record->number = internal::begin_wait(caller);
  record->reply = internal::take_reply_slot(caller, record->number, record->place, record->reply_serial);
  record->status = call_status::detached;
  frame.reply = record->reply;
  frame.reply_serial = record->reply_serial;
  frame.caller = pid_of(caller);
}

}  // namespace coppice::detail

namespace coppice::internal {

using detail::reply_slot;

reply_slot* take_reply_slot(slot& waiter, std::uint64_t number, void* place, std::uint64_t& serial) {
  auto* r = static_cast<reply_slot*>(here().replies.take());
  serial = r->state.load(sync::relaxed) >> 2;
  r->place = place;
  r->waiter = &waiter;
  r->wait_number = number;
  r->failed = false;
  r->state.store(serial << 2 | reply_slot::open, sync::release);
  return r;
}

reply_phase phase_of(const reply_slot& r, std::uint64_t serial) noexcept {
  const std::uint64_t w = r.state.load(sync::seq_cst);   // after the arm of the wait; pairs with complete
  if (w >> 2 != serial) return reply_phase::gone;
  return (w & 3) == reply_slot::done ? reply_phase::done : (w & 3) == reply_slot::free ? reply_phase::gone : reply_phase::open;
}

namespace {

void retire(reply_slot& r, std::uint64_t serial) noexcept {
  r.failure = exit_reason();
  r.state.store((serial + 1) << 2 | reply_slot::free, sync::release);
  here().replies.give(&r);
}

}  // namespace

bool abandon(reply_slot& r, std::uint64_t serial) noexcept {
  std::uint64_t expected = serial << 2 | reply_slot::open;
  if (planted::is(planted::timeout_by_store)) {
    r.state.store((serial + 1) << 2 | reply_slot::free, sync::release);
    here().replies.give(&r);
    return true;
  }
  if (!r.state.cas(expected, (serial + 1) << 2 | reply_slot::free, sync::acq_rel)) return false;
  here().replies.give(&r);
  return true;
}

void close_reply(reply_slot& r, std::uint64_t serial) noexcept { retire(r, serial); }

namespace {

struct written {
  const reply_slot* slot;
  std::uint64_t serial;
  static bool is_so(void* raw) {
    const auto& w = *static_cast<const written*>(raw);
    return phase_of(*w.slot, w.serial) == reply_phase::done;
  }
};

}  // namespace

bool give_up_reply(slot& s, std::uint64_t number, reply_slot& r, std::uint64_t serial) noexcept {
  if (abandon(r, serial)) return true;
  written w{&r, serial};
  wait_in_any_case(s, number, &written::is_so, &w);
  return false;
}

void drop_reply(slot& s, std::uint64_t number, reply_slot& r, std::uint64_t serial, const message_descriptor* type) noexcept {
  if (give_up_reply(s, number, r, serial)) return;
  if (!r.failed && type != nullptr) type->destroy(r.place);
  close_reply(r, serial);
}

void note_open_reply(slot& self, reply_slot* r, std::uint64_t serial) {
  if (r == nullptr) return;
  auto& open = detail::ext_of(self).gets().open_replies;
  if (open.size() == open.capacity() && !open.empty())
    std::erase_if(open, [](const detail::open_reply& o) { return phase_of(*o.slot, o.serial) != reply_phase::open; });
  open.push_back({r, serial});
}

}  // namespace coppice::internal
