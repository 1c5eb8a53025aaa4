// SPDX-License-Identifier: Apache-2.0
#include "runtime/ending_signals.hpp"

#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <stdexcept>
#include <thread>

using namespace coppice::internal;

namespace {

/// The wait status of a child that runs `f`. No thread may run here meanwhile.
template <class F>
int status_of_child(F&& f) {
  const pid_t child = fork();
  if (child == 0) {
    f();
    _exit(0);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return status;
}

}  // namespace

TEST_CASE("EX-124 the first SIGTERM or SIGINT is told to who waits, whichever it is") {
  for (const int signal : {SIGTERM, SIGINT}) {
    ending_signals s;
    std::raise(signal);
    CHECK(s.wait() == signal);
    CHECK(s.wait(sync::now()) == 0);
  }
}

TEST_CASE("EX-124 a second signal, the same or the other one, ends the program by itself") {
  for (const int first : {SIGTERM, SIGINT})
    for (const int second : {SIGTERM, SIGINT}) {
      const int status = status_of_child([&] {
        ending_signals s;
        std::raise(first);
        if (s.wait() != first) _exit(1);
        std::raise(second);
      });
      CHECK(WIFSIGNALED(status));
      CHECK(WTERMSIG(status) == second);
    }
}

TEST_CASE("EX-124 what the program was started to ignore stays ignored") {
  CHECK(status_of_child([] {
          std::signal(SIGINT, SIG_IGN);
          ending_signals s;
          std::raise(SIGINT);
          std::raise(SIGINT);
          if (s.wait(sync::now()) != 0) _exit(1);
          std::raise(SIGTERM);
          std::raise(SIGINT);
          if (s.wait() != SIGTERM) _exit(2);
        }) == 0);
}

TEST_CASE("EX-124 afterwards everything is as it was before") {
  static int seen = 0;
  std::signal(SIGTERM, [](int) { ++seen; });
  { ending_signals s; std::raise(SIGTERM); }
  std::raise(SIGTERM);
  CHECK(seen == 1);
  std::signal(SIGTERM, SIG_DFL);
}

TEST_CASE("EX-124 the wait ends when somebody interrupts it; there is one at a time") {
  ending_signals s;
  std::thread other([] { ending_signals::interrupt(); });
  CHECK(s.wait() == 0);
  other.join();
  CHECK_THROWS_AS(ending_signals(), std::logic_error);
  std::thread sender([] { ::kill(getpid(), SIGINT); });
  CHECK(s.wait() == SIGINT);
  sender.join();
}
