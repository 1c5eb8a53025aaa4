// SPDX-License-Identifier: Apache-2.0
//
// fault_handler: the report, the handler, alternate stacks. See fault_handler.hpp.
#include "runtime/fault_handler.hpp"

#include "runtime/fiber.hpp"

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <string_view>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

namespace coppice::internal {

namespace {

struct watched_signal {
  int number;
  std::string_view name;
};
constexpr watched_signal watched[] = {{SIGSEGV, "SIGSEGV"}, {SIGBUS, "SIGBUS"}, {SIGFPE, "SIGFPE"}, {SIGILL, "SIGILL"}};
constexpr std::size_t watched_count = sizeof watched / sizeof *watched;

struct sigaction former[watched_count];  // written before our handler can run
sync::atomic<std::uint32_t> is_installed;
sync::atomic<const fault_describer*> describer_in_use;

constexpr std::size_t most_pools = 64;
sync::atomic<const fiber_pool*> pools[most_pools];  // release by watch_fibers, acquire by the handler

// --- where a thread was interrupted ----------------------------------------------------------------------------------

struct interruption {
  std::uintptr_t instruction;
  std::uintptr_t stack_pointer;
};

#if defined(__x86_64__)
interruption interrupted_at(const ucontext_t& c) noexcept {
  return {static_cast<std::uintptr_t>(c.uc_mcontext.gregs[REG_RIP]),
          static_cast<std::uintptr_t>(c.uc_mcontext.gregs[REG_RSP])};
}
#elif defined(__aarch64__)
interruption interrupted_at(const ucontext_t& c) noexcept { return {c.uc_mcontext.pc, c.uc_mcontext.sp}; }
#else
interruption interrupted_at(const ucontext_t&) noexcept { return {0, 0}; }
#endif

struct found_fiber {
  const fiber* at = nullptr;  // null: the address is in no stack of ours
  bool in_guard = false;
};

found_fiber find_fiber(std::uintptr_t address) noexcept {
  for (const auto& entry : pools) {
    const fiber_pool* pool = entry.load(sync::acquire);
    stack_pool::location l;
    if (pool != nullptr && pool->stacks().find(reinterpret_cast<const void*>(address), l))
      return {.at = fiber_pool::at(l.where), .in_guard = l.in_guard};
  }
  return {};
}

// --- the line --------------------------------------------------------------------------------------------------------

class line {
 public:
  void text(std::string_view t) noexcept {
    for (char c : t)
      if (used_ < sizeof text_ - 1) text_[used_++] = c;
  }
  void hexadecimal(std::uintptr_t v) noexcept {
    char digits[2 * sizeof v];
    std::size_t n = 0;
    do digits[n++] = "0123456789abcdef"[v & 15];
    while ((v >>= 4) != 0);
    text("0x");
    while (n > 0) text({&digits[--n], 1});
  }
  void decimal(std::size_t v) noexcept {
    char digits[20];
    std::size_t n = 0;
    do digits[n++] = static_cast<char>('0' + v % 10);
    while ((v /= 10) != 0);
    while (n > 0) text({&digits[--n], 1});
  }
  void process(void* p) noexcept {
    const fault_describer* d = describer_in_use.load(sync::acquire);
    char who[512];
    std::size_t n = d != nullptr ? d->describe(p, who, sizeof who) : 0;
    if (n > sizeof who) n = sizeof who;
    if (n == 0) return text(p == nullptr ? "outside of any process" : "in an unnamed process");
    text("in process ");
    text({who, n});
  }
  void write_out() noexcept {
    text_[used_++] = '\n';
    [[maybe_unused]] const auto rc = write(STDERR_FILENO, text_, used_);
  }

