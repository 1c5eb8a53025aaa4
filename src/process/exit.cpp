// SPDX-License-Identifier: Apache-2.0
//
// exit: how a process ends. The order that others see (PR-15): its names are free, its timers are gone, then links and
// monitors fire. Between the two the state is destroyed, so that who hears of a death also sees its destructors' work.
#include <coppice/base/assert.hpp>

#include "process/class_counts.hpp"
#include "process/crash_report.hpp"
#include "process/mailbox.hpp"
#include "process/names.hpp"
#include "process/process_timer.hpp"
#include "process/result_place.hpp"
#include "process/signal.hpp"
#include "process/spawn.hpp"
#include "process/system.hpp"
#include "process/trace.hpp"
#include "runtime/pools.hpp"
#include "runtime/planted.hpp"

#include <algorithm>
#include <span>

namespace coppice::internal {

using detail::extension;
using detail::has;

namespace {

void free_names(slot& s, extension* e, const exit_reason& why) noexcept {
  if (e == nullptr) return;
  detail::belongings* rest = e->if_any();
  if (rest == nullptr) return;
  for (const detail::held_name& name : rest->names) release_name(name, detail::pid_of(s));
  rest->names.clear();
  for (const detail::tenure& t : rest->tenures) t.end(t.context, s, why);
  rest->tenures.clear();
}

void destroy_state(slot& s) noexcept {
  if (has(s, detail::started)) {
    void* state = detail::state_of(s);
    s.cls->destroy(state);
    if (has(s, detail::boxed)) ::operator delete(state, std::align_val_t{s.cls->state_align});
  }
  if (extension* e = s.ext) {
    delete e->data;
    e->data = nullptr;
    while (!e->has().dictionary.empty()) {       // a destructor may look for others, and even put new ones
      auto& dictionary = e->if_any()->dictionary;
      const detail::dictionary_entry d = dictionary.back();
      dictionary.pop_back();
      d.destroy(d.value);
    }
  }
}

void answer_all(std::vector<detail::open_reply>& open, const exit_reason& why) noexcept {
  for (const auto& o : open) detail::fail_reply(o.slot, o.serial, why);
  open.clear();
}

/// Everything in the mailbox is answered with why we end, and dropped (PR-16, GS-65).
void discard_mail(slot& s, const exit_reason& why) noexcept {
  while (node* n = pop(s)) dispose(n, why);
}

void fire_links(pid self, extension& e, const exit_reason& why) noexcept {
  const std::span<detail::link_entry> links = e.links.entries();
  std::sort(links.begin(), links.end(), [](const auto& a, const auto& b) { return a.who < b.who; });
  pid told;                                     // linked both ways at once: two entries, one relation
  for (const auto& l : links) {
    if (l.who != told) deliver(l.who, make_node(detail::node_kind::link_exited, detail::exit_payload{self, why}));
    told = l.who;
  }
}

/// EX-8: tasks that are linked to us go with us, unless we ended well.
void fire_tasks(pid self, extension& e, const exit_reason& why) noexcept {
  if (!why.is(exit_reason::normal))
    for (const pid task : e.has().tasks) {
      node* n = make_node(detail::node_kind::exit, detail::exit_payload{self, why});
      n->extra = over_link;
      deliver(task, n);
    }
}

void fire_monitors(pid self, extension& e, const exit_reason& why) noexcept {
  for (const auto& w : e.watchers)
    deliver(w.who, make_node(detail::node_kind::monitor_fired, detail::fired_payload{w.ref, self, why}));
  e.watchers.clear();
  for (const auto& w : e.watches)               // whom we watched need not keep us in mind
    deliver(w.who, make_node(detail::node_kind::demonitor, detail::demonitor_payload{w.ref}));
  e.watches.clear();
}

}  // namespace

void end_process(slot& s, const exit_reason& reason) noexcept {
  const exit_reason why = reason;               // a copy: it may live in the extension
  const pid self = detail::pid_of(s);
  const bool counted = !has(s, detail::thread_proxy);
  detail::set(s, detail::ending);
  if (tracing() && counted) [[unlikely]] trace_exited(s, why);
  if (s.cls->handles != nullptr) {
    s.cls->handles->ended(s, why);
    count_end(s, !why.is_quiet());
  }
  extension* e = s.ext;
  result_place* const result = place_of(s);     // the state is destroyed before the result is told

  // Its own failure is reported; an exit signal is the business of whoever sent it.
  if (!why.is_quiet() && !has(s, detail::doomed)) report_crash(s, why);
  if (!planted::is(planted::down_before_names_freed)) free_names(s, e, why);
  if (e != nullptr && e->if_any() != nullptr) answer_all(e->if_any()->open_replies, why);   // before the state: a dying `from` must not say no_reply
  drain(s);                                     // what was sent before our end is answered with our reason
  discard_mail(s, why);
  destroy_state(s);
  drain(s);
  discard_mail(s, why);
  e = s.ext;                                    // a destructor or a late signal may have made it
  drop(e != nullptr ? e->origin : s.ext.origin_only());
  if (e != nullptr) drop(e->own);
  if (!planted::is(planted::timers_outlive_serial)) drop_timers(s, self);   // who is told noproc finds them gone (PR-82)
  s.serial.store(0, sync::seq_cst);             // dead: from now on senders get noproc
  drain(s);                                     // and these get it, too: their serial does not fit any more
  drop_timers(s, self);                         // and those that were being started
  s.ext = nullptr;
  if (result != nullptr) fire_result_link(*result, why);   // before the result: who does not trap exits never sees a failure (EX-5)
  if (e != nullptr) {
    fire_links(self, *e, why);
    fire_tasks(self, *e, why);
    fire_monitors(self, *e, why);
    if (planted::is(planted::down_before_names_freed)) {
      s.ext = e;
      free_names(s, e, why);
      s.ext = nullptr;
    }
  }

  const std::uint8_t size_class = s.size_class;
  s.cls = nullptr;
  s.calling.store(nullptr, sync::relaxed);
  s.doing.store(nullptr, sync::relaxed);
  s.bound.store(0, sync::relaxed);
  s.flags.store(0, sync::relaxed);
  note_ended(s);
  if (counted) system_of(s).count(-1);
  leave(s);                                     // the word is 0; who still comes finds serial 0
  if (counted) here().slots.give(&s, size_class);
  else program_pools().proxies.give_one(&s);
  delete e;
  if (result != nullptr) complete_place(*result, why);   // who awaits it finds nothing of us left
}

}  // namespace coppice::internal
