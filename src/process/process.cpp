// SPDX-License-Identifier: Apache-2.0
//
// process: the public operations, each a few lines over mailbox and signal. See include/coppice/process/process.hpp.
#include <coppice/process/process.hpp>

#include "process/mailbox.hpp"
#include "process/names.hpp"
#include "process/query.hpp"
#include "process/result_place.hpp"
#include "process/signal.hpp"
#include "process/spawn.hpp"
#include "process/system.hpp"

#include <algorithm>
#include <exception>

namespace coppice {

using detail::slot;
using internal::deliver;
using internal::make_node;
using detail::node_kind;
namespace sync = detail::sync;

namespace detail {

slot* current_slot() noexcept { return internal::here().process; }

slot& here() {
  internal::thread_block& block = internal::here();
  return block.process != nullptr ? *block.process : internal::proxy_of(block);
}

namespace {

/// The running process, for what a plain thread cannot do.
slot& process_only(const char* what) {
  slot* s = current_slot();
  if (s == nullptr) throw exit_error(exit_reason::noproc, std::string(what) + ": not a process; a plain thread cannot do that");
  return *s;
}

}  // namespace

void send_to_name(const name_view& name, node* n) {
  const pid to = resolve(name);
  if (to) {
    send_core(to, n);
    return;
  }
  internal::dispose(n, exit_reason::noproc);
  throw exit_error(exit_reason::noproc, "send: nobody has the name " + to_text(name));
}

node* new_alias_node(const message_descriptor& type, const alias_ref& to) {
  node* n = internal::allocate_node_behind(sizeof(internal::alias_header), type.size, type.align);
  n->type = &type;
  n->kind = node_kind::alias_message;
  ::new (&internal::alias_of(*n)) internal::alias_header{.ref = to.ref.number()};
  return n;
}

void deliver_to_alias(const alias_ref& to, node* n) { deliver(to.owner, n); }

void* dictionary_get(std::uint64_t key) noexcept {
  extension* e = here().ext;
  if (e == nullptr) return nullptr;
  for (const dictionary_entry& d : e->has().dictionary)
    if (d.key == key) return d.value;
  return nullptr;
}

void dictionary_put(std::uint64_t key, void* value, void (*destroy)(void*) noexcept) {
  auto& dictionary = ext_of(here()).gets().dictionary;
  for (dictionary_entry& d : dictionary)
    if (d.key == key) {
      destroy(std::exchange(d.value, value));    // last: its destructor may come here, too
      return;
    }
  dictionary.push_back({key, value, destroy});
}

}  // namespace detail

reference reference::make() noexcept { return reference(internal::here().serial()); }
std::string to_text(reference r) { return "#ref<" + std::to_string(r.number()) + ">"; }
std::string to_text(pid p) {
  if (!p) return "<none>";
  return (p.is_local() ? "<0." : "<1.") + std::to_string(p.serial()) + ">";
}

pid self() { return detail::pid_of(detail::here()); }

void exit(exit_reason reason) {
  slot& s = detail::process_only("exit");
  detail::ext_of(s).pending = std::move(reason);
  detail::set(s, detail::leaving);
  internal::throw_unwind();
}

void exit(pid to, exit_reason reason) {
  slot* me = detail::current_slot();
  const pid from = me != nullptr ? detail::pid_of(*me) : pid{};
  internal::send_exit(to, from, reason);
  if (me == nullptr || to != from) return;
  internal::drain(*me);
  // At once (OL-47), unless it is on its way out already and this comes from a destructor.
  if (detail::has(*me, detail::doomed) && !detail::has(*me, detail::ending) && std::uncaught_exceptions() == 0) internal::throw_unwind();
}

bool alive(pid who) {
  if (!who) return false;
  if (!who.is_local()) return true;
  const slot& s = *who.where();
  if (s.serial.load(sync::seq_cst) != who.serial()) return false;
  if (&s == detail::current_slot()) return true;
  bool answer = false;
  internal::ask(who, [](slot* target, void* out) {
    *static_cast<bool*>(out) = target != nullptr && !detail::has(*target, detail::doomed) && !detail::has(*target, detail::ending);
  }, &answer);
  return answer;
}

void link(pid to) {
  slot& s = detail::process_only("link");
  const pid me = detail::pid_of(s);
  if (to == me) return;                                                   // PR-34
  detail::extension& e = detail::ext_of(s);
  if (e.links.find(to.serial(), [&](const auto& l) { return l.who == to; }) != nullptr) return;   // PR-30
  const bool dead = !to || (to.is_local() && to.where()->serial.load(sync::seq_cst) != to.serial());
  if (dead && !detail::has(s, detail::trapping))
    throw exit_error(exit_reason::noproc, "link: " + to_text(to) + " is not alive");
  if (dead) {
    internal::append_exit_message(s, to, exit_reason::noproc);
    return;
  }
  const std::uint64_t id = internal::here().serial();
  e.links.add({to, id});
  deliver(to, make_node(node_kind::link, detail::link_payload{me, id, to}));
}

void unlink(pid to) {
  slot& s = detail::process_only("unlink");
  if (detail::result_place* p = internal::place_of(s); p != nullptr && p->owner.get() == to && p->linked) {
    p->linked = false;                                                    // the task unlinks itself from its owner
    deliver(to, make_node(node_kind::unlink, detail::link_payload{detail::pid_of(s), 0, to}));
  }
  if (s.ext.get() == nullptr) return;
  internal::drain(s);                                                     // an EXIT on its way counts as arrived
  internal::forget_task(s, to);
  const pid me = detail::pid_of(s);
  auto& links = detail::ext_of(s).links;
  for (detail::link_entry l; links.take(to.serial(), [&](const auto& x) { return x.who == to; }, &l);)
    deliver(to, make_node(node_kind::unlink, detail::link_payload{me, l.id, to}));
}

namespace {

/// Takes the first message of the fifo for which `wanted` holds. Owner only.
template <class Wanted>
bool flush_one(slot& s, Wanted&& wanted) {
  detail::node* newest = s.fifo;
  if (newest == nullptr) return false;
  detail::node* before = newest;
  detail::node* n = newest->next;
  for (;;) {
    if (wanted(*n)) {
      internal::unlink_from_fifo(s, before, n);
      internal::dispose(n, exit_reason::normal);
      return true;
    }
    if (n == newest) return false;
    before = n;
    n = n->next;
  }
}

}  // namespace

bool unlink_and_flush(pid to) {
  unlink(to);
  return flush_one(detail::here(), [&](detail::node& n) {
    return n.kind == node_kind::exited && internal::payload<exit_signal>(n).who == to;
  });
}

namespace {

reference watch(slot& s, pid to, std::unique_ptr<const std::string> name) {
  const std::uint64_t ref = internal::here().serial();
  if (to == detail::pid_of(s)) return reference(ref);                     // PR-45
  detail::ext_of(s).watches.add({ref, to, std::move(name)});
  const pid me = detail::pid_of(s);
  if (!to)
    deliver(me, make_node(node_kind::monitor_fired, detail::fired_payload{ref, to, exit_reason::noproc}));
  else
    deliver(to, make_node(node_kind::monitor, detail::monitor_payload{me, ref, to}));
  return reference(ref);
}

}  // namespace

reference monitor(pid to) { return watch(detail::here(), to, nullptr); }

reference monitor(const name_view& name) {
  slot& s = detail::here();
  return watch(s, detail::resolve(name), std::make_unique<const std::string>(name.form() == name_view::kind::via ? to_text(name) : std::string(name.text())));
}

bool demonitor(reference ref) {
  slot& s = detail::here();
  internal::drain(s);                                                     // a DOWN on its way counts as arrived
  detail::extension* e = s.ext;
  if (e == nullptr) return false;
  if (detail::belongings* rest = e->if_any()) std::erase_if(rest->aliases, [&](const auto& a) { return a.with_monitor && a.ref == ref.number(); });
  detail::watch_entry w;
  if (!e->watches.take(ref.number(), [](const auto&) { return true; }, &w)) return false;
  deliver(w.who, make_node(node_kind::demonitor, detail::demonitor_payload{ref.number()}));
  return true;
}

bool demonitor_and_flush(reference ref) {
  const bool active = demonitor(ref);
  flush_one(detail::here(), [&](detail::node& n) {
    return n.kind == node_kind::down && internal::payload<down>(n).ref == ref;
  });
  return active;
}

namespace {

alias_ref make_alias(alias_mode mode, bool urgent) {
  slot& s = detail::here();
  const std::uint64_t ref = internal::here().serial();
  detail::ext_of(s).gets().aliases.push_back({ref, mode == alias_mode::once, false, urgent});
  return {detail::pid_of(s), reference(ref)};
}

}  // namespace

alias_ref alias(alias_mode mode) { return make_alias(mode, false); }
alias_ref priority_alias(alias_mode mode) { return make_alias(mode, true); }

bool unalias(const alias_ref& a) {
  slot& s = detail::here();
  internal::drain(s);                                                     // what was sent before and has arrived stays
  detail::belongings* rest = s.ext.get() != nullptr ? s.ext->if_any() : nullptr;
  return rest != nullptr && std::erase_if(rest->aliases, [&](const auto& x) { return x.ref == a.ref.number(); }) != 0;
}

alias_ref monitor_with_alias(pid to, alias_mode mode) {
  slot& s = detail::here();
  const reference ref = monitor(to);
  detail::ext_of(s).gets().aliases.push_back({ref.number(), mode == alias_mode::once, true});
  return {detail::pid_of(s), ref};
}

bool trap_exit(bool on) {
  slot& s = detail::process_only("trap_exit");
  const bool before = detail::has(s, detail::trapping);
  internal::drain(s);                                                     // what arrived before is judged by the old flag
  on ? detail::set(s, detail::trapping) : detail::clear(s, detail::trapping);
  return before;
}

bool priority_lane(bool open) {
  slot& s = detail::process_only("priority_lane");
  const bool before = detail::has(s, detail::lane_open);
  internal::drain(s);                                                     // what arrived before is in its place
  open ? detail::set(s, detail::lane_open) : detail::clear(s, detail::lane_open);
  return before;
}

priority set_priority(priority level) { return internal::place(detail::process_only("set_priority"), level); }

void label(std::string_view text) { detail::ext_of(detail::here()).gets().label = text; }

void register_name(std::string_view name, pid who) {
  const pid holder = alive(who) ? detail::claim_name(name, who) : pid{};
  if (holder == who && who) return;
  if (!holder) throw exit_error(exit_reason::noproc, "register_name: " + to_text(who) + " is not alive");
  throw exit_error(exit_reason::with_text(exit_reason::custom, "already_registered"),
                   "register_name: \"" + std::string(name) + "\" is taken by " + to_text(holder));
}

namespace {

/// A name of the runtime number `home`.
struct forget {
  std::string_view name;
  unsigned home;
  bool done = false;
};

/// As the owner of `s`.
void give_up(slot& s, forget& wanted) {
  if (s.ext.get() == nullptr || s.ext->if_any() == nullptr) return;
  auto& names = s.ext->if_any()->names;
  const auto n = std::find_if(names.begin(), names.end(), [&](const auto& h) {
    return !h.global && h.home == wanted.home && h.text == wanted.name;
  });
  if (n == names.end()) return;
  internal::release_name(*n, detail::pid_of(s));
  names.erase(n);
  wanted.done = true;
}

}  // namespace

void unregister_name(std::string_view name) {
  forget f{name, internal::current_system().number};
  if (slot* me = detail::current_slot()) give_up(*me, f);      // mostly one's own: no look-up
  if (f.done) return;
  if (const pid holder = detail::resolve(name))
    internal::ask(holder, [](slot* s, void* raw) {
      if (s != nullptr) give_up(*s, *static_cast<forget*>(raw));
    }, &f);
  if (!f.done) throw exit_error(exit_reason::noproc, "unregister_name: nobody has the name \"" + std::string(name) + '"');
}

void sleep_for(duration time) {
  slot& s = detail::here();
  const std::uint64_t number = internal::begin_wait(s);
  internal::wait_until(s, number, internal::wait_state::signals, time == infinity ? sync::never : time.count(),
                       [](void*) { return false; }, nullptr);
}

void yield() {
  internal::here().budget = 0;
  internal::yield_if_spent();
  if (slot* s = detail::current_slot()) internal::take_arrivals(*s);
}

bool suspend_process(pid who) {
  bool found = false;
  internal::ask(who, [](slot* s, void* raw) {
    if (s == nullptr || detail::has(*s, detail::ending) || detail::has(*s, detail::thread_proxy)) return;
    *static_cast<bool*>(raw) = true;
    ++detail::ext_of(*s).suspend_count;
    detail::set(*s, detail::frozen);
    detail::set(*s, detail::careful);
  }, &found);
  return found;
}

bool resume_process(pid who) {
  bool found = false;
  internal::ask(who, [](slot* s, void* raw) {
    if (s == nullptr || s->ext.get() == nullptr || detail::ext_of(*s).suspend_count == 0) return;
    *static_cast<bool*>(raw) = true;
    if (--detail::ext_of(*s).suspend_count == 0) detail::clear(*s, detail::frozen);
  }, &found);
  return found;
}

void hibernate_process() {
  slot& s = detail::process_only("hibernate_process");
  if (detail::extension* e = s.ext) {
    e->links.shrink_to_fit();
    e->watches.shrink_to_fit();
    e->watchers.shrink_to_fit();
    if (detail::belongings* rest = e->if_any()) rest->open_replies.shrink_to_fit();
  }
  const std::uint64_t number = internal::begin_wait(s);
  internal::wait_until(s, number, internal::wait_state::any, sync::never, [](void* raw) {
    return static_cast<slot*>(raw)->fifo.get() != nullptr;
  }, &s);
}

}  // namespace coppice
