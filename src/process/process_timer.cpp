// SPDX-License-Identifier: Apache-2.0
//
// process_timer: a message that is to be sent later. See process_timer.hpp.
#include "process/process_timer.hpp"

#include <coppice/base/assert.hpp>
#include <coppice/process/timer.hpp>

#include "process/mailbox.hpp"
#include "process/signal.hpp"
#include "process/system.hpp"
#include "runtime/planted.hpp"
#include "runtime/pools.hpp"

#include <algorithm>
#include <bit>
#include <memory>
#include <string>
#include <unordered_map>

namespace coppice::internal {

namespace {

constexpr int index_bits = 28;
constexpr std::uint64_t timer_mark = std::uint64_t{1} << 63;
constexpr std::uint64_t over = std::uint64_t{1} << index_bits;
constexpr std::uint64_t index_mask = over - 1;
constexpr std::uint64_t last_generation = ~timer_mark & ~index_mask;
constexpr std::int64_t longest = sync::never / 2;             // 146 years

/// What few timers need: an addressee by name or beyond this runtime's processes, an interval.
struct timer_extra {
  node* message = nullptr;
  pid to{};
  std::string name;
  unsigned home = 0;
  std::int64_t period = 0;
  std::int64_t next = 0;                                    // the next deadline, counted from the start
  void (*copy)(const void* from, void* place) = nullptr;

  ~timer_extra() {
    if (message != nullptr) dispose(message, exit_reason::normal);
  }
};

void expire(timer_node& raw) noexcept;

/// Type-stable: constructed once and never anything else.
struct process_timer : timer_node {
  explicit process_timer(std::uint64_t index) noexcept : timer_node(&expire), ref(timer_mark | over | index, "timer") {}

  sync::atomic<std::uint64_t> ref;
  // A node*, which says in `next` and `serial` whom it is for; with the lowest bit set a timer_extra*. The timer's owner's.
  sync::var<std::uintptr_t> load;

  bool is_plain() const noexcept { return (load.get() & 1) == 0; }
  node* message() const noexcept { return reinterpret_cast<node*>(load.get()); }
  timer_extra* extra() const noexcept { return reinterpret_cast<timer_extra*>(load.get() - 1); }
};
static_assert(sizeof(process_timer) <= pools::timer_bytes);

// --- blocks ----------------------------------------------------------------------------------------------------------

/// All blocks by number. Segment k holds 64 · 2^k of them, so nothing is ever moved. Numbers are given out under the pool's
/// lock; `count` is published when an entry can be read.
struct timer_directory {
  static constexpr unsigned segments = index_bits - 5;
  static constexpr std::uint64_t smallest = 64;

  sync::var<process_timer**> segment[segments];
  sync::atomic<std::uint64_t> count{0, "timers"};

