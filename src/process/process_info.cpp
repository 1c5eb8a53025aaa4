// SPDX-License-Identifier: Apache-2.0
#include <coppice/process/process_info.hpp>

#include "process/query.hpp"
#include "process/signal.hpp"
#include "process/system.hpp"

namespace coppice {

using detail::slot;
namespace sync = detail::sync;

namespace {

process_status status_of(const slot& s) noexcept {
  if (detail::has(s, detail::ending) || detail::has(s, detail::doomed)) return process_status::ending;
  if (detail::has(s, detail::frozen)) return process_status::suspended;
  // It answers between two messages, so what tells is whether it was in the middle of something.
  return s.fifo.get() != nullptr ? process_status::running : process_status::waiting;
}

void describe(slot* target, void* raw) {
  if (target == nullptr) return;
  slot& s = *target;
  auto& out = static_cast<std::optional<process_information>*>(raw)->emplace();
  out.who = detail::pid_of(s);
  out.status = status_of(s);
  out.name = s.cls->name;
  out.queue_length = s.length.load(sync::relaxed);
  out.traps_exits = detail::has(s, detail::trapping);
  if (const message_descriptor* doing = s.doing.load(sync::relaxed)) out.doing = doing->name;
  out.memory_bytes = sizeof(slot) + s.room + (detail::has(s, detail::boxed) ? s.cls->state_size : 0);
  out.ancestors = detail::ancestors_of(s);
  const detail::extension* e = s.ext;
  if (e == nullptr) return;
  for (const auto& n : e->names) out.names.push_back(n.text);
  out.label = e->label;
  for (const auto& l : e->links) out.links.push_back(l.who);
  for (const auto& w : e->watches) out.monitors.push_back(w.who);
  for (const auto& w : e->watchers) out.monitored_by.push_back(w.who);
  out.callers = e->callers;
  out.memory_bytes += sizeof(detail::extension);
}

}  // namespace

std::optional<process_information> process_info(pid who) {
  std::optional<process_information> out;
  internal::ask(who, &describe, &out);
  return out;
}

std::vector<pid> processes() {
  std::vector<pid> out;
  internal::for_each_process(internal::current_system(), [](void* raw, slot& s, std::uint64_t serial) {
    if (!detail::has(s, detail::thread_proxy)) static_cast<std::vector<pid>*>(raw)->push_back(pid::of(&s, serial));
  }, &out);
  return out;
}

}  // namespace coppice
