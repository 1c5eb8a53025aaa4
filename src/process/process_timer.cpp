// SPDX-License-Identifier: Apache-2.0
//
// process_timer: a message that is to be sent later. See process_timer.hpp.
//
// A timer is found by its reference in a table of shards, which owns it: whoever takes it out of the table (cancel, expiry,
// the addressee's end) may end it. The addressee's timers are chained through the table's entries by its pid.
#include "process/process_timer.hpp"

#include <coppice/process/timer.hpp>

#include "process/mailbox.hpp"
#include "process/signal.hpp"
#include "process/system.hpp"

#include <unordered_map>

namespace coppice::detail {

/// A message under way to the future. Owned by the table; see the head of this file.
struct process_timer : internal::timer_node {
  explicit process_timer(fire_function fire) noexcept : timer_node(fire) {}
  std::uint64_t ref = 0;
  pid to{};
  std::string name;
  node* message = nullptr;
  std::int64_t period = 0;
  std::int64_t next = 0;                                    // of an interval: the next deadline, counted from the start
  void (*copy)(const void* from, void* place) = nullptr;
  unsigned home = 0;
};

}  // namespace coppice::detail

namespace coppice::internal {

using detail::process_timer;

namespace {

constexpr unsigned shard_count = 64;

struct timer_shard {
  sync::spinlock lock;
  std::unordered_map<std::uint64_t, process_timer*> by_ref;
  std::unordered_map<std::uint64_t, std::vector<std::uint64_t>> by_pid;   // addressee's serial -> its timers
};

struct timer_table {
  timer_shard shards[shard_count];
  timer_shard& of(std::uint64_t key) noexcept { return shards[key % shard_count]; }
};

timer_table& table() {
  static auto* t = new timer_table;                         // never destroyed: timers may fire while the program ends
  return *t;
}

void add(process_timer& t) {
  {
    timer_shard& s = table().of(t.ref);
    sync::lock_guard held(s.lock);
    s.by_ref.emplace(t.ref, &t);
  }
  if (!t.to) return;
  timer_shard& s = table().of(t.to.serial());
  sync::lock_guard held(s.lock);
  s.by_pid[t.to.serial()].push_back(t.ref);
  if (t.to.is_local()) t.to.where()->timed.store(1, sync::seq_cst);   // pairs with end_process: see start_timer_core
}

void forget_pid(pid to, std::uint64_t ref) noexcept {
  if (!to) return;
  timer_shard& s = table().of(to.serial());
  sync::lock_guard held(s.lock);
  const auto list = s.by_pid.find(to.serial());
  if (list == s.by_pid.end()) return;
  std::erase(list->second, ref);
  if (list->second.empty()) s.by_pid.erase(list);
}

/// Takes the timer out of the table: the caller owns its end.
process_timer* take(std::uint64_t ref) noexcept {
  timer_shard& s = table().of(ref);
  sync::lock_guard held(s.lock);
  const auto found = s.by_ref.find(ref);
  if (found == s.by_ref.end()) return nullptr;
  process_timer* t = found->second;
  s.by_ref.erase(found);
  return t;
}

void destroy(process_timer* t) noexcept {
  if (t->message != nullptr) dispose(t->message, exit_reason::normal);
  delete t;
}

void start(process_timer& t, std::int64_t after) noexcept { systems[t.home]->sched.start_timer(t, after); }

void send_it(const process_timer& t, node* n) noexcept {
  pid to = t.to;
  if (!to) {
    const name_holder h = systems[t.home]->names.find(t.name);
    if (h) to = pid::of(static_cast<slot*>(h.slot), h.serial);
  }
  deliver(to, n);
}

void expire(timer_node& raw) noexcept {
  auto& t = static_cast<process_timer&>(raw);
  if (t.period != 0) {
    // The entry stays: it goes on. A cancel meanwhile has taken it out, then this was the last time.
    node* n = allocate_node(t.message->type->size, t.message->type->align);
    n->type = t.message->type;
    t.copy(detail::payload_of(*t.message), detail::payload_of(*n));
    const pid to = t.to;
    const std::uint64_t ref = t.ref;
    send_it(t, n);
    timer_shard& s = table().of(ref);
    s.lock.lock();
    const bool wanted = s.by_ref.contains(ref) && to.where()->serial.load(sync::seq_cst) == to.serial();
    if (wanted) {
      t.next += t.period;
      systems[t.home]->sched.start_timer_at(t, t.next);
      s.lock.unlock();
      return;
    }
    s.by_ref.erase(ref);
    s.lock.unlock();
    forget_pid(to, ref);
    destroy(&t);
    return;
  }
  if (take(t.ref) == nullptr) {                             // cancelled while it was on its way here
    destroy(&t);
    return;
  }
  forget_pid(t.to, t.ref);
  node* n = t.message;
  t.message = nullptr;
  send_it(t, n);
  destroy(&t);
}

/// Cancels the timer `ref`, if it is still in the table. Returns: ns left, or -1 if there is none or it is firing just now.
std::int64_t end_timer(std::uint64_t ref) noexcept {
  timer_shard& s = table().of(ref);
  s.lock.lock();
  const auto found = s.by_ref.find(ref);
  if (found == s.by_ref.end()) {
    s.lock.unlock();
    return -1;
  }
  process_timer* t = found->second;
  const pid to = t->to;
  s.by_ref.erase(found);
  // Under the lock: if it is firing, `expire` waits for the lock, finds the table without it and destroys it.
  const bool cancelled = timer_wheel::cancel(*t);
  s.lock.unlock();
  std::int64_t left = -1;
  if (cancelled) {
    left = t->left(sync::now());
    destroy(t);
  }
  forget_pid(to, ref);
  return left;
}

process_timer& make_timer(pid to, std::string_view name, node* n, std::uint64_t ref) {
  auto* t = new process_timer(&expire);
  t->ref = ref != 0 ? ref : here().serial();
  t->to = to;
  t->name = name;
  t->message = n;
  const unsigned home = to && to.is_local() ? to.where()->home.load(sync::relaxed) : 0;
  t->home = home != 0 ? home : current_system().number;
  return *t;
}

}  // namespace

std::uint64_t start_own_timer(slot& s, std::int64_t after, node* n) {
  process_timer& t = make_timer(detail::pid_of(s), {}, n, 0);
  const std::uint64_t ref = t.ref;
  add(t);
  start(t, after);
  return ref;
}

std::int64_t cancel_own_timer(slot&, std::uint64_t ref) noexcept {
  return end_timer(ref);
}

void renew_timer_table() { ::new (&table()) timer_table; }

void drop_timers_of(unsigned home) noexcept {
  std::vector<std::uint64_t> refs;
  for (timer_shard& s : table().shards) {
    sync::lock_guard held(s.lock);
    for (const auto& [ref, t] : s.by_ref)
      if (t->home == home) refs.push_back(ref);
  }
  for (const std::uint64_t ref : refs) end_timer(ref);
}

void drop_timers(pid who) noexcept {
  timer_shard& s = table().of(who.serial());
  std::vector<std::uint64_t> refs;
  {
    sync::lock_guard held(s.lock);
    const auto list = s.by_pid.find(who.serial());
    if (list == s.by_pid.end()) return;
    refs.swap(list->second);
    s.by_pid.erase(list);
  }
  for (const std::uint64_t ref : refs) end_timer(ref);
}

}  // namespace coppice::internal