  process_timer** entry(std::uint64_t index) const noexcept {
    const std::uint64_t at = index + smallest;
    const int k = std::bit_width(at) - 7;
    return segment[k].get() + (at - (smallest << k));
  }
  /// Null for a number that no block has.
  process_timer* find(std::uint64_t ref) const noexcept {
    const std::uint64_t index = ref & index_mask;
    if ((ref & timer_mark) == 0 || index >= count.load(sync::acquire)) return nullptr;   // pairs with add
    return *entry(index);
  }
  void add(process_timer* t, std::uint64_t index) {
    const std::uint64_t at = index + smallest;
    if (std::has_single_bit(at)) segment[std::bit_width(at) - 7] = new process_timer*[at];
    *entry(index) = t;
    count.store(index + 1, sync::release);                  // pairs with find: entry and block are complete
  }
};

timer_directory directory;

/// Under the pool's lock, 63 at a time.
void construct_timer(void* block, std::size_t) noexcept {
  const std::uint64_t index = directory.count.load(sync::relaxed);
  if (index > index_mask) detail::assertion_failed(__FILE__, __LINE__, "index <= index_mask", "more than 268,435,456 timers");
  directory.add(::new (block) process_timer(index), index);
}

[[gnu::constructor(101)]] void tell() { make_timer = &construct_timer; }   // see spawn.cpp

/// A timer with a reference of its own, idle and the caller's.
process_timer& take_timer(thread_block& block, std::uintptr_t load) {
  auto& t = *static_cast<process_timer*>(block.timers.take());
  t.load = load;
  t.ref.store(t.ref.load(sync::relaxed) + over, sync::release);   // over -> live, one generation on; pairs with find's users
  return t;
}

/// From here on the reference names nothing, and the block may be somebody else's.
void give_timer(thread_block& block, process_timer& t) noexcept {
  const std::uint64_t ref = t.ref.load(sync::relaxed) | over;
  t.ref.store(ref, sync::release);
  if ((ref & last_generation) != last_generation) [[likely]] block.timers.give(&t);
}

void drop_load(thread_block& block, process_timer& t) noexcept {
  if (!t.is_plain()) {
    delete t.extra();
    return;
  }
  node* n = t.message();
  if (n->kind != node_kind::info || n->block == heap_block) [[unlikely]] return dispose(n, exit_reason::normal);
  if (!n->type->inert) n->type->destroy(payload_at(*n));    // what dispose would do in the end
  free_node(block, n);
}

// --- starting --------------------------------------------------------------------------------------------------------

/// Whom a plain timer's message is for, until it is sent.
void address(node& n, pid to) noexcept {
  n.next = reinterpret_cast<node*>(to.where());
  n.serial = to.serial();
}
pid addressee(const node& n) noexcept { return pid::of(reinterpret_cast<slot*>(n.next), n.serial); }

/// The number of the runtime of a process of this program; 0 for a thread's hidden one, for a name and for another node's.
unsigned runtime_of(pid to) noexcept { return to && to.is_local() ? to.where()->home.load(sync::relaxed) : 0; }
bool is_dead(pid to) noexcept { return to.is_local() && (!to || to.where()->serial.load(sync::seq_cst) != to.serial()); }

std::uintptr_t extra_load(std::unique_ptr<timer_extra> x) noexcept { return reinterpret_cast<std::uintptr_t>(x.release()) | 1; }

// --- ending ----------------------------------------------------------------------------------------------------------

/// Stops the timer `ref`. True: it was pending, and is the caller's.
bool stop_timer(process_timer& t, std::uint64_t ref) noexcept {
  if (t.ref.load(sync::acquire) != ref) return false;
  if (timer_wheel::cancel(t, t.ref, ref)) return true;
  std::uint64_t live = ref;
  t.ref.cas(live, ref | over, sync::seq_cst);               // it fires: an interval then ends; pairs with expire_extra
  return false;
}

/// Stops and drops the timer `ref`. Returns: how many ns were left, or -1. Unless `ask_left` that is 0: to know it takes a look at
/// the clock, which costs as much as all the rest.
inline std::int64_t cancel(thread_block& block, std::uint64_t ref, bool ask_left) noexcept {
  process_timer* t = directory.find(ref);
  if (t == nullptr || !stop_timer(*t, ref)) return planted::is(planted::timer_fires_cancelled) && t != nullptr ? 0 : -1;
  const std::int64_t left = !ask_left ? 0 : t->left(t->was_armed() ? sync::now() : 0);
  drop_load(block, *t);
  give_timer(block, *t);
  return left;
}

/// The one started last, if it is this: most are cancelled soon, and then the list does not even grow.
inline void forget_newest(slot& owner, std::uint64_t ref) noexcept {
  detail::extension* e = owner.ext;
  if (e != nullptr && !e->timers.empty() && e->timers.back() == ref) e->timers.pop_back();
}

inline std::int64_t cancel_of_caller(std::uint64_t ref, bool ask_left) noexcept {
  thread_block& block = here();
  if (block.process != nullptr) forget_newest(*block.process, ref);
  return cancel(block, ref, ask_left);
}

void drop_all(const std::vector<std::uint64_t>& refs) noexcept {
  thread_block& block = here();
  for (const std::uint64_t ref : refs) {
    process_timer* t = directory.find(ref);
    if (!stop_timer(*t, ref)) continue;
    drop_load(block, *t);
    give_timer(block, *t);
  }
}

// --- firing ----------------------------------------------------------------------------------------------------------

pid receiver_of(const timer_extra& x) noexcept {
  if (x.name.empty()) return x.to;
  const name_holder h = systems[x.home]->names.find(x.name);
  return h ? pid::of(static_cast<slot*>(h.slot), h.serial) : pid{};
}

void expire_extra(process_timer& t) noexcept {
  timer_extra& x = *t.extra();
  const std::uint64_t ref = t.ref.load(sync::relaxed) & ~over;
  const auto closing = [&] { return systems[x.home]->closing.load(sync::relaxed) != 0; };
  const auto wanted = [&] { return t.ref.load(sync::seq_cst) == ref && !closing(); };
  const auto end = [&t] {
    thread_block& block = here();
    drop_load(block, t);
    give_timer(block, t);
  };
  if (x.period == 0) {
    // Whoever cancels now is told that it was too late, so the message must arrive, whatever `ref` says by now (PR-81).
    if (!closing()) deliver(receiver_of(x), std::exchange(x.message, nullptr));
    return end();
  }
  if (!wanted()) return end();
  if (node* n = copy_of(*x.message, x.copy)) deliver(x.to, n);
  if (!wanted() || is_dead(x.to)) return end();
  x.next = next_in_cadence(x.next, x.period);
  systems[x.home]->sched.start_timer_at(t, x.next);
  // Not ours any more. But who cancelled between the look and the start found nothing to stop, and left that to us.
  if (t.ref.load(sync::seq_cst) == (ref | over) && timer_wheel::cancel(t, t.ref, ref | over)) end();
}

void expire(timer_node& raw) noexcept {
  auto& t = static_cast<process_timer&>(raw);
  if (!t.is_plain()) return expire_extra(t);
  node* n = t.message();
  give_timer(here(), t);
  deliver(addressee(*n), n);
}

// --- whose they are --------------------------------------------------------------------------------------------------

bool is_over(std::uint64_t ref) noexcept { return directory.find(ref)->ref.load(sync::relaxed) != ref; }

/// Room for one more. What is over goes when the list would grow; if that is less than half of it, it grows all the same.
void make_room(std::vector<std::uint64_t>& refs) {
  if (refs.size() != refs.capacity()) [[likely]] return;
  std::erase_if(refs, &is_over);
  if (refs.size() * 2 >= refs.capacity()) refs.reserve(refs.capacity() < 8 ? 8 : refs.capacity() * 2);
}

constexpr unsigned shard_count = 64;

/// Timers that others have started for a process.
struct timer_shard {
  sync::spinlock lock;
  std::unordered_map<std::uint64_t, std::vector<std::uint64_t>> by_pid;   // addressee's serial -> its timers
};
timer_shard* shards() {
  static auto* all = new timer_shard[shard_count];          // never destroyed: threads may end after main
  return all;
}

void note_for_other(pid to, std::uint64_t ref) {
  timer_shard& s = shards()[to.serial() % shard_count];
  if (to.where()->timed.load(sync::seq_cst) == 0) to.where()->timed.store(1, sync::seq_cst);
  sync::lock_guard held(s.lock);
  auto& refs = s.by_pid[to.serial()];
  make_room(refs);
  refs.push_back(ref);
}

void drop_for_other(pid who) noexcept {
  timer_shard& s = shards()[who.serial() % shard_count];
  std::vector<std::uint64_t> refs;
  {
    sync::lock_guard held(s.lock);
    const auto list = s.by_pid.find(who.serial());
    if (list == s.by_pid.end()) return;
    refs.swap(list->second);
    s.by_pid.erase(list);
  }
  drop_all(refs);
}

// --- starting, by addressee ------------------------------------------------------------------------------------------

/// For the running or owned process `s` itself: it knows its timers without a lock.
std::uint64_t start_own(thread_block& block, slot& s, std::int64_t after, node* n, reference* inside) {
  auto& refs = detail::ext_of(s).timers;
  make_room(refs);
  address(*n, detail::pid_of(s));
  process_timer& t = take_timer(block, reinterpret_cast<std::uintptr_t>(n));
  const std::uint64_t ref = t.ref.load(sync::relaxed);
  if (inside != nullptr) *inside = reference(ref);
  refs.push_back(ref);
  system_of(s).sched.start_timer(block, t, std::min(after, longest));
  return ref;
}

/// For another one. If it ends meanwhile, either its end sees the timer in the table or we see the end: both store first
/// and look then (`timed` and the table here, the serial there).
void note_addressee(pid to, std::uint64_t ref) {
  try {
    note_for_other(to, ref);
  } catch (...) {
    cancel(here(), ref, false);
    throw;
  }
  if (is_dead(to)) drop_for_other(to);
}

std::uint64_t start_for_other(thread_block& block, scheduler& of, pid to, std::int64_t after, node* n, reference* inside) {
  address(*n, to);
  process_timer& t = take_timer(block, reinterpret_cast<std::uintptr_t>(n));
  const std::uint64_t ref = t.ref.load(sync::relaxed);
  if (inside != nullptr) *inside = reference(ref);
  of.start_timer(block, t, std::min(after, longest));
  note_addressee(to, ref);
  return ref;
}

std::unique_ptr<timer_extra> new_extra(pid to, std::string_view name, node* n) {
  auto x = std::make_unique<timer_extra>();
  x->message = n;
  x->to = to;
  x->name = name;
  const unsigned of = runtime_of(to);
  x->home = of != 0 ? of : current_system().number;
  return x;
}

constexpr std::int64_t most_made_up_for = 16;  // periods

}  // namespace

std::int64_t next_in_cadence(std::int64_t due, std::int64_t period) noexcept {
  const std::int64_t next = due + period;
  const std::int64_t missed = (sync::now() - next) / period;
  return missed < most_made_up_for ? next : next + (missed + 1) * period;
}

node* copy_of(node& n, void (*copy)(const void* from, void* place)) noexcept {
  node* made = nullptr;
  try {
    made = allocate_node(n.type->size, n.type->align);
    copy(detail::payload_of(n), detail::payload_of(*made));
  } catch (...) {
    if (made != nullptr) detail::free_node(made);
    return nullptr;
  }
  made->type = n.type;
  made->run = n.run;
  made->kind = n.kind;
  return made;
}

std::uint64_t start_own_timer(slot& s, std::int64_t after, node* n) { return start_own(here(), s, after, n, nullptr); }

void cancel_own_timer(slot& s, std::uint64_t ref) noexcept {
  forget_newest(s, ref);
  process_timer* t = directory.find(ref);
  if (t == nullptr || !stop_timer(*t, ref)) return;
  thread_block& block = here();
  drop_load(block, *t);
  give_timer(block, *t);
}

void drop_timers(slot& s, pid who) noexcept {
  if (detail::extension* e = s.ext) {
    drop_all(e->timers);
    e->timers.clear();
  }
  if (s.timed.load(sync::seq_cst) != 0) drop_for_other(who);   // pairs with note_for_other
}

void for_each_timer(void (*visit)(void* context, const node& message), void* context) {
  const std::uint64_t count = directory.count.load(sync::acquire);   // pairs with add
  for (std::uint64_t i = 0; i != count; ++i) {
    process_timer& t = **directory.entry(i);
    if ((t.ref.load(sync::acquire) & over) == 0) visit(context, t.is_plain() ? *t.message() : *t.extra()->message);
  }
}

void drop_timers_of(unsigned home) noexcept { systems[home]->sched.expire_all(); }

void shrink_timer_table() {
  for (unsigned i = 0; i != shard_count; ++i) decltype(timer_shard::by_pid)().swap(shards()[i].by_pid);
  for (auto& s : directory.segment) delete[] s.get(), s = nullptr;
}

void renew_timer_table() {
  ::new (&directory) timer_directory;
  for (unsigned i = 0; i != shard_count; ++i) ::new (&shards()[i]) timer_shard;
}

}  // namespace coppice::internal

