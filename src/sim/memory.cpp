// SPDX-License-Identifier: Apache-2.0
//
// memory, the implementation. See memory.hpp.
#include "sim/memory.hpp"

#include "sim/engine.hpp"

#include <cstring>

namespace coppice::internal::sim {

namespace {

bool acquires(int order) noexcept {
  return order == __ATOMIC_ACQUIRE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}
bool releases(int order) noexcept {
  return order == __ATOMIC_RELEASE || order == __ATOMIC_ACQ_REL || order == __ATOMIC_SEQ_CST;
}

/// The bare value. `where` may lie in a frame that is gone, but it is mapped: the cell is known to be alive.
std::uint64_t bare(const void* where, unsigned size) noexcept {
  std::uint64_t value = 0;
  std::memcpy(&value, where, size);
  return value;
}

void put_bare(const void* where, unsigned size, std::uint64_t value) noexcept {
  std::memcpy(const_cast<void*>(where), &value, size);
}

std::uint64_t cut(std::uint64_t value, unsigned size) noexcept {
  return size == sizeof value ? value : value & ((std::uint64_t{1} << (8 * size)) - 1);
}

void forget(vector_clock& seen) noexcept { seen.at.fill(not_yet); }

}  // namespace

void memory::reset(memory_model model) noexcept {
  model_ = model;
  if (++run_ == 0) {  // entries of four thousand million runs ago would look current
    table_.assign(table_.size(), entry{});
    run_ = 1;
  }
  used_ = cell_count_ = plain_count_ = 0;
  numbered_ = 0;
  fences_ = {};
  seq_cst_time_ = 0;
}

// --- finding by address ------------------------------------------------------------------------------------------------

memory::entry& memory::slot(const void* where) {
  if (used_ * 2 >= table_.size()) grow();
  const std::uint64_t key = reinterpret_cast<std::uintptr_t>(where);
  const std::size_t mask = table_.size() - 1;
  for (std::size_t i = (key * 0x9E3779B97F4A7C15u) >> 32;; ++i) {
    entry& e = table_[i & mask];
    if (e.run != run_) {  // free in this run
      e = {where, run_, UINT32_MAX, false};
      ++used_;
      return e;
    }
    if (e.where == where) return e;
  }
}

void memory::grow() {
  const outside_arena guard;
  std::vector<entry> old(table_.empty() ? 1024 : table_.size() * 4);
  old.swap(table_);
  used_ = 0;
  for (const entry& e : old)
    if (e.run == run_) slot(e.where) = e;
}

cell& memory::new_cell(const void* where, unsigned size, const char* name) {
  entry& e = slot(where);
  if (e.index == UINT32_MAX || e.is_var) {
    if (cell_count_ == cells_.size()) {
      const outside_arena guard;
      cells_.push_back(std::make_unique<cell>());
    }
    e.index = static_cast<std::uint32_t>(cell_count_++);
    e.is_var = false;
  }
  cell& c = *cells_[e.index];
  c.where = where;
  c.name = name != nullptr ? name : "unnamed";
  c.number = ++numbered_;
  c.size = size;
  c.alive = true;
  c.created = {};
  c.touched = {};
  c.stores = 1;
  c.ring[0].value = bare(where, size);
  forget(c.ring[0].seen);
  c.ring[0].published = {};
  return c;
}

plain& memory::new_plain(const void* where, const char* name) {
  entry& e = slot(where);
  if (e.index == UINT32_MAX || !e.is_var) {
    if (plain_count_ == plains_.size()) {
      const outside_arena guard;
      plains_.push_back(std::make_unique<plain>());
    }
    e.index = static_cast<std::uint32_t>(plain_count_++);
    e.is_var = true;
  }
  plain& p = *plains_[e.index];
  p.where = where;
  p.name = name != nullptr ? name : "unnamed";
  p.number = ++numbered_;
  p.alive = true;
  p.written = {};
  p.read = {};
  return p;
}

const cell* memory::known(const void* where) noexcept {
  if (table_.empty()) return nullptr;
  const entry& e = slot(where);
  return e.index == UINT32_MAX || e.is_var ? nullptr : cells_[e.index].get();
}

cell& memory::touch(knowledge& me, const void* where, unsigned size) {
  const entry& e = slot(where);
  cell* c = e.index == UINT32_MAX || e.is_var ? nullptr : cells_[e.index].get();
  if (c != nullptr && !c->alive)
    fail("cell %s #%u is touched by %s after its destruction", c->name, c->number, thread_name(me.thread));
  if (c == nullptr || c->size != size || c->back(0).value != bare(where, size)) c = &new_cell(where, size, nullptr);
  if (c->created.when > me.now.before.at[c->created.thread])
    fail("cell %s #%u is used by %s, which need not know yet that %s has constructed it", c->name, c->number,
         thread_name(me.thread), thread_name(c->created.thread));
  c->touched.at[me.thread] = me.own();
  return *c;
}

plain& memory::touch_var(const void* where) {
  const entry& e = slot(where);
  plain* p = e.index == UINT32_MAX || !e.is_var ? nullptr : plains_[e.index].get();
  return p == nullptr ? new_plain(where, nullptr) : *p;
}

// --- cells -------------------------------------------------------------------------------------------------------------

void memory::construct_cell(knowledge& me, void* where, unsigned size, const char* name) {
  cell& c = new_cell(where, size, name);
  c.created = {me.thread, me.own()};
  c.touched.at[me.thread] = me.own();
  c.ring[0].seen.at[me.thread] = me.own();
}

void memory::destroy_cell(knowledge& me, void* where) {
  const entry& e = slot(where);
  if (e.index == UINT32_MAX || e.is_var) return;
  cell& c = *cells_[e.index];
  if (!c.alive) return;  // its memory has been taken for something else meanwhile
  for (unsigned t = 0; t < max_threads; ++t)
    if (c.touched.at[t] > me.now.before.at[t])
      fail("cell %s #%u is destroyed by %s while %s may still be touching it", c.name, c.number, thread_name(me.thread),
           thread_name(t));
  c.alive = false;
}

/// How many stores back the reader may look at most.
unsigned memory::oldest_allowed(const knowledge& me, cell& c, bool seq_cst) noexcept {
  vector_clock bound = me.now.bound;
  if (seq_cst) {  // after every earlier seq_cst operation on this cell and every earlier fence
    bound.join(fences_);
    bound.at[seq_cst_column] = not_yet - 1;
  }
  const unsigned remembered = c.remembered();
  for (unsigned age = 0; age < remembered; ++age)
    if (bound.reaches(c.back(age).seen)) return age;
  return remembered - 1;
}

void memory::see(knowledge& me, store_record& s, int order) noexcept {
  epoch& mine = s.seen.at[me.thread];
  if (mine == not_yet) mine = me.own();
  if (order == __ATOMIC_SEQ_CST && s.seen.at[seq_cst_column] == not_yet) s.seen.at[seq_cst_column] = ++seq_cst_time_;
  (acquires(order) ? me.now : me.pending).join(s.published);
}

effect memory::load(knowledge& me, const void* where, unsigned size, int order) {
  if (model_ == memory_model::tso && order == __ATOMIC_RELAXED) order = __ATOMIC_ACQUIRE;
  cell& c = touch(me, where, size);
  unsigned age = 0;
  if (c.stores > 1) {
    const unsigned oldest = oldest_allowed(me, c, order == __ATOMIC_SEQ_CST);
    if (oldest > 0) age = choose_age(oldest + 1);
  }
  store_record& s = c.back(age);
  see(me, s, order);
  return {c.name, c.number, s.value, age};
}

store_record& memory::append(knowledge& me, cell& c, std::uint64_t value) noexcept {
  store_record& s = c.ring[c.stores++ % cell::depth];
  s.value = cut(value, c.size);
  forget(s.seen);
  s.seen.at[me.thread] = me.own();
  put_bare(c.where, c.size, s.value);
  return s;
}

void memory::publish(knowledge& me, store_record& s, int order) noexcept {
  s.published.join(releases(order) ? me.now : me.fenced);
  if (order == __ATOMIC_SEQ_CST) s.seen.at[seq_cst_column] = ++seq_cst_time_;
  if (releases(order)) me.advance();
}

effect memory::store(knowledge& me, void* where, unsigned size, std::uint64_t value, int order) {
  if (model_ == memory_model::tso && order == __ATOMIC_RELAXED) order = __ATOMIC_RELEASE;
  cell& c = touch(me, where, size);
  store_record& s = append(me, c, value);
  s.published = {};
  publish(me, s, order);
  if (model_ == memory_model::tso && order == __ATOMIC_SEQ_CST) fence(me);  // an xchg there
  return {c.name, c.number, value, 0};
}

void memory::rewrite(knowledge& me, cell& c, std::uint64_t value, int order) {
  if (model_ == memory_model::tso) {
    fence(me);
    order = __ATOMIC_SEQ_CST;
  }
  see(me, c.back(0), order);
  const view sequence = c.back(0).published;  // copied: the ring may reuse its place
  store_record& s = append(me, c, value);
  s.published = sequence;
  publish(me, s, order);
  if (model_ == memory_model::tso) fence(me);
}

effect memory::compare_and_swap(knowledge& me, void* where, unsigned size, std::uint64_t expected,
                                std::uint64_t desired, int order, int order_of_failure, bool fail_anyway, bool& done) {
  cell& c = touch(me, where, size);
  const std::uint64_t old = c.back(0).value;
  done = old == expected && !fail_anyway;
  if (done) {
    rewrite(me, c, desired, order);
  } else {
    if (model_ == memory_model::tso) fence(me);
    see(me, c.back(0), model_ == memory_model::tso ? __ATOMIC_SEQ_CST : order_of_failure);
  }
  return {c.name, c.number, old, 0};
}

effect memory::peek(knowledge& me, const void* where, unsigned size) {
  cell& c = touch(me, where, size);
  see(me, c.back(0), __ATOMIC_RELAXED);
  return {c.name, c.number, c.back(0).value, 0};
}

void memory::fence(knowledge& me) noexcept {
  me.now.join(me.pending);
  me.now.bound.join(fences_);
  me.now.bound.at[seq_cst_column] = ++seq_cst_time_;  // every seq_cst operation so far is behind us
  fences_.join(me.now.bound);
  me.fenced = me.now;
  me.advance();
}

// --- plain data --------------------------------------------------------------------------------------------------------

void memory::construct_var(knowledge& me, const void* where, const char* name) {
  plain& p = new_plain(where, name);
  p.written = {me.thread, me.own()};
}

void memory::check_write(knowledge& me, const plain& p, const char* what) {
  if (p.written.when > me.now.before.at[p.written.thread])
    fail("data race on var %s #%u: written by %s, then %s by %s", p.name, p.number, thread_name(p.written.thread), what,
         thread_name(me.thread));
  for (unsigned t = 0; t < max_threads; ++t)
    if (p.read.at[t] > me.now.before.at[t])
      fail("data race on var %s #%u: read by %s, then %s by %s", p.name, p.number, thread_name(t), what,
           thread_name(me.thread));
}

void memory::destroy_var(knowledge& me, const void* where) {
  const entry& e = slot(where);
  if (e.index == UINT32_MAX || !e.is_var) return;
  plain& p = *plains_[e.index];
  if (!p.alive) return;
  check_write(me, p, "destroyed");
  p.alive = false;
}

effect memory::read_var(knowledge& me, const void* where) {
  plain& p = touch_var(where);
  if (!p.alive) fail("var %s #%u is read by %s after its destruction", p.name, p.number, thread_name(me.thread));
  if (p.written.when > me.now.before.at[p.written.thread])
    fail("data race on var %s #%u: written by %s, then read by %s", p.name, p.number, thread_name(p.written.thread),
         thread_name(me.thread));
  p.read.at[me.thread] = me.own();
  return {p.name, p.number, 0, 0};
}

effect memory::write_var(knowledge& me, const void* where) {
  plain& p = touch_var(where);
  if (!p.alive) fail("var %s #%u is written by %s after its destruction", p.name, p.number, thread_name(me.thread));
  check_write(me, p, "written");
  p.written = {me.thread, me.own()};
  return {p.name, p.number, 0, 0};
}

}  // namespace coppice::internal::sim