namespace coppice {

namespace detail {

namespace {

bool gone(pid to) noexcept { return to.is_local() && (!to || to.where()->serial.load(sync::seq_cst) != to.serial()); }

}  // namespace

reference start_timer_core(pid to, std::string_view name, duration after, duration, node* n, std::uint64_t ref) {
  if (name.empty() && gone(to)) {                         // PR-82: nothing stays for the dead
    internal::dispose(n, exit_reason::noproc);
    return ref != 0 ? reference(ref) : reference::make();
  }
  internal::process_timer& t = internal::make_timer(to, name, n, ref);
  const reference r(t.ref);
  internal::add(t);
  internal::start(t, after.count());
  if (name.empty() && gone(to)) cancel_timer(r);            // it ended meanwhile and may not have seen this one
  return r;
}

reference start_interval_core(pid to, duration period, node* n, void (*copy)(const void* from, void* place)) {
  if (gone(to)) {
    internal::dispose(n, exit_reason::noproc);
    return reference::make();
  }
  internal::process_timer& t = internal::make_timer(to, {}, n, 0);
  const reference r(t.ref);
  t.period = period.count() > 0 ? period.count() : 1;
  t.copy = copy;
  t.next = sync::now() + t.period;
  internal::add(t);
  internal::systems[t.home]->sched.start_timer_at(t, t.next);
  if (gone(to)) cancel_timer(r);
  return r;
}

}  // namespace detail

std::optional<duration> cancel_timer(reference timer) {
  const std::int64_t left = internal::end_timer(timer.number());
  return left < 0 ? std::nullopt : std::optional<duration>(duration(left));
}

std::optional<duration> read_timer(reference timer) {
  internal::timer_shard& s = internal::table().of(timer.number());
  detail::sync::lock_guard held(s.lock);
  const auto found = s.by_ref.find(timer.number());
  if (found == s.by_ref.end()) return std::nullopt;
  const std::int64_t left = internal::timer_wheel::remaining(*found->second, detail::sync::now());
  return left < 0 ? std::nullopt : std::optional<duration>(duration(left));
}

}  // namespace coppice
