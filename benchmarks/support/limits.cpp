// SPDX-License-Identifier: Apache-2.0
//
// limits: what the machine can do at all. Every fast operation of the library is a sum of these, so they come first in a
// table, and a reader sees from them how far his machine is from another one.
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "support/bench.hpp"

namespace bench {
namespace {

// --- one core -----------------------------------------------------------------------------------------------------------

double fetch_add(state& s) {
  std::atomic<std::uint64_t> cell{0};
  return s.time([&](std::uint64_t n) {
    while (n--) cell.fetch_add(1, std::memory_order_acq_rel);
  });
}

double compare_and_swap(state& s) {
  std::atomic<std::uint64_t> cell{0};
  return s.time([&](std::uint64_t n) {
    std::uint64_t expected = cell.load(std::memory_order_relaxed);
    while (n--) {
      if (cell.compare_exchange_strong(expected, expected + 1, std::memory_order_acq_rel)) ++expected;
    }
  });
}

double exchange(state& s) {
  std::atomic<std::uint64_t> cell{0};
  return s.time([&](std::uint64_t n) {
    while (n--) keep(cell.exchange(n, std::memory_order_acq_rel));
  });
}

struct guarded_counter {
  std::mutex mutex;
  std::uint64_t value = 0;

  // Out of line, because a call that crosses a library's border is too.
  [[gnu::noinline]] std::uint64_t add(std::uint64_t n) {
    const std::lock_guard lock(mutex);
    return value += n;
  }
};

double mutex_call(state& s) {
  guarded_counter counter;
  return s.time([&](std::uint64_t n) {
    while (n--) keep(counter.add(1));
  });
}

struct callee {
  virtual ~callee() = default;
  virtual std::uint64_t call(std::uint64_t n) = 0;
};
struct adding_callee final : callee {
  std::uint64_t sum = 0;
  std::uint64_t call(std::uint64_t n) override { return sum += n; }
};

double virtual_call(state& s) {
  const std::unique_ptr<callee> object = std::make_unique<adding_callee>();
  callee* target = object.get();
  return s.time([&](std::uint64_t n) {
    while (n--) {
      asm volatile("" : "+r"(target));  // or the compiler calls the only class there is directly
      keep(target->call(n));
    }
  });
}

double clock_read(state& s) {
  return s.time([](std::uint64_t n) {
    while (n--) keep(now());
  });
}

double cycle_counter(state& s) {
  return s.time([](std::uint64_t n) {
#if defined(__x86_64__)
    while (n--) keep(__builtin_ia32_rdtsc());
#else
    while (n--) keep(now());
#endif
  });
}

double malloc_and_free(state& s) {
  return s.time([](std::uint64_t n) {
    while (n--) {
      void* block = std::malloc(64);
      keep(block);
      std::free(block);
    }
  });
}

double empty_system_call(state& s) {
  return s.time([](std::uint64_t n) {
    while (n--) keep(syscall(SYS_getppid));
  });
}

[[gnu::noinline]] void throw_an_int(std::uint64_t n) { throw static_cast<int>(n & 1); }

double throw_and_catch(state& s) {
  return s.time([](std::uint64_t n) {
    while (n--) {
      try {
        throw_an_int(n);
      } catch (int caught) {
        keep(caught);
      }
    }
  });
}

double first_touch(state& s) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::uint64_t pages = s.count(8192);
  void* area = mmap(nullptr, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (area == MAP_FAILED) throw std::runtime_error("mmap refused the test area");
  madvise(area, pages * page, MADV_NOHUGEPAGE);
  const double ns = s.each(pages, [&] {
    for (std::uint64_t i = 0; i < pages; ++i) static_cast<volatile char*>(area)[i * page] = 1;
  });
  munmap(area, pages * page);
  return ns;
}

double thread_create_and_join(state& s) {
  return s.time([](std::uint64_t n) {
    while (n--) std::thread([] {}).join();
  }) / 1e3;
}

// --- two cores ----------------------------------------------------------------------------------------------------------

double contended_fetch_add(state& s) {
  alignas(128) std::atomic<std::uint64_t> cell{0};
  const std::uint64_t each = s.count(2'000'000);
  return in_threads(2,
                    [&](int thread) {
                      pin_to_core(thread);
                      for (std::uint64_t i = 0; i < each; ++i) cell.fetch_add(1, std::memory_order_acq_rel);
                    }) /
         static_cast<double>(2 * each);
}

double mutex_two_threads(state& s) {
  guarded_counter counter;
  const std::uint64_t each = s.count(2'000'000);
  return in_threads(2,
                    [&](int) {
                      for (std::uint64_t i = 0; i < each; ++i) keep(counter.add(1));
                    }) /
         static_cast<double>(2 * each);
}

void futex(std::atomic<std::uint32_t>& word, int operation, std::uint32_t value) {
  syscall(SYS_futex, &word, operation, value, nullptr, nullptr, 0);
}

// From the waker's decision until the sleeper runs. The pause lets the sleeper's core really go to sleep.
double futex_wake(state& s) {
  constexpr std::int64_t pause_ns = 150'000;
  std::atomic<std::uint32_t> word{0};
  std::atomic<std::int64_t> woken_at{0};
  const auto rounds = static_cast<std::uint32_t>(s.count(400));
  std::vector<double> samples;
  in_threads(2, [&](int thread) {
    pin_to_core(thread);
    for (std::uint32_t round = 1; round <= rounds; ++round) {
      if (thread == 1) {
        while (word.load() != round) futex(word, FUTEX_WAIT_PRIVATE, round - 1);
        woken_at.store(now());
        continue;
      }
      for (const std::int64_t until = now() + pause_ns; now() < until;) {}
      woken_at.store(0);
      const std::int64_t begin = now();
      word.store(round);
      futex(word, FUTEX_WAKE_PRIVATE, 1);
      std::int64_t end;
      while ((end = woken_at.load()) == 0) std::this_thread::yield();
      samples.push_back(static_cast<double>(end - begin));
    }
  });
  std::nth_element(samples.begin(), samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2), samples.end());
  return samples[samples.size() / 2] / 1e3;
}

double ping_pong_row(state& s) {
  const double ns = ping_pong_gauge(s.count(500'000));
  if (ns == 0) throw std::runtime_error("there is one core only");
  return ns;
}

}  // namespace

double ping_pong_gauge(std::uint64_t round_trips) {
  if (std::thread::hardware_concurrency() < 2) return 0;
  alignas(128) std::atomic<std::uint64_t> ball{0};
  return in_threads(2,
                    [&](int thread) {
                      pin_to_core(thread);
                      const auto own = static_cast<std::uint64_t>(thread);
                      for (std::uint64_t i = 0; i < round_trips; ++i) {
                        // On a loaded machine the other side may not be running: give it the core now and then.
                        for (int spins = 0; ball.load(std::memory_order_acquire) != 2 * i + own; ++spins) {
                          if (spins == 100'000) std::this_thread::yield(), spins = 0;
                        }
                        ball.store(2 * i + own + 1, std::memory_order_release);
                      }
                    }) /
         static_cast<double>(round_trips);
}

void add_physical_limits(suite& suite) {
  suite.group("0 physical limits");
  suite.row("atomic fetch_add", {.run = fetch_add});
  suite.row("atomic compare-and-swap", {.run = compare_and_swap});
  suite.row("atomic exchange", {.run = exchange});
  suite.row("std::mutex", {.run = mutex_call});
  suite.row("virtual call", {.run = virtual_call});
  suite.row("clock read", {.run = clock_read});
  suite.row("cycle counter (rdtsc)", {.run = cycle_counter});
  suite.row("malloc + free, 64 bytes", {.run = malloc_and_free});
  suite.row("empty system call", {.run = empty_system_call});
  suite.row("throw + catch, one frame", {.run = throw_and_catch});
  suite.row("first touch of a page", {.run = first_touch});
  suite.row("thread create + join", {.unit = "us", .run = thread_create_and_join});
  suite.row("cache line to the other core and back", {.two_cores = true, .run = ping_pong_row});
  suite.row("atomic fetch_add, 2 threads on one line", {.two_cores = true, .run = contended_fetch_add});
  suite.row("std::mutex, 2 threads", {.two_cores = true, .run = mutex_two_threads});
  suite.row("futex wake of a sleeper on the other core", {.unit = "us", .two_cores = true, .run = futex_wake});
}

}  // namespace bench
