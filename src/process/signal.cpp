// SPDX-License-Identifier: Apache-2.0
//
// signal: what each kind of signal does to its receiver, and what becomes of one that nobody receives.
#include "process/signal.hpp"

#include "process/result_place.hpp"
#include "process/system.hpp"
#include "runtime/planted.hpp"

#include <algorithm>

namespace coppice::internal {

using detail::extension;
using detail::has;
using detail::node_kind;

namespace {

/// An exit signal's effect: PR-20..PR-27. `linked`: it came over a link.
void take_exit(slot& s, const detail::exit_payload& signal, bool linked) {
  const exit_reason& why = signal.reason;
  if (!linked && why.is(exit_reason::kill) && !has(s, detail::thread_proxy)) {   // nothing ends a plain thread: it is told
    doom(s, exit_reason::killed, true);
  } else if (has(s, detail::trapping)) {
    append_exit_message(s, signal.from, why);
  } else if (why.is(exit_reason::normal)) {
    if (!linked && signal.from == detail::pid_of(s)) doom(s, why, false);   // PR-23
  } else {
    doom(s, why, false);
  }
}

void take_link_exit(slot& s, const detail::exit_payload& signal) {
  extension& e = detail::ext_of(s);
  if (e.links.take_all(signal.from.serial(), [&](const auto& l) { return l.who == signal.from; })) return take_exit(s, signal, true);
  // A task's link: who traps exits learns from the task's place, never from its mailbox (EX-44). Else: unlinked meanwhile, PR-33.
  if (forget_task(s, signal.from) && !has(s, detail::trapping)) take_exit(s, signal, true);
}

void take_link(slot& s, const detail::link_payload& signal) {
  extension& e = detail::ext_of(s);
  if (e.links.find(signal.from.serial(), [&](const auto& l) { return l.who == signal.from && l.id == signal.id; }) != nullptr) return;
  e.links.add({signal.from, signal.id});
}

void take_unlink(slot& s, const detail::link_payload& signal) {
  if (s.ext.get() == nullptr) return;
  if (signal.id == 0) forget_task(s, signal.from);
  // Only the link that was meant: one made anew meanwhile has another id and stays.
  detail::ext_of(s).links.take_all(signal.from.serial(), [&](const auto& l) { return l.who == signal.from && (l.id == signal.id || planted::is(planted::unlink_without_id)); });
}

void take_fired(slot& s, const detail::fired_payload& signal) {
  extension& e = detail::ext_of(s);
  detail::watch_entry held;
  if (!e.watches.take(signal.ref, [](const auto&) { return true; }, &held)) return;   // demonitored meanwhile: PR-44
  if (detail::belongings* rest = e.if_any()) std::erase_if(rest->aliases, [&](const auto& a) { return a.with_monitor && a.ref == held.ref; });
  append_down(s, held, signal.who, signal.reason);
}

/// The alias `ref` of `s`, or null.
detail::alias_entry* find_alias(slot& s, std::uint64_t ref) noexcept {
  detail::belongings* rest = s.ext.get() != nullptr ? s.ext->if_any() : nullptr;
  if (rest == nullptr) return nullptr;
  const auto a = std::ranges::find(rest->aliases, ref, &detail::alias_entry::ref);
  return a != rest->aliases.end() ? &*a : nullptr;
}

void take_alias_message(slot& s, node* n) {
  const detail::alias_entry* const a = find_alias(s, alias_of(*n).ref);
  if (a == nullptr) return dispose(n, exit_reason::noproc);               // PR-48: vanishes silently, and leaves nothing behind
  const bool urgent = a->urgent;
  if (a->once) {
    auto& aliases = s.ext->if_any()->aliases;
    aliases.erase(aliases.begin() + (a - aliases.data()));
  }
  n->kind = node_kind::info;
  if (urgent) append_urgent(s, n);
  else append(s, n);
}

template <class P>
void drop(node* n) noexcept {
  payload<P>(*n).~P();
  detail::free_node(n);
}

}  // namespace

void append_exit_message(slot& s, pid from, const exit_reason& why) {
  node* n = make_node(node_kind::exited, exit_signal{from, why});
  n->type = &descriptor_of<exit_signal>();
  n->serial = s.serial.load(sync::relaxed);
  append_urgent(s, n);
}

void append_down(slot& s, const detail::watch_entry& watch, pid who, const exit_reason& why) {
  node* n = make_node(node_kind::down, coppice::down{reference(watch.ref), who, why, watch.name != nullptr ? *watch.name : std::string()});
  n->type = &descriptor_of<coppice::down>();
  n->serial = s.serial.load(sync::relaxed);
  append_urgent(s, n);
}

void act(slot& s, node* n) {
  switch (n->kind) {
    case node_kind::exit:
      take_exit(s, payload<detail::exit_payload>(*n), n->extra == over_link);
      return drop<detail::exit_payload>(n);
    case node_kind::link_exited:
      take_link_exit(s, payload<detail::exit_payload>(*n));
      return drop<detail::exit_payload>(n);
    case node_kind::link:
      take_link(s, payload<detail::link_payload>(*n));
      return drop<detail::link_payload>(n);
    case node_kind::unlink:
      take_unlink(s, payload<detail::link_payload>(*n));
      return drop<detail::link_payload>(n);
    case node_kind::monitor: {
      auto& m = payload<detail::monitor_payload>(*n);
      detail::ext_of(s).watchers.add({m.ref, m.from});
      return drop<detail::monitor_payload>(n);
    }
    case node_kind::demonitor:
      if (s.ext.get() != nullptr)
        detail::ext_of(s).watchers.take(payload<detail::demonitor_payload>(*n).ref, [](const auto&) { return true; });
      return drop<detail::demonitor_payload>(n);
    case node_kind::monitor_fired:
      take_fired(s, payload<detail::fired_payload>(*n));
      return drop<detail::fired_payload>(n);
    case node_kind::alias_message:
      return take_alias_message(s, n);
    case node_kind::query: {
      auto& q = payload<detail::query_payload>(*n);
      if (detail::claim_reply(q.reply, q.reply_serial) != nullptr) {
        q.answer(&s, q.context);
        detail::publish_reply(q.reply, q.reply_serial);
      }
      return drop<detail::query_payload>(n);
    }
    default:
      append(s, n);
  }
}

void dispose(node* n, const exit_reason& why) noexcept {
  switch (n->kind) {
    case node_kind::link: {
      const auto& l = payload<detail::link_payload>(*n);
      // Somebody linked to the dead: PR-32.
      deliver(l.from, make_node(node_kind::link_exited, detail::exit_payload{l.to, why}));
      return drop<detail::link_payload>(n);
    }
    case node_kind::monitor: {
      const auto& m = payload<detail::monitor_payload>(*n);
      deliver(m.from, make_node(node_kind::monitor_fired, detail::fired_payload{m.ref, m.to, why}));
      return drop<detail::monitor_payload>(n);
    }
    case node_kind::query: {
      auto& q = payload<detail::query_payload>(*n);
      if (detail::claim_reply(q.reply, q.reply_serial) != nullptr) {
        q.answer(nullptr, q.context);
        detail::publish_reply(q.reply, q.reply_serial);
      }
      return drop<detail::query_payload>(n);
    }
    case node_kind::exit:
    case node_kind::link_exited:
      return drop<detail::exit_payload>(n);
    case node_kind::unlink:
      return drop<detail::link_payload>(n);
    case node_kind::demonitor:
      return drop<detail::demonitor_payload>(n);
    case node_kind::monitor_fired:
      return drop<detail::fired_payload>(n);
    case node_kind::call:
    case node_kind::system: {
      const detail::call_header& h = header_of(*n);
      if (h.unanswered != nullptr)
        h.unanswered(*n, why);
      else
        detail::fail_reply(h.reply, h.reply_serial, why);
      break;
    }
    default:
      break;
  }
  if (n->type != nullptr) n->type->destroy(detail::payload_of(*n));
  detail::free_node(n);
}

void send_exit(pid to, pid from, const exit_reason& why) noexcept {
  deliver(to, make_node(node_kind::exit, detail::exit_payload{from, why}));
}

void doom(slot& s, const exit_reason& why, bool untrappable) noexcept {
  if (has(s, detail::doomed) && !untrappable) return;    // the first deadly signal decides
  detail::ext_of(s).pending = why;
  detail::set(s, detail::doomed);
  if (untrappable) detail::set(s, detail::untrappable);
  // A handler may take the signal in (demonitor, unlink, … look at the inbox) and return as if nothing had happened, to a
  // caller who runs it directly: what waits in the fifo keeps the process from being released, so that it gets its last turn.
  append(s, make_node(node_kind::tick, std::uint64_t{0}));
}

}  // namespace coppice::internal
