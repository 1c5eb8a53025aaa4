// SPDX-License-Identifier: Apache-2.0
//
// The fault handler: what a dying program says, and that it still dies of the signal.
#include "runtime/fault_handler.hpp"
#include "runtime/fiber.hpp"

#include "unit/runtime/dying_child.hpp"

#include <doctest/doctest.h>

#include <cstdio>
#include <cstring>
#include <pthread.h>
#include <sys/mman.h>
#include <thread>

using namespace coppice::internal;
using coppice::testing::death_of;

namespace {

constexpr fault_describer describer{[](void* process, char* out, std::size_t size) noexcept -> std::size_t {
  if (process == nullptr) return 0;
  const auto* name = static_cast<const char*>(process);
  const std::size_t n = std::strlen(name) < size ? std::strlen(name) : size;
  std::memcpy(out, name, n);
  return n;
}};

char ch3[] = "ch3 <0.4.0> while in handle_call(alloc)";

volatile bool is_endless = true;

[[gnu::noinline]] int recurse(volatile char* above) {
  volatile char frame[256];
  frame[0] = above != nullptr ? above[0] : '\0';
  const int deeper = is_endless ? recurse(frame) : 0;
  return deeper + frame[0];  // not a tail call
}

void overflow(void*) { recurse(nullptr); }
void write_to_address_16(void*) {
  volatile std::uintptr_t address = 16;
  *reinterpret_cast<volatile int*>(address) = 1;  // NOLINT: the point of it
}
void trap(void*) { __builtin_trap(); }
void divide(void*) { raise(SIGFPE); }

struct setup {
  setup() {
    install_fault_handler();
    install_thread_alternate_stack();
    set_fault_describer(describer);
    watch_fibers(pool);
  }
  void run(fiber_job job, void* process, stack_class size = stack_class::k64) {
    fiber_cache cache(pool);
    fiber* f = cache.take(size);
    f->process = process;
    [[maybe_unused]] const auto outcome = enter(*f, job, nullptr);
    cache.give(f);
  }
  fiber_pool pool;
};

}  // namespace

TEST_CASE("a stack overflow is reported with process, handler and stack size, and the program dies of SIGSEGV") {
  for (stack_class size : {stack_class::k16, stack_class::k64, stack_class::k256}) {
    const auto d = death_of([size] { setup().run(overflow, ch3, size); });
    CHECK(d.signal == SIGSEGV);
    char expected[200];
    std::snprintf(expected, sizeof expected,
                  "coppice: stack overflow in process ch3 <0.4.0> while in handle_call(alloc) (stack of %zu KiB)\n",
                  stack_bytes(size) / 1024);
    CHECK(d.text == expected);
  }
}

TEST_CASE("a stack overflow is reported with protected guard pages as well, and on another thread") {
  const auto d = death_of([] {
    static fiber_pool pool({.stacks = {.strongest = stack_guard::protection}});
    install_fault_handler();
    set_fault_describer(describer);
    watch_fibers(pool);
    std::thread([] {
      install_thread_alternate_stack();
      fiber_cache cache(pool);
      fiber* f = cache.take(stack_class::k64);
      f->process = ch3;
      [[maybe_unused]] const auto outcome = enter(*f, overflow, nullptr);
    }).join();
  });
  CHECK(d.signal == SIGSEGV);
  CHECK(d.says("coppice: stack overflow in process ch3 <0.4.0>"));
}

TEST_CASE("any other fault names the signal, the address and the process, and keeps its signal") {
  const auto write = death_of([] { setup().run(write_to_address_16, ch3); });
  CHECK(write.signal == SIGSEGV);
  CHECK(write.says("coppice: signal SIGSEGV at address 0x10 (instruction 0x"));
  CHECK(write.says(") in process ch3 <0.4.0> while in handle_call(alloc)\n"));

  const auto illegal = death_of([] { setup().run(trap, ch3); });
  CHECK(illegal.signal == SIGILL);
  CHECK(illegal.says("coppice: signal SIGILL at address 0x"));

  const auto sent = death_of([] { setup().run(divide, ch3); });
  CHECK(sent.signal == SIGFPE);
  CHECK(sent.says("coppice: signal SIGFPE sent by OS process "));
  CHECK(sent.says("in process ch3"));
}

TEST_CASE("a fault where no process runs says so") {
  const auto plain = death_of([] {
    setup s;
    write_to_address_16(nullptr);
  });
  CHECK(plain.signal == SIGSEGV);
  CHECK(plain.says(") outside of any process\n"));

  const auto unnamed = death_of([] {
    setup s;
    set_fault_describer(*new fault_describer{[](void*, char*, std::size_t) noexcept -> std::size_t { return 0; }});
    s.run(overflow, ch3);
  });
  CHECK(unnamed.signal == SIGSEGV);
  CHECK(unnamed.says("coppice: stack overflow in an unnamed process (stack of 64 KiB)\n"));
}

TEST_CASE("a describer that claims more bytes than there are does no harm") {
  const auto d = death_of([] {
    setup s;
    set_fault_describer(*new fault_describer{[](void*, char* out, std::size_t size) noexcept -> std::size_t {
      std::memset(out, 'x', size);
      return size + 100'000;
    }});
    s.run(write_to_address_16, ch3);
  });
  CHECK(d.signal == SIGSEGV);
  CHECK(d.says("in process xxxxxxxx"));
  CHECK(d.text.size() < 1100);
}

TEST_CASE("the handler that was there before gets the fault afterwards") {
  const auto d = death_of([] {
    struct sigaction before{};
    before.sa_sigaction = [](int, siginfo_t* info, void*) {
      _exit(info->si_addr == reinterpret_cast<void*>(16) ? 42 : 43);
    };
    before.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &before, nullptr);
    setup().run(write_to_address_16, ch3);
  });
  CHECK(d.exit_status == 42);
  CHECK(d.says("coppice: signal SIGSEGV at address 0x10"));
}

TEST_CASE("a pool that was forgotten is not looked into") {
  const auto d = death_of([] {
    setup s;
    forget_fibers(s.pool);
    s.run(overflow, ch3);
  });
  CHECK(d.signal == SIGSEGV);
  CHECK(d.says("coppice: signal SIGSEGV at address 0x"));
  CHECK(d.says("outside of any process"));
}

TEST_CASE("a thread gets an alternate stack, keeps one that it has, and gives ours back at its end") {
  stack_t ours{};
  std::thread([&] {
    const stack_t off{.ss_sp = nullptr, .ss_flags = SS_DISABLE, .ss_size = 0};
    sigaltstack(&off, nullptr);
    install_thread_alternate_stack();
    install_thread_alternate_stack();
    sigaltstack(nullptr, &ours);
  }).join();
  CHECK((ours.ss_flags & SS_DISABLE) == 0);
  CHECK(ours.ss_size >= 64 * 1024);
  unsigned char seen = 0;
  CHECK(mincore(ours.ss_sp, 1, &seen) != 0);  // ENOMEM: no longer mapped

  void* own = mmap(nullptr, 128 * 1024, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  stack_t after{};
  std::thread([&] {
    stack_t before{};
    const stack_t mine{.ss_sp = own, .ss_flags = 0, .ss_size = 128 * 1024};
    sigaltstack(&mine, &before);
    install_thread_alternate_stack();
    sigaltstack(nullptr, &after);
    sigaltstack(&before, nullptr);
  }).join();
  CHECK(after.ss_sp == own);
  munmap(own, 128 * 1024);
}
