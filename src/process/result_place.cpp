// SPDX-License-Identifier: Apache-2.0
//
// result_place: the owner's and the task's side of the place. The word is explained in result_place.hpp.
#include "process/result_place.hpp"

#include <coppice/base/assert.hpp>

#include "process/signal.hpp"
#include "runtime/planted.hpp"

#include <algorithm>

namespace coppice::detail {

namespace planted = internal::planted;

static_assert(sizeof(result_place) <= 120);

result_place* new_place(const result_type& type, bool linked) {
  const std::size_t offset = (sizeof(result_place) + type.align - 1) & ~std::size_t{type.align - 1};
  const std::size_t bytes = offset + type.size;
  auto* p = ::new (internal::here().blocks.allocate(bytes)) result_place;
  p->owner = pid_of(here());
  p->type = &type;
  p->bytes = bytes > internal::block_depot::largest ? std::uint16_t{0} : static_cast<std::uint16_t>(bytes);
  p->offset = static_cast<std::uint8_t>(offset);
  p->linked = linked && current_slot() != nullptr;             // nothing ends a plain thread
  return p;
}

void* value_in(result_place& p) noexcept { return reinterpret_cast<char*>(&p) + p.offset; }
void mark_value(result_place& p) noexcept { p.has_value = true; }
void keep_exception(result_place& p) noexcept { p.exception = std::current_exception(); }

bool has_value(const result_place& p) noexcept { return p.has_value; }
const exit_reason& reason_of_end(const result_place& p) noexcept { return p.reason; }
const std::exception_ptr& exception_of(const result_place& p) noexcept { return p.exception; }
pid task_of(const result_place& p) noexcept { return p.task; }

namespace {

struct permit_wait {
  result_place& place;
  std::uint64_t number;
};

bool is_decided(void* raw) {
  auto& w = *static_cast<permit_wait*>(raw);
  std::uint64_t permit = w.place.permit.load(sync::seq_cst);
  const std::uint64_t mine = w.number << 3 | 1;
  if (planted::is(planted::permit_waited_by_store)) {
    w.place.permit.store(mine, sync::seq_cst);
    return false;
  }
  while (permit != result_place::allowed && permit != result_place::refused) {
    if (permit == mine || w.place.permit.cas(permit, mine, sync::seq_cst)) return false;   // pairs with decide
  }
  return true;
}

}  // namespace

bool may_run(result_place& p) {
  std::uint64_t permit = p.permit.load(sync::acquire);
  if (permit == result_place::allowed) [[likely]] return true;
  slot& me = here();
  permit_wait w{p, internal::begin_wait(me)};
  internal::wait_until(me, w.number, internal::wait_state::signals, sync::never, &is_decided, &w);
  return p.permit.load(sync::acquire) == result_place::allowed;
}

}  // namespace coppice::detail

