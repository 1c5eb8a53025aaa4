// SPDX-License-Identifier: Apache-2.0
//
// stack_pool: slabs, guards, look-up. See stack_pool.hpp.
#include "runtime/stack_pool.hpp"

#include <cerrno>
#include <new>
#include <sys/mman.h>
#include <unistd.h>

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else  // the client requests do nothing outside of Valgrind anyway
#define VALGRIND_STACK_REGISTER(start, end) 0U
#define VALGRIND_STACK_DEREGISTER(id) static_cast<void>(id)
#endif

namespace coppice::internal {

namespace {

constexpr std::uint32_t stacks_per_slab = 64;
constexpr int advise_guard_install = 102;  // MADV_GUARD_INSTALL, Linux 6.13; older headers lack the name

// One page would do for small frames. A function with a few kilobytes of locals may step over it, and a wider guard
// costs address space only.
constexpr std::size_t least_guard_bytes = 16 * 1024;

std::size_t page_bytes() noexcept { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

void say_that_guards_ran_out() noexcept {
  static constexpr char text[] =
      "coppice: no more guard pages for stacks (limit of mappings); an overflow of a new stack will not be noticed\n";
  [[maybe_unused]] const auto rc = write(STDERR_FILENO, text, sizeof text - 1);
}

}  // namespace

struct stack_pool::slab {
  slab* next;                         // the slab published before this one; fixed when published
  std::byte* first;                   // guard of stack 0
  std::size_t stride;                 // guard + stack
  std::size_t mapped_bytes;
  std::uint32_t first_index;
  stack_class size;
  sync::atomic<std::uint32_t> used;   // release by claim, acquire by find and for_each
  std::uint32_t tool_ids[stacks_per_slab];  // Valgrind's names of the stacks

  stack at(std::uint32_t i) const noexcept {
    std::byte* top = first + (i + 1) * stride;
    return {.bottom = top - stack_bytes(size), .top = top, .index = first_index + i, .size = size};
  }
};

stack_pool::stack_pool(stack_pool_options options) noexcept
    : page_bytes_(page_bytes()),
      guard_bytes_(page_bytes_ > least_guard_bytes ? page_bytes_ : least_guard_bytes),
      max_protected_(options.max_protected),
      guard_(static_cast<std::uint8_t>(options.strongest)) {}

stack_pool::~stack_pool() {
  for (auto& list : newest_)
    for (slab* s = list.load(sync::acquire); s != nullptr;) {
      slab* older = s->next;
      unmap_slab(s);
      s = older;
    }
}

bool stack_pool::take(stack_class size, stack& out) noexcept {
  while (!claim(size, out))
    if (!add_slab(size)) return false;
  put_guard(out);
  return true;
}

bool stack_pool::claim(stack_class size, stack& out) noexcept {
  slab* s = nullptr;
  std::uint32_t i = 0;
  {
    sync::lock_guard hold(lock_);
    s = newest_[static_cast<std::size_t>(size)].load(sync::relaxed);
    if (s == nullptr) return false;
    i = s->used.load(sync::relaxed);
    if (i == stacks_per_slab) return false;
    s->used.store(i + 1, sync::release);
  }
  out = s->at(i);
  s->tool_ids[i] = VALGRIND_STACK_REGISTER(out.bottom, out.top);
  return true;
}

bool stack_pool::add_slab(stack_class size) noexcept {
  slab* fresh = map_slab(size);
  if (fresh == nullptr) return false;
  {
    sync::lock_guard hold(lock_);
    auto& newest = newest_[static_cast<std::size_t>(size)];
    slab* current = newest.load(sync::relaxed);
    if (current == nullptr || current->used.load(sync::relaxed) == stacks_per_slab) {
      fresh->next = current;
      fresh->first_index = stacks_mapped_;
      stacks_mapped_ += stacks_per_slab;
      newest.store(fresh, sync::release);  // pairs with find, for_each: they see the slab complete
      fresh = nullptr;
    }
  }
  if (fresh != nullptr) unmap_slab(fresh);  // another thread was faster: leave no half-used slab behind
  return true;
}

stack_pool::slab* stack_pool::map_slab(stack_class size) const noexcept {
  const std::size_t stack_size = stack_bytes(size) < page_bytes_ ? page_bytes_ : stack_bytes(size);
  const std::size_t stride = guard_bytes_ + stack_size;
  const std::size_t bytes = page_bytes_ + stacks_per_slab * stride;
  void* memory =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  madvise(memory, bytes, MADV_NOHUGEPAGE);  // a blocked process keeps one small page, not a huge one
  auto* s = new (memory) slab{};
  s->first = static_cast<std::byte*>(memory) + page_bytes_;
  s->stride = stride;
  s->mapped_bytes = bytes;
  s->size = size;
  return s;
}

void stack_pool::unmap_slab(slab* s) noexcept {
  static_assert(sizeof(slab) <= 4096, "a slab's header has one page");
  for (std::uint32_t i = 0, n = s->used.load(sync::acquire); i < n; ++i) VALGRIND_STACK_DEREGISTER(s->tool_ids[i]);
  const std::size_t bytes = s->mapped_bytes;
  s->~slab();
  munmap(s, bytes);
}

// Tries the strongest guard that still works; what failed once is not tried again.
void stack_pool::put_guard(const stack& s) noexcept {
  std::byte* begin = s.bottom - guard_bytes_;
  if (guard() == stack_guard::marker) {
    if (madvise(begin, guard_bytes_, advise_guard_install) == 0) return;
    weaken_guard(stack_guard::marker, stack_guard::protection);
  }
  if (guard() == stack_guard::protection) {
    const bool is_allowed = protected_count_.fetch_add(1, sync::relaxed) < max_protected_;
    if (is_allowed && mprotect(begin, guard_bytes_, PROT_NONE) == 0) return;
    if (weaken_guard(stack_guard::protection, stack_guard::none)) say_that_guards_ran_out();
  }
}

bool stack_pool::weaken_guard(stack_guard from, stack_guard to) noexcept {
  auto expected = static_cast<std::uint8_t>(from);
  return guard_.cas(expected, static_cast<std::uint8_t>(to), sync::relaxed);
}

bool stack_pool::find(const void* address, location& out) const noexcept {
  const auto* wanted = static_cast<const std::byte*>(address);
  for (const auto& list : newest_)
    for (const slab* s = list.load(sync::acquire); s != nullptr; s = s->next) {
      if (wanted < s->first || wanted >= s->first + stacks_per_slab * s->stride) continue;
      const auto i = static_cast<std::uint32_t>(static_cast<std::size_t>(wanted - s->first) / s->stride);
      if (i >= s->used.load(sync::acquire)) return false;
      out.where = s->at(i);
      out.in_guard = wanted < out.where.bottom;
      return true;
    }
  return false;
}

void stack_pool::for_each(void (*visit)(void* context, const stack& s), void* context) const {
  for (const auto& list : newest_)
    for (const slab* s = list.load(sync::acquire); s != nullptr; s = s->next)
      for (std::uint32_t i = 0, n = s->used.load(sync::acquire); i < n; ++i) visit(context, s->at(i));
}

void stack_pool::give_back_pages(std::byte* bottom, std::byte* needed) noexcept {
  const auto page = page_bytes();
  const auto end = reinterpret_cast<std::uintptr_t>(needed) / page * page;
  const auto begin = reinterpret_cast<std::uintptr_t>(bottom);
  if (end > begin) madvise(bottom, end - begin, MADV_DONTNEED);
}

}  // namespace coppice::internal
