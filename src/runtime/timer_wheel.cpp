// SPDX-License-Identifier: Apache-2.0
//
// timer_wheel, see timer_wheel.hpp.
#include "runtime/timer_wheel.hpp"

#include <coppice/base/assert.hpp>

#include <bit>

namespace coppice::internal {

namespace {

constexpr std::int64_t tick_mask = (std::int64_t{1} << timer_wheel::tick_shift) - 1;

// The first tick that begins at or after `deadline`.
std::uint64_t tick_of(std::int64_t deadline) noexcept {
  return static_cast<std::uint64_t>(deadline >> timer_wheel::tick_shift) + ((deadline & tick_mask) != 0 ? 1 : 0);
}

std::int64_t start_of(std::uint64_t tick) noexcept {
  constexpr auto last = static_cast<std::uint64_t>(sync::never >> timer_wheel::tick_shift);
  return tick > last ? sync::never : static_cast<std::int64_t>(tick) << timer_wheel::tick_shift;
}

std::int64_t saturating_sum(std::int64_t now, std::int64_t duration) noexcept {
  return duration > sync::never - now ? sync::never : now + duration;
}

}  // namespace

void due_timers::append(timer_node& node) noexcept {
  node.next = nullptr;
  if (last_ == nullptr) {
    first_ = &node;
  } else {
    if (node.deadline_ < last_->deadline_) sorted_ = false;
    last_->next = &node;
  }
  last_ = &node;
}

std::size_t due_timers::fire_all() noexcept {
  timer_node* rest = sorted_ ? first_ : sorted(first_);
  first_ = last_ = nullptr;
  sorted_ = true;
  std::size_t count = 0;
  while (rest != nullptr) {
    timer_node& node = *rest;
    rest = after(node);
    node.state_.store(timer_node::idle, sync::relaxed);  // read by others under a wheel's lock, after a new start
    node.fire_(node);
    ++count;
  }
  return count;
}

timer_node* due_timers::after(timer_node& node) noexcept { return static_cast<timer_node*>(node.next.get()); }

// Merges two sorted chains; of equal deadlines those of `early` come first.
timer_node* due_timers::merged(timer_node* early, timer_node* late) noexcept {
  timer_node* first = nullptr;
  timer_node* last = nullptr;
  while (early != nullptr && late != nullptr) {
    timer_node*& from = late->deadline_ < early->deadline_ ? late : early;
    timer_node* node = from;
    from = after(*node);
    if (last == nullptr)
      first = node;
    else
      last->next = node;
    last = node;
  }
  timer_node* rest = early != nullptr ? early : late;
  if (last == nullptr) return rest;
  last->next = rest;
  return first;
}

// A stable merge sort: runs[i] is a sorted chain of 2^i nodes or null, an older one on the left.
timer_node* due_timers::sorted(timer_node* chain) noexcept {
  timer_node* runs[32] = {};
  while (chain != nullptr) {
    timer_node* run = chain;
    chain = after(*run);
    run->next = nullptr;
    std::size_t i = 0;
    for (; runs[i] != nullptr; ++i) {
      run = merged(runs[i], run);
      runs[i] = nullptr;
    }
    runs[i] = run;
  }
  timer_node* result = nullptr;
  for (timer_node* run : runs) result = merged(run, result);
  return result;
}

timer_wheel::timer_wheel(clock_function clock) noexcept
    : hint_(sync::never), current_(static_cast<std::uint64_t>(clock() >> tick_shift)), clock_(clock) {
  make_empty(fresh_);
  make_empty(rest_);
  for (timer_link& slot : slots_) make_empty(slot);
}

void timer_wheel::begin_anew() noexcept {
  sync::lock_guard guard(lock_);
  COPPICE_ASSERT(is_empty(fresh_) && is_empty(rest_) && find_next().level < 0, "a wheel with timers begins anew");
  current_ = static_cast<std::uint64_t>(clock_() >> tick_shift);
  hint_.store(sync::never, sync::relaxed);
}

bool timer_wheel::start(timer_node& node, std::int64_t duration) noexcept {
  COPPICE_ASSERT(node.state_.load(sync::relaxed) == timer_node::idle, "a timer is started that is pending or firing");
  sync::lock_guard guard(lock_);
  node.deadline_ = ~(duration < 0 ? 0 : duration);
  adopt(node);
  append(fresh_, node);
  return sooner(due_now);
}

bool timer_wheel::start_at(timer_node& node, std::int64_t deadline) noexcept {
  COPPICE_ASSERT(node.state_.load(sync::relaxed) == timer_node::idle, "a timer is started that is pending or firing");
  if (deadline < 0) deadline = 0;
  sync::lock_guard guard(lock_);
  node.deadline_ = deadline;
  adopt(node);
  const std::uint64_t tick = tick_of(deadline);
  if (tick > current_) {
    place(node, tick);
    return sooner(start_of(tick));
  }
  append(rest_, node);
  return sooner(due_now);
}

bool timer_wheel::cancel(timer_node& node) noexcept {
  timer_wheel* wheel = node.wheel_.load(sync::relaxed);
  if (wheel == nullptr) return false;  // never started
  sync::lock_guard guard(wheel->lock_);
  if (!wheel->holds(node)) return false;
  wheel->withdraw(node);
  return true;
}

bool timer_wheel::cancel(timer_node& node, const sync::atomic<std::uint64_t>& tag, std::uint64_t expected) noexcept {
  timer_wheel* wheel = node.wheel_.load(sync::relaxed);
  if (wheel == nullptr) return false;
  sync::lock_guard guard(wheel->lock_);
  // Whoever started the node set the tag before it took this lock.
  if (!wheel->holds(node) || tag.load(sync::relaxed) != expected) return false;
  wheel->withdraw(node);
  return true;
}

std::int64_t timer_wheel::remaining(timer_node& node, std::int64_t now) noexcept {
  timer_wheel* wheel = node.wheel_.load(sync::relaxed);
  if (wheel == nullptr) return -1;
  sync::lock_guard guard(wheel->lock_);
  return wheel->holds(node) ? node.left(now) : -1;
}

std::int64_t timer_wheel::remaining(timer_node& node, std::int64_t now, const sync::atomic<std::uint64_t>& tag,
                                    std::uint64_t expected) noexcept {
  timer_wheel* wheel = node.wheel_.load(sync::relaxed);
  if (wheel == nullptr) return -1;
  sync::lock_guard guard(wheel->lock_);
  return wheel->holds(node) && tag.load(sync::relaxed) == expected ? node.left(now) : -1;
}

bool timer_wheel::advance(std::int64_t now, due_timers& due) noexcept {
  if (hint_.load(sync::relaxed) > now) return true;
  for (std::size_t steps = advance_nodes / step_nodes; steps != 0; --steps)
    if (step(now, due)) return true;
  return false;
}

std::size_t timer_wheel::advance(std::int64_t now) noexcept {
  due_timers due;
  advance(now, due);
  return due.fire_all();
}

std::int64_t timer_wheel::next_deadline() noexcept {
  sync::lock_guard guard(lock_);
  return exact_next_deadline();
}

// Deals with at most step_nodes nodes. True: everything is done that is due at `now`.
bool timer_wheel::step(std::int64_t now, due_timers& due) noexcept {
  sync::lock_guard guard(lock_);
  std::size_t budget = step_nodes;
  if (!is_empty(fresh_)) {
    // Read here and not before the lock: everything on the list was started before this moment.
    if (const std::int64_t later = clock_(); later > now) now = later;
    for (; budget != 0 && !is_empty(fresh_); --budget) arm(node_of(fresh_.next), now, due);
  }
  const auto target = static_cast<std::uint64_t>(now >> tick_shift);
  bool done = false;
  while (!done && budget != 0) {
    for (; budget != 0 && !is_empty(rest_); --budget) place_or_expire(node_of(rest_.next), due);
    if (budget == 0) break;
    const event next = find_next();
    done = next.level < 0 || next.tick > target;
    if (!done) open(next);
  }
  if (done && current_ < target) current_ = target;
  hint_.store(exact_next_deadline(), sync::relaxed);
  return done;
}

// A fresh node gets its deadline. What is due at once is not kept waiting for the end of the tick.
void timer_wheel::arm(timer_node& node, std::int64_t now, due_timers& due) noexcept {
  unlink(node);
  node.deadline_ = saturating_sum(now, ~node.deadline_.get());
  const std::uint64_t tick = tick_of(node.deadline_);
  if (node.deadline_ <= now)
    expire(node, due);
  else if (tick > current_)
    place(node, tick);
  else
    append(rest_, node);
}

void timer_wheel::place_or_expire(timer_node& node, due_timers& due) noexcept {
  unlink(node);
  const std::uint64_t tick = tick_of(node.deadline_);
  if (tick > current_)
    place(node, tick);
  else
    expire(node, due);
}

// Invariant 2. `tick` is after current_, so they differ somewhere.
void timer_wheel::place(timer_node& node, std::uint64_t tick) noexcept {
  const int level = (63 - std::countl_zero(tick ^ current_)) / 6;
  const int slot = static_cast<int>(tick >> (6 * level)) & (slots - 1);
  occupied_[level] = occupied_[level] | std::uint64_t{1} << slot;
  append(slots_[level * slots + slot], node);
}

void timer_wheel::expire(timer_node& node, due_timers& due) noexcept {
  node.state_.store(timer_node::firing, sync::relaxed);  // under the lock: cancel loses from here on
  due.append(node);
}

// What comes next: by invariant 2 the first occupied slot of the lowest occupied level.
timer_wheel::event timer_wheel::find_next() const noexcept {
  for (int level = 0; level != levels; ++level) {
    if (occupied_[level] == 0) continue;
    const int slot = std::countr_zero(occupied_[level].get());
    const std::uint64_t above = current_ >> (6 * (level + 1)) << (6 * (level + 1));
    return {level, slot, above | static_cast<std::uint64_t>(slot) << (6 * level)};
  }
  return {-1, 0, 0};
}

// Time has come to a slot: on level 0 its nodes are due, above they are to be spread over the levels below.
void timer_wheel::open(const event& next) noexcept {
  current_ = next.tick;
  occupied_[next.level] = occupied_[next.level] & ~(std::uint64_t{1} << next.slot);
  move_all(slots_[next.level * slots + next.slot], rest_);
}

std::int64_t timer_wheel::exact_next_deadline() const noexcept {
  if (!is_empty(fresh_) || !is_empty(rest_)) return due_now;
  const event next = find_next();
  return next.level < 0 ? sync::never : start_of(next.tick);
}

// Notes that there is something to do at `deadline`. True: that is sooner than anything before.
bool timer_wheel::sooner(std::int64_t deadline) noexcept {
  if (hint_.load(sync::relaxed) <= deadline) return false;
  hint_.store(deadline, sync::relaxed);
  return true;
}

void timer_wheel::adopt(timer_node& node) noexcept {
  node.wheel_.store(this, sync::relaxed);
  node.state_.store(timer_node::pending, sync::relaxed);
}

bool timer_wheel::holds(const timer_node& node) const noexcept {
  return node.wheel_.load(sync::relaxed) == this && node.state_.load(sync::relaxed) == timer_node::pending;
}

// Invariant 3: the last node of a slot takes the bit with it. Only a list's head is both its neighbours.
void timer_wheel::unlink(timer_node& node) noexcept {
  timer_link* before = node.prev;
  timer_link* behind = node.next;
  before->next = behind;
  behind->prev = before;
  if (before != behind) return;
  const std::size_t offset = reinterpret_cast<std::uintptr_t>(before) - reinterpret_cast<std::uintptr_t>(slots_);
  if (offset >= sizeof slots_) return;  // fresh_ or rest_
  const std::size_t index = offset / sizeof(timer_link);
  occupied_[index / slots] = occupied_[index / slots] & ~(std::uint64_t{1} << index % slots);
}

// A pending node becomes the caller's.
void timer_wheel::withdraw(timer_node& node) noexcept {
  unlink(node);
  node.state_.store(timer_node::idle, sync::relaxed);
}

void timer_wheel::make_empty(timer_link& list) noexcept {
  list.prev = &list;
  list.next = &list;
}

void timer_wheel::append(timer_link& list, timer_link& link) noexcept {
  timer_link* last = list.prev;
  link.prev = last;
  link.next = &list;
  last->next = &link;
  list.prev = &link;
}

// `to` is empty, `from` is not.
void timer_wheel::move_all(timer_link& from, timer_link& to) noexcept {
  timer_link* first = from.next;
  timer_link* last = from.prev;
  to.next = first;
  to.prev = last;
  first->prev = &to;
  last->next = &to;
  make_empty(from);
}

}  // namespace coppice::internal
