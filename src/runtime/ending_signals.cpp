// SPDX-License-Identifier: Apache-2.0
#include "runtime/ending_signals.hpp"

#include <cerrno>
#include <climits>
#include <csignal>
#include <stdexcept>

namespace coppice::internal {

namespace {

constexpr int signals[] = {SIGTERM, SIGINT};
constexpr std::uint32_t interrupted = 0x100;  // above every signal's number

constinit sync::futex_word told;
constinit sync::atomic<std::uint32_t> in_use;
struct sigaction before[2];

bool is_ignored(const struct sigaction& a) noexcept { return (a.sa_flags & SA_SIGINFO) == 0 && a.sa_handler == SIG_IGN; }

void tell(std::uint32_t what) noexcept {
  told.fetch_or(what, sync::release);
  sync::futex_wake(&told, INT_MAX);
}

void first_signal(int signal) {
  const int errno_of_interrupted = errno;
  struct sigaction usual{};
  usual.sa_handler = SIG_DFL;
  for (std::size_t i = 0; i < 2; ++i)
    if (!is_ignored(before[i])) sigaction(signals[i], &usual, nullptr);
  tell(static_cast<std::uint32_t>(signal));
  errno = errno_of_interrupted;
}

}  // namespace

ending_signals::ending_signals() {
  if (in_use.exchange(1, sync::acq_rel) != 0) throw std::logic_error("SIGTERM and SIGINT are waited for already: there is one run() in a program");
  told.store(0, sync::relaxed);
  struct sigaction mine{};
  mine.sa_handler = &first_signal;
  mine.sa_flags = SA_ONSTACK;  // a fiber's stack may have no room for the frame. Our own wait is to end, so no SA_RESTART
  sigemptyset(&mine.sa_mask);
  sigset_t both;
  sigemptyset(&both);
  for (std::size_t i = 0; i < 2; ++i) {
    sigaddset(&mine.sa_mask, signals[i]);
    sigaddset(&both, signals[i]);
    sigaction(signals[i], nullptr, &before[i]);
  }
  for (std::size_t i = 0; i < 2; ++i)
    if (!is_ignored(before[i])) sigaction(signals[i], &mine, nullptr);
  pthread_sigmask(SIG_UNBLOCK, &both, nullptr);
}

ending_signals::~ending_signals() {
  for (std::size_t i = 0; i < 2; ++i) sigaction(signals[i], &before[i], nullptr);
  in_use.store(0, sync::release);
}

int ending_signals::wait(std::int64_t deadline) noexcept {
  for (;;) {
    if (const std::uint32_t what = told.exchange(0, sync::acquire)) return static_cast<int>(what & ~interrupted) & 0xFF;
    if (!sync::futex_wait(told, 0, deadline)) return 0;
  }
}

void ending_signals::interrupt() noexcept { tell(interrupted); }

}  // namespace coppice::internal