 private:
  char text_[1024];
  std::size_t used_ = 0;
};

bool is_sent(const siginfo_t& info) noexcept { return info.si_code <= 0; }  // by kill and the like, not by the processor

void report(const watched_signal& signal, const siginfo_t& info, const ucontext_t& context) noexcept {
  const auto address = reinterpret_cast<std::uintptr_t>(info.si_addr);
  const interruption where = interrupted_at(context);
  line out;
  out.text("coppice: ");
  if (const found_fiber hit = find_fiber(address); !is_sent(info) && hit.in_guard && hit.at != nullptr) {
    out.text("stack overflow ");
    out.process(hit.at->process);
    out.text(" (stack of ");
    out.decimal(stack_bytes(hit.at->size) / 1024);
    out.text(" KiB)");
  } else {
    const found_fiber on = find_fiber(where.stack_pointer);
    out.text("signal ");
    out.text(signal.name);
    if (is_sent(info)) {
      out.text(" sent by OS process ");
      out.decimal(static_cast<std::size_t>(info.si_pid));
    } else {
      out.text(" at address ");
      out.hexadecimal(address);
    }
    out.text(" (instruction ");
    out.hexadecimal(where.instruction);
    out.text(") ");
    out.process(on.at != nullptr ? on.at->process : nullptr);
  }
  out.write_out();
}

// --- the handler -----------------------------------------------------------------------------------------------------

std::size_t place_of(int number) noexcept {
  std::size_t i = 0;
  while (watched[i].number != number) ++i;
  return i;
}

void on_fault(int number, siginfo_t* info, void* context) {
  const int errno_before = errno;
  const std::size_t place = place_of(number);
  report(watched[place], *info, *static_cast<const ucontext_t*>(context));
  sigaction(number, &former[place], nullptr);
  // A fault comes back by itself when the instruction is run again; what was sent has to be sent again. It is blocked
  // until this handler returns.
  if (is_sent(*info)) syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), number);
  errno = errno_before;
}

// --- alternate stacks ------------------------------------------------------------------------------------------------

// What the kernel saves for a handler, wide vector registers included.
std::size_t kernel_frame_bytes() noexcept { return static_cast<std::size_t>(sysconf(_SC_MINSIGSTKSZ)); }

class alternate_stack {
 public:
  ~alternate_stack() {
    if (memory_ == nullptr) return;
    stack_t now{};
    sigaltstack(nullptr, &now);
    const stack_t off{.ss_sp = nullptr, .ss_flags = SS_DISABLE, .ss_size = 0};
    if (now.ss_sp == memory_ + guard_bytes_) sigaltstack(&off, nullptr);
    munmap(memory_, guard_bytes_ + size_);
  }

  void install() noexcept {
    if (memory_ != nullptr) return;
    stack_t now{};
    sigaltstack(nullptr, &now);
    if ((now.ss_flags & SS_DISABLE) == 0 && now.ss_size >= kernel_frame_bytes() + least_room) return;
    guard_bytes_ = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    size_ = (kernel_frame_bytes() + room + guard_bytes_ - 1) / guard_bytes_ * guard_bytes_;
    void* m = mmap(nullptr, guard_bytes_ + size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (m == MAP_FAILED) return;  // reports of overflows are missed, nothing else
    memory_ = static_cast<std::byte*>(m);
    mprotect(memory_, guard_bytes_, PROT_NONE);
    const stack_t ours{.ss_sp = memory_ + guard_bytes_, .ss_flags = 0, .ss_size = size_};
    sigaltstack(&ours, nullptr);
  }

 private:
  static constexpr std::size_t least_room = 8 * 1024;  // what our handler needs
  static constexpr std::size_t room = 64 * 1024;       // what a chained one may want; untouched pages cost nothing

  std::byte* memory_ = nullptr;
  std::size_t guard_bytes_ = 0;
  std::size_t size_ = 0;
};

thread_local alternate_stack this_threads_alternate_stack;

}  // namespace

void set_fault_describer(const fault_describer& describer) noexcept {
  describer_in_use.store(&describer, sync::release);
}

void install_fault_handler() noexcept {
  if (is_installed.exchange(1, sync::relaxed) != 0) return;
  struct sigaction ours{};
  ours.sa_sigaction = &on_fault;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&ours.sa_mask);
  for (std::size_t i = 0; i < watched_count; ++i) {
    sigaction(watched[i].number, nullptr, &former[i]);
    sigaction(watched[i].number, &ours, nullptr);
  }
}

void watch_fibers(const fiber_pool& pool) noexcept {
  for (auto& entry : pools) {
    const fiber_pool* expected = nullptr;
    if (entry.cas(expected, &pool, sync::release)) return;
  }
}

void forget_fibers(const fiber_pool& pool) noexcept {
  for (auto& entry : pools) {
    const fiber_pool* expected = &pool;
    if (entry.cas(expected, nullptr, sync::relaxed)) return;
  }
}

void install_thread_alternate_stack() noexcept { this_threads_alternate_stack.install(); }

}  // namespace coppice::internal
