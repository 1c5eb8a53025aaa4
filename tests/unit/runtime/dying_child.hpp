// SPDX-License-Identifier: Apache-2.0
//
// dying_child: runs code that is expected to kill its OS process in a forked child, and says how it died and what it wrote
// to stderr. The test must have no other threads at that moment.
#pragma once

#include <csignal>
#include <string>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace coppice::testing {

struct death {
  int signal = 0;      // 0: it exited
  int exit_status = 0;
  std::string text;    // stderr

  bool says(const char* part) const { return text.find(part) != std::string::npos; }
};

template <class Body>
death death_of(Body&& body) {
  int ends[2];
  if (pipe(ends) != 0) return {};
  const pid_t child = fork();
  if (child == 0) {
    const rlimit no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    for (int s : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) signal(s, SIG_DFL);  // the test framework has its own
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
    body();
    _exit(0);
  }
  close(ends[1]);
  death d;
  char piece[512];
  for (ssize_t n; (n = read(ends[0], piece, sizeof piece)) > 0;) d.text.append(piece, static_cast<std::size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  d.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  d.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
  return d;
}

}  // namespace coppice::testing