namespace coppice::internal {

using detail::has;

// --- the list --------------------------------------------------------------------------------------------------------

void done_list::push(result_place& p, slot& owner) noexcept {
  std::uintptr_t word = word_.load(sync::relaxed);
  do {
    p.next = (word & 1) != 0 ? nullptr : reinterpret_cast<result_place*>(word);
  } while (!word_.cas_weak(word, reinterpret_cast<std::uintptr_t>(&p), sync::seq_cst));   // pairs with announce and take_all
  if ((word & 1) != 0 && !planted::is(planted::listed_without_wake)) wake(owner, word >> 1);
}

result_place* done_list::take_all() noexcept {
  std::uintptr_t word = word_.load(sync::acquire);
  if (word == 0 || (word & 1) != 0) return nullptr;
  word = word_.exchange(0, sync::acquire);
  result_place* oldest = nullptr;
  for (auto* p = reinterpret_cast<result_place*>(word); p != nullptr;) {
    result_place* older = p->next;
    p->next = oldest;
    oldest = p;
    p = older;
  }
  return oldest;
}

bool done_list::announce(std::uint64_t number) noexcept {
  const std::uintptr_t mine = number << 1 | 1;
  if (planted::is(planted::announced_by_store)) {
    word_.store(mine, sync::seq_cst);
    return true;
  }
  std::uintptr_t word = word_.load(sync::seq_cst);
  for (;;) {
    if (word != 0 && (word & 1) == 0) return false;
    if (word == mine) return true;
    if (word_.cas(word, mine, sync::seq_cst)) return true;   // after the wait was armed; pairs with push
  }
}

// --- the owner's side ------------------------------------------------------------------------------------------------

bool is_done_or_waited(result_place& p, std::uint64_t number) noexcept {
  const std::uint64_t mine = place_word(number, result_place::waited);
  std::uint64_t word = p.word.load(sync::seq_cst);
  for (;;) {
    if (phase_of(word) == result_place::done) return true;
    if (word == mine) return false;
    if (planted::is(planted::result_waited_by_store)) {
      p.word.store(mine, sync::seq_cst);
      return false;
    }
    if (p.word.cas(word, mine, sync::seq_cst)) return false;  // after the wait was armed; pairs with complete_place
  }
}

bool put_on_list(result_place& p, done_list* list) noexcept {
  const std::uint64_t mine = list != nullptr ? reinterpret_cast<std::uintptr_t>(list) | result_place::listed
                                             : place_word(0, result_place::running);
  std::uint64_t word = p.word.load(sync::acquire);
  while (phase_of(word) != result_place::done)
    if (p.word.cas(word, mine, sync::acq_rel)) return true;
  return false;
}

void discard_place(result_place* p) noexcept {
  if (p->has_value) p->type->destroy(detail::value_in(*p));
  const std::size_t bytes = p->bytes != 0 ? p->bytes : block_depot::largest + 1;
  p->~result_place();
  here().blocks.free(p, bytes);
}

void release_place(result_place* p) noexcept {
  if (p->home != nullptr) {                                   // a group saw it through, or will
    if (p->holders.fetch_sub(1, sync::acq_rel) == 1) discard_place(p);
    return;
  }
  if (planted::is(planted::abandoned_by_store)) {
    const bool was_done = is_done(*p);
    p->word.store(result_place::abandoned, sync::seq_cst);
    if (was_done) discard_place(p);
    return;
  }
  // acquire: a result that nobody took is destroyed here; release: the task sees what we did with the place.
  if (phase_of(p->word.exchange(result_place::abandoned, sync::acq_rel)) == result_place::done) discard_place(p);
}

// --- the task's side -------------------------------------------------------------------------------------------------

namespace {

/// It has told whoever is linked to it, and left its slot: what it sent is in the receiver's mailbox. acquire: pairs with leave.
bool is_gone(pid task) noexcept {
  const slot& s = *task.where();
  const std::uint64_t serial = s.serial.load(sync::acquire);
  return serial != task.serial() && (serial != 0 || s.word.load(sync::acquire) == 0);
}

/// Throws the dead out. First those that failed end an owner that does not trap exits (EX-5): their signals have come, and are
/// taken in where any wait.
void sweep_tasks(slot& owner, std::vector<pid>& tasks) {
  const auto living = std::partition(tasks.begin(), tasks.end(), is_gone);
  if (living == tasks.begin()) return;
  if (!has_mail(owner) || planted::is(planted::linked_swept_unheard)) {
    tasks.erase(tasks.begin(), living);
    return;
  }
  std::vector<pid> gone(tasks.begin(), living);
  std::sort(gone.begin(), gone.end());
  drain(owner);                                                // takes out of the list whose signals it finds
  std::erase_if(tasks, [&](pid t) { return std::binary_search(gone.begin(), gone.end(), t); });
}

/// Keeps the list of linked tasks at twice what it need be at most: the dead are thrown out before it grows.
void note_task(slot& owner, pid task) {
  auto& tasks = detail::ext_of(owner).gets().tasks;
  if (tasks.size() == tasks.capacity() && !tasks.empty()) {
    sweep_tasks(owner, tasks);
    if (tasks.size() > tasks.capacity() / 2) tasks.reserve(2 * tasks.capacity());
  }
  tasks.push_back(task);
}

/// A result that nobody wants. Its destructor is the program's: it runs as if in a plain thread, for its process is gone.
void discard_unwanted(result_place& p) noexcept {
  thread_block& block = here();
  slot* const before = std::exchange(block.process, nullptr);
  discard_place(&p);
  here().process = before;
}

}  // namespace

void bind_place(result_place& p, slot& child, slot* parent) {
  p.task = detail::pid_of(child);
  static_cast<detail::task_head*>(detail::state_of(child))->place = &p;
  if (p.linked && parent != nullptr && detail::pid_of(*parent) == p.owner.get()) note_task(*parent, p.task);
}

namespace {

void decide(result_place& p, std::uint64_t how) noexcept {
  const std::uint64_t before = p.permit.exchange(how, sync::seq_cst);   // pairs with is_decided, and makes `task` seen
  // Its slot is never given back, whoever lives there.
  if ((before & 1) != 0 && !planted::is(planted::permit_without_wake)) wake(*p.task.where(), before >> 3);
}

}  // namespace

void permit_task(result_place& p) {
  if (p.linked) note_task(detail::here(), p.task);
  decide(p, result_place::allowed);
}

void refuse_task(result_place& p) noexcept { decide(p, result_place::refused); }

result_place* place_of(slot& s) noexcept {
  if (!has(s, detail::started) || (s.cls->flags & static_cast<std::uint32_t>(detail::class_flag::task)) == 0) return nullptr;
  return static_cast<detail::task_head*>(detail::state_of(s))->place;
}

void fire_result_link(const result_place& p, const exit_reason& why) noexcept {
  if (p.linked && !why.is(exit_reason::normal))
    deliver(p.owner.get(), make_node(node_kind::link_exited, detail::exit_payload{p.task, why}));
}

void complete_place(result_place& p, const exit_reason& why) noexcept {
  p.reason = why;
  slot& owner = *p.owner.get().where();
  std::uint64_t word = p.word.load(sync::relaxed);
  if (planted::is(planted::result_done_by_store))
    p.word.store(result_place::done, sync::seq_cst);
  else if (planted::is(planted::result_done_relaxed))
    word = p.word.exchange(result_place::done, sync::relaxed);
  else
    word = p.word.exchange(result_place::done, sync::seq_cst);   // pairs with is_done_or_waited
  switch (phase_of(word)) {
    case result_place::waited:
      if (planted::is(planted::owner_read_late)) return wake(*p.owner.get().where(), word >> 3);
      return wake(owner, word >> 3);
    case result_place::listed: return reinterpret_cast<done_list*>(word & ~std::uint64_t{7})->push(p, owner);
    case result_place::abandoned: return discard_unwanted(p);
    default: return;
  }
}

bool forget_task(slot& owner, pid task) noexcept {
  detail::belongings* rest = owner.ext.get() != nullptr ? owner.ext->if_any() : nullptr;
  return rest != nullptr && std::erase(rest->tasks, task) != 0;
}

void unlink_task(pid owner, pid task) noexcept {
  slot& me = detail::here();
  if (owner == detail::pid_of(me)) forget_task(me, task);
  else deliver(owner, make_node(node_kind::unlink, detail::link_payload{task, 0, owner}));
}

std::vector<pid> callers_of(const slot& s) {
  const detail::extension* e = s.ext;
  if (e != nullptr && !e->has().callers.empty()) return e->has().callers;
  if ((s.cls->flags & static_cast<std::uint32_t>(detail::class_flag::task)) == 0) return {};
  const detail::lineage* l = e != nullptr ? e->origin : s.ext.origin_only();
  return l != nullptr ? std::vector<pid>(l->who, l->who + l->callers) : std::vector<pid>();
}

}  // namespace coppice::internal
