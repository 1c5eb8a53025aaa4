// SPDX-License-Identifier: Apache-2.0
//
// fiber: the body that every fiber runs, exception state, the pool. See fiber.hpp.
#include "runtime/fiber.hpp"

#include <cxxabi.h>
#include <new>

namespace coppice::internal {

namespace {

// Page-aligned stack tops fall into the same few lines of the first-level cache. Tops are spread by this many bytes:
// 9.1 -> 2.6 ns a pair of switches over 16 stacks.
constexpr std::size_t colour_span = 1536;      // a handler that waits 2.5 KiB deep needs one page, whatever its colour
std::size_t colour(std::uint32_t index) noexcept { return std::size_t{index} * 320 % colour_span; }

static_assert(sizeof(fiber) + colour_span < 4096, "an idle fiber with its frame fits the top page");

// An endless round, so that to enter an idle fiber is only a switch. noexcept: an exception at the base terminates.
[[noreturn]] void body(void* raw) noexcept {
  fiber& self = *static_cast<fiber*>(raw);
  self.sanitizer.after_enter();
  for (;;) {
    self.job(self.argument);
    self.state = fiber_state::idle;
    self.sanitizer.before_leave();
    switch_context(self.self, self.resumer);
    self.sanitizer.after_enter();
  }
}

}  // namespace

exception_state& this_thread_exceptions() noexcept {
  asm volatile("" ::: "memory");  // keeps this function from being taken for a constant as well
  return *reinterpret_cast<exception_state*>(__cxxabiv1::__cxa_get_globals());
}

namespace fiber_detail {

void count_abandoned(fiber& f) noexcept { f.pool->abandoned_.fetch_add(1, sync::relaxed); }

fiber_outcome enter_from_handler(fiber& f, fiber_job job, void* argument, exception_state& thread) noexcept {
  const exception_state callers = thread;
  thread = {};
  const auto outcome = enter(f, job, argument, thread);
  thread = callers;
  return outcome;
}

fiber_outcome resume_from_handler(fiber& f, exception_state& thread) noexcept {
  const exception_state callers = thread;
  thread = {};
  const auto outcome = resume(f, thread);
  thread = callers;
  return outcome;
}

}  // namespace fiber_detail

void abandon(fiber& self) noexcept {
  self.state = fiber_state::abandoned;
  self.sanitizer.before_abandon();
  switch_context(self.self, self.resumer);
  __builtin_trap();  // nobody resumes an abandoned fiber
}

fiber_pool::fiber_pool(fiber_pool_options options) noexcept
    : stacks_(options.stacks), warm_idle_(options.warm_idle) {}

fiber_pool::~fiber_pool() {
  const auto unmake = [](void*, fiber& f) {
    f.sanitizer.destroy();
    f.~fiber();
  };
  for_each(unmake, nullptr);
}

fiber* fiber_pool::take(stack_class size, std::uint32_t wanted, std::uint32_t& taken) noexcept {
  free_list& list = idle_[static_cast<std::size_t>(size)];
  fiber* first = nullptr;
  taken = 0;
  {
    sync::lock_guard hold(list.lock);
    first = list.first;
    fiber* last = nullptr;
    for (fiber* f = first; f != nullptr && taken < wanted; f = f->next) {
      last = f;
      ++taken;
    }
    if (last != nullptr) {
      list.first = last->next.get();
      last->next = nullptr;
      list.count.store(list.count.load(sync::relaxed) - taken, sync::relaxed);
    }
  }
  if (first == nullptr && (first = make(size)) != nullptr) taken = 1;
  return first;
}

void fiber_pool::give(fiber* first, std::uint32_t count) noexcept {
  free_list& list = idle_[static_cast<std::size_t>(first->size)];
  const bool is_plenty = list.count.load(sync::relaxed) >= warm_idle_;
  fiber* last = first;
  for (fiber* f = first; f != nullptr; f = f->next) {
    last = f;
    if (is_plenty && !f->is_cold) stack_pool::give_back_pages(f->bottom, f->self.lowest());
    f->is_cold = is_plenty;
  }
  sync::lock_guard hold(list.lock);
  last->next = list.first.get();
  list.first = first;
  list.count.store(list.count.load(sync::relaxed) + count, sync::relaxed);
}

fiber* fiber_pool::make(stack_class size) noexcept {
  stack s{};
  if (!stacks_.take(size, s)) return nullptr;
  std::byte* place = s.top - colour(s.index) - sizeof(fiber);
  auto* f = new (place) fiber{};
  f->size = size;
  f->bottom = s.bottom;
  f->top = s.top;
  f->sanitizer.create(s.bottom, place);
  make_context(f->self, s.bottom, place, &body, f);
  f->pool = this;  // last: from here on at() shows it
  made_.fetch_add(1, sync::relaxed);
  return f;
}

fiber* fiber_pool::at(const stack& s) noexcept {
  auto* f = std::launder(reinterpret_cast<fiber*>(s.top - colour(s.index) - sizeof(fiber)));
  return f->pool != nullptr ? f : nullptr;
}

void fiber_pool::for_each(void (*visit)(void* context, fiber& f), void* context) const {
  struct pair {
    void (*visit)(void*, fiber&);
    void* context;
  } inner{visit, context};
  stacks_.for_each(
      [](void* raw, const stack& s) {
        const auto& p = *static_cast<pair*>(raw);
        if (fiber* f = at(s); f != nullptr) p.visit(p.context, *f);
      },
      &inner);
}

fiber_pool::statistics fiber_pool::count() const noexcept {
  statistics s{.made = made_.load(sync::relaxed), .idle = 0, .abandoned = abandoned_.load(sync::relaxed)};
  for (const free_list& list : idle_) s.idle += list.count.load(sync::relaxed);
  return s;
}

void fiber_cache::release() noexcept {
  for (list& l : lists_) {
    if (l.first != nullptr) pool_.give(l.first, l.count);
    l = {};
  }
}

fiber* fiber_cache::refill(list& l, stack_class size) noexcept {
  std::uint32_t taken = 0;
  fiber* f = pool_.take(size, batch, taken);
  if (f == nullptr) return nullptr;
  f->is_cold = false;
  l.first = f->next;
  l.count = taken - 1;
  return f;
}

// Keeps the half that was used last: their stacks are in the cache.
void fiber_cache::spill(list& l) noexcept {
  fiber* last_kept = l.first;
  for (std::uint32_t i = 1; i < l.count - batch; ++i) last_kept = last_kept->next;
  fiber* surplus = last_kept->next;
  last_kept->next = nullptr;
  l.count -= batch;
  pool_.give(surplus, batch);
}

}  // namespace coppice::internal
