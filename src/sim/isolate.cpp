// SPDX-License-Identifier: Apache-2.0
//
// isolate, the implementation. See isolate.hpp.
#include "sim/isolate.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

namespace coppice::internal::sim {

namespace {

[[noreturn]] void work_and_leave(const std::function<std::string()>& work, int out) {
  const std::string text = work();
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t n = write(out, text.data() + written, text.size() - written);
    if (n < 0 && errno != EINTR) break;
    if (n > 0) written += static_cast<std::size_t>(n);
  }
  _exit(written == text.size() ? 0 : 1);  // nothing is flushed twice, no destructor runs twice
}

/// Reads to the end; false if that does not come in time.
bool read_all(int in, std::chrono::steady_clock::time_point until, std::string& text) {
  std::array<char, 4096> buffer{};
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    pollfd ready{.fd = in, .events = POLLIN, .revents = 0};
    if (left.count() <= 0 || poll(&ready, 1, static_cast<int>(left.count())) == 0) return false;
    const ssize_t n = read(in, buffer.data(), buffer.size());
    if (n == 0) return true;
    if (n > 0) text.append(buffer.data(), static_cast<std::size_t>(n));
    if (n < 0 && errno != EINTR) return false;
  }
}

}  // namespace

std::optional<std::string> isolate(const std::function<std::string()>& work, std::chrono::seconds limit) {
  std::array<int, 2> ends{};
  if (std::getenv("COPPICE_SIM_NO_FORK") != nullptr || pipe(ends.data()) != 0) return work();
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    work_and_leave(work, ends[1]);
  }
  close(ends[1]);
  if (child < 0) {
    close(ends[0]);
    return work();
  }
  std::string text;
  const bool complete = read_all(ends[0], std::chrono::steady_clock::now() + limit, text);
  close(ends[0]);
  if (!complete) kill(child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  if (!complete || !WIFEXITED(status) || WEXITSTATUS(status) != 0) return {};
  return text;
}

}  // namespace coppice::internal::sim
