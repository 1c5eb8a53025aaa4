// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "support/bench.hpp"

namespace bench {
namespace {

// Starts the program as the leader of a process group of its own, so that a late one can be killed with its children.
// Returns: its id and the reading end of its standard output, or -1.
pid_t start(const std::vector<std::string>& arguments, int& output) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return -1;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);

  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  pid_t child = -1;
  if (posix_spawnp(&child, argv[0], &actions, &attributes, argv.data(), environ) != 0) child = -1;

  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  if (child < 0) {
    close(ends[0]);
  } else {
    output = ends[0];
  }
  return child;
}

// Reads until the end of the stream or until the deadline.  Returns: false at the deadline.
bool read_all(int fd, std::int64_t deadline, std::string& text) {
  for (;;) {
    const std::int64_t left_ms = (deadline - now()) / 1'000'000;
    if (left_ms <= 0) return false;
    pollfd waiting{fd, POLLIN, 0};
    if (poll(&waiting, 1, static_cast<int>(left_ms)) < 1) continue;
    char buffer[4096];
    const ssize_t got = read(fd, buffer, sizeof buffer);
    if (got == 0) return true;
    if (got > 0) text.append(buffer, static_cast<std::size_t>(got));
    if (got < 0 && errno != EINTR) return true;
  }
}

double seconds(const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6; }

}  // namespace

command_result run_command(const std::vector<std::string>& arguments, double limit_seconds) {
  command_result out;
  int output = -1;
  const pid_t child = start(arguments, output);
  if (child < 0) return out;
  out.timed_out = !read_all(output, now() + static_cast<std::int64_t>(limit_seconds * 1e9), out.output);
  close(output);
  if (out.timed_out) kill(-child, SIGKILL);

  int status = 0;
  rusage usage{};
  while (wait4(child, &status, 0, &usage) < 0 && errno == EINTR) {}
  out.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  out.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  out.peak_bytes = static_cast<std::size_t>(usage.ru_maxrss) * 1024;
  return out;
}

}  // namespace bench
