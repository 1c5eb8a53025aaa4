// SPDX-License-Identifier: Apache-2.0
#include <coppice/process/process_info.hpp>

#include "process/query.hpp"
#include "process/result_place.hpp"
#include "process/signal.hpp"
#include "process/system.hpp"

#include <algorithm>

namespace coppice {

using detail::slot;
namespace sync = detail::sync;

namespace {

struct question {
  bool was_waiting = false;                    // when it was asked: to answer, it had to wake up
  std::optional<process_information> answer;
};

/// Idle, or off its stack. A look from outside, at two atomics.
bool waits(pid who) noexcept {
  if (!who || !who.is_local()) return false;
  const slot& s = *who.where();
  const auto how = internal::state_of_wait(s.wait.load(sync::relaxed));
  return s.word.load(sync::relaxed) == 0 || how == internal::wait_state::signals || how == internal::wait_state::any;
}

process_status status_of(const slot& s, bool was_waiting) noexcept {
  if (detail::has(s, detail::ending) || detail::has(s, detail::doomed)) return process_status::ending;
  if (detail::has(s, detail::frozen)) return process_status::suspended;
  return was_waiting ? process_status::waiting : process_status::running;
}

void describe(slot* target, void* raw) {
  if (target == nullptr) return;
  slot& s = *target;
  auto& asked = *static_cast<question*>(raw);
  auto& out = asked.answer.emplace();
  out.who = detail::pid_of(s);
  out.status = status_of(s, asked.was_waiting);
  out.name = s.cls->name;
  out.queue_length = s.length.load(sync::relaxed);
  out.traps_exits = detail::has(s, detail::trapping);
  if (const message_descriptor* doing = s.doing.load(sync::relaxed)) out.doing = doing->name;
  out.memory_bytes = sizeof(slot) + detail::room_in(s) + (detail::has(s, detail::boxed) ? s.cls->state_size : 0);
  out.ancestors = detail::ancestors_of(s);
  out.callers = internal::callers_of(s);
  out.priority = s.placement == detail::placed_high ? priority::high
                 : s.placement == detail::placed_low ? priority::low : priority::normal;
  const detail::extension* e = &detail::ext_of(s);             // from now on its work is counted
  if (internal::here().process == &s) internal::account(s, 0); // it answers itself
  out.work = e->work;
  if (const detail::result_place* p = internal::place_of(s); p != nullptr && p->linked) out.links.push_back(p->owner.get());
  for (const auto& n : e->has().names) out.names.push_back(n.text);
  out.label = e->has().label;
  for (const auto& l : e->links) out.links.push_back(l.who);
  for (const pid t : e->has().tasks)
    if (t.where()->serial.load(internal::sync::relaxed) == t.serial()) out.links.push_back(t);
  std::sort(out.links.begin(), out.links.end());
  out.links.erase(std::unique(out.links.begin(), out.links.end()), out.links.end());   // linked both ways at once: one link
  for (const auto& w : e->watches) out.monitors.push_back(w.who);
  for (const auto& w : e->watchers) out.monitored_by.push_back(w.who);
  out.memory_bytes += e->bytes();
}

}  // namespace

namespace detail {

namespace {

template <class... T>
std::size_t room(const std::vector<T>&... all) noexcept { return (0 + ... + (all.capacity() * sizeof(T))); }

}  // namespace

std::size_t extension::bytes() const noexcept {
  const belongings& b = has();
  return sizeof *this + links.bytes_outside() + watchers.bytes_outside() + watches.bytes_outside() + room(timers) +
         (rest_ != nullptr ? sizeof b : 0) + room(b.aliases, b.names, b.tenures, b.open_replies, b.dictionary, b.tasks, b.callers);
}

}  // namespace detail

std::optional<process_information> process_info(pid who) {
  question q{.was_waiting = waits(who), .answer = {}};
  internal::ask(who, &describe, &q);
  return std::move(q.answer);
}

std::vector<pid> processes() {
  std::vector<pid> out;
  internal::for_each_process(internal::current_system(), [](void* raw, slot& s, std::uint64_t serial) {
    if (!detail::has(s, detail::thread_proxy)) static_cast<std::vector<pid>*>(raw)->push_back(pid::of(&s, serial));
  }, &out);
  return out;
}

}  // namespace coppice