namespace coppice {

namespace detail {

reference start_timer_core(pid to, std::string_view name, duration after, node* n, reference* inside) {
  using namespace internal;
  thread_block& block = internal::here();
  const unsigned of = runtime_of(to);
  if (of != 0 && block.process != nullptr && to == pid_of(*block.process))
    return reference(start_own(block, *block.process, after.count(), n, inside));
  if (name.empty() && is_dead(to)) {                        // PR-82: nothing stays for the dead
    dispose(n, exit_reason::noproc);
    return reference::make();
  }
  if (of != 0) {
    const guest inside_of(block, of);
    if (inside_of.host() != nullptr) return reference(start_for_other(block, inside_of.host()->sched, to, after.count(), n, inside));
    dispose(n, exit_reason::noproc);                        // its runtime goes just now, and it with that
    return reference::make();
  }

  auto x = new_extra(to, name, n);
  const guest inside_of(block, x->home);
  if (inside_of.host() == nullptr) return reference::make();
  process_timer& t = take_timer(block, extra_load(std::move(x)));
  const std::uint64_t ref = t.ref.load(sync::relaxed);
  if (inside != nullptr) *inside = reference(ref);
  inside_of.host()->sched.start_timer(t, std::min(after.count(), longest));
  if (to && to.is_local()) note_addressee(to, ref);         // a thread: its hidden process ends with it
  return reference(ref);
}

reference start_interval_core(pid to, duration period, node* n, void (*copy)(const void* from, void* place)) {
  using namespace internal;
  if (is_dead(to)) {
    dispose(n, exit_reason::noproc);
    return reference::make();
  }
  auto x = new_extra(to, {}, n);
  x->period = std::clamp<std::int64_t>(period.count(), 1, longest);
  x->next = sync::now() + x->period;
  x->copy = copy;
  const std::int64_t first = x->next;
  thread_block& block = internal::here();
  const guest inside_of(block, x->home);
  if (inside_of.host() == nullptr) return reference::make();
  process_timer& t = take_timer(block, extra_load(std::move(x)));
  const std::uint64_t ref = t.ref.load(sync::relaxed);
  inside_of.host()->sched.start_timer_at(t, first);
  if (to.is_local()) note_addressee(to, ref);
  return reference(ref);
}

std::int64_t cancel_timer_core(reference timer) noexcept { return internal::cancel_of_caller(timer.number(), true); }
bool stop_timer_core(reference timer) noexcept { return internal::cancel_of_caller(timer.number(), false) >= 0; }

std::int64_t read_timer_core(reference timer) noexcept {
  internal::process_timer* t = internal::directory.find(timer.number());
  if (t == nullptr || t->ref.load(sync::acquire) != timer.number()) return -1;
  return internal::timer_wheel::remaining(*t, sync::now(), t->ref, timer.number());
}

}  // namespace detail

}  // namespace coppice
