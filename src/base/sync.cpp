// SPDX-License-Identifier: Apache-2.0
//
// sync, the out-of-line part: system calls, the thread block, threads. See include/coppice/base/detail/sync.hpp.
#include <coppice/base/detail/sync.hpp>

#include <cerrno>
#include <climits>
#include <ctime>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <new>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <system_error>
#include <unistd.h>

namespace coppice::detail::sync {

/// Named for the assembler, which reads it in this_thread_block().
[[gnu::tls_model("initial-exec")]] extern thread_local constinit void* current_block asm("coppice_this_thread_block");
thread_local constinit void* current_block = nullptr;

namespace {

constexpr std::int64_t second = 1'000'000'000;

struct thread_slot {
  void* block = nullptr;
  void (*at_exit)(void*) = nullptr;
  ~thread_slot() {
    void* ending = block;
    block = nullptr;
    if (ending != nullptr && at_exit != nullptr) at_exit(ending);
    // The main thread's statics are destroyed after this and may use the library: they get a block of their own then.
    current_block = nullptr;
  }
};
thread_local thread_slot registered;             // its destructor runs at the thread's end

struct start {
  void (*body)(void*);
  void* argument;
};

bool wait_at(std::uint32_t* address, std::uint32_t expected, std::int64_t deadline) noexcept {
  timespec until{.tv_sec = deadline / second, .tv_nsec = deadline % second};
  const timespec* limit = deadline == never ? nullptr : &until;
  const long rc =
      syscall(SYS_futex, address, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected, limit, nullptr, FUTEX_BITSET_MATCH_ANY);
  return rc == 0 || errno != ETIMEDOUT;
}

void wake_at(std::uint32_t* address, int count) noexcept {
  syscall(SYS_futex, address, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count, nullptr, nullptr, 0);
}

std::uint32_t* lower_half(std::uint64_t* word) noexcept {
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the lower half of a 64-bit cell stands first");
  return reinterpret_cast<std::uint32_t*>(word);
}

}  // namespace

std::int64_t now() noexcept {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * second + t.tv_nsec;
}

bool futex_wait(futex_word& word, std::uint32_t expected, std::int64_t deadline) noexcept {
  return wait_at(word.address(), expected, deadline);
}
void futex_wake(futex_word* word, int count) noexcept { wake_at(word->address(), count); }

bool futex_wait(atomic<std::uint64_t>& word, std::uint64_t expected, std::int64_t deadline) noexcept {
  return wait_at(lower_half(word.address()), static_cast<std::uint32_t>(expected), deadline);
}
void futex_wake(atomic<std::uint64_t>* word, int count) noexcept { wake_at(lower_half(word->address()), count); }

bool heavy_fence() noexcept {
  static const bool registered_for_it = syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
  return registered_for_it && syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
}

bool has_heavy_fence() noexcept {
  static const bool has = heavy_fence();
  return has;
}

unsigned cores() noexcept {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  const int n = CPU_COUNT(&set);
  return n > 0 ? static_cast<unsigned>(n) : 1;
}

#if !defined(__x86_64__) || !defined(__ELF__) || defined(__ILP32__)
void* this_thread_block() noexcept {
  asm volatile("" ::: "memory");
  return current_block;
}
#endif

void set_this_thread_block(void* block, void (*at_exit)(void*)) noexcept {
  registered.block = block;
  registered.at_exit = at_exit;
  current_block = block;
}

thread::thread(void (*body)(void*), void* argument, const char* name) {
  static_assert(sizeof(pthread_t) <= sizeof handle_);
  auto* box = new start{body, argument};
  pthread_t id{};
  const int rc = pthread_create(
      &id, nullptr,
      [](void* raw) -> void* {
        const start s = *static_cast<start*>(raw);
        delete static_cast<start*>(raw);
        s.body(s.argument);
        return nullptr;
      },
      box);
  if (rc != 0) {
    delete box;
    throw std::system_error(rc, std::generic_category(), "coppice: cannot start a thread");
  }
  if (name != nullptr) pthread_setname_np(id, name);
  handle_ = reinterpret_cast<std::uintptr_t>(reinterpret_cast<void*>(id));
  joinable_ = true;
}

thread& thread::operator=(thread&& other) noexcept {
  if (this != &other) {
    join();
    handle_ = other.handle_;
    joinable_ = other.joinable_;
    other.joinable_ = false;
  }
  return *this;
}

thread::~thread() { join(); }

void thread::join() noexcept {
  if (!joinable_) return;
  pthread_join(reinterpret_cast<pthread_t>(handle_), nullptr);
  joinable_ = false;
}

void thread::leave() noexcept {
  if (!joinable_) return;
  pthread_detach(reinterpret_cast<pthread_t>(handle_));
  joinable_ = false;
}

void spinlock::spin(int round) noexcept {
  if (round < 64)
    relax();
  else
    sched_yield();
}

}  // namespace coppice::detail::sync
