// SPDX-License-Identifier: Apache-2.0
#include <coppice/runtime/first_in_main.hpp>

#include <coppice/base/abi.hpp>

#include <dirent.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

namespace coppice {

namespace {

// Constant-initialised: hooks are made while globals are.
first_hook* first = nullptr;
first_hook** last = &first;

/// The thread sanitizer has a thread of its own, and deals with it at a fork.
constexpr std::size_t expected_threads = abi_here().sanitizer == "thread" ? 2 : 1;

/// Also threads of others count: a fork leaves them behind.
std::size_t threads() {
  const std::unique_ptr<DIR, int (*)(DIR*)> tasks(opendir("/proc/self/task"), &closedir);
  std::size_t count = 0;
  if (tasks)
    while (const dirent* d = readdir(tasks.get())) count += d->d_name[0] != '.';
  return count;
}

}  // namespace

first_hook::first_hook(void (*run)(void*, int, char**), void* context) noexcept : run_(run), context_(context) {
  *last = this;
  last = &next_;
}

void first_in_main(int argc, char** argv) {
  if (first == nullptr) return;
  if (const std::size_t n = threads(); n > expected_threads)
    throw std::logic_error("first_in_main: the program has " + std::to_string(n) + " threads already; it belongs into the first line of main");
  last = &first;
  for (first_hook* h = std::exchange(first, nullptr); h != nullptr; h = h->next_) h->run_(h->context_, argc, argv);
}

}  // namespace coppice
