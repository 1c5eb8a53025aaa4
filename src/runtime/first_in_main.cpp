// SPDX-License-Identifier: Apache-2.0
#include <coppice/runtime/first_in_main.hpp>

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

#if defined(__SANITIZE_THREAD__)
#define COPPICE_OF_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define COPPICE_OF_SANITIZER 1
#endif
#endif
#if defined(COPPICE_OF_SANITIZER)
constexpr std::size_t of_sanitizer = 1;                      // its own thread, which it deals with at a fork
#else
constexpr std::size_t of_sanitizer = 0;
#endif

/// Also threads of others count: a fork leaves them behind.
std::size_t threads() {
  const std::unique_ptr<DIR, int (*)(DIR*)> tasks(opendir("/proc/self/task"), &closedir);
  std::size_t count = 0;
  if (tasks)
    while (const dirent* d = readdir(tasks.get())) count += d->d_name[0] != '.';
  return count - of_sanitizer;
}

}  // namespace

first_hook::first_hook(void (*run)(void*, int, char**), void* context) noexcept : run_(run), context_(context) {
  *last = this;
  last = &next_;
}

void first_in_main(int argc, char** argv) {
  if (first == nullptr) return;
  if (const std::size_t n = threads(); n > 1)
    throw std::logic_error("first_in_main: the program has " + std::to_string(n) + " threads already; it belongs into the first line of main");
  last = &first;
  for (first_hook* h = std::exchange(first, nullptr); h != nullptr; h = h->next_) h->run_(h->context_, argc, argv);
}

}  // namespace coppice
