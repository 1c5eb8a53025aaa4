// SPDX-License-Identifier: Apache-2.0
#include "runtime/thread_glance.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace coppice::internal {

namespace {

/// The beginning of a file of the thread, as a string. Returns: whether there is any.
bool read_file(int thread_number, const char* name, char* text, std::size_t size) noexcept {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/task/%d/%s", thread_number, name);
  const int file = ::open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  const ssize_t count = ::read(file, text, size - 1);
  ::close(file);
  text[count > 0 ? count : 0] = '\0';
  return count > 0;
}

}  // namespace

int own_thread_number() noexcept {
  const int number = ::gettid();
  return number == ::getpid() ? 0 : number;
}

thread_glance glance_at(int thread_number) noexcept {
  thread_glance seen;
  char text[512];
  if (!read_file(thread_number, "stat", text, sizeof text)) return seen;
  const char* name_end = std::strrchr(text, ')');          // `17 (a name) R …`
  seen.may_run = name_end != nullptr && name_end[1] == ' ' && name_end[2] == 'R';
  if (!seen.may_run || !read_file(thread_number, "schedstat", text, sizeof text)) return {};
  char* run_end = nullptr;                                 // `time on a core, time that it waited for one, turns`
  std::strtoll(text, &run_end, 10);
  seen.core_awaited = std::strtoll(run_end, nullptr, 10);
  return seen;
}

}  // namespace coppice::internal
