// SPDX-License-Identifier: Apache-2.0
#undef COPPICE_ASSERTS
#define COPPICE_ASSERTS 1
#include <coppice/base/assert.hpp>

#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>
#include <csignal>
#include <cstdio>
#include <string>

namespace {

struct failed_assertion {
  std::string file;
  int line;
  std::string condition, text;
};

void throw_it(const char* file, int line, const char* condition, const char* text) {
  throw failed_assertion{file, line, condition, text};
}

/// Runs `body` in a child OS process. Returns: how it ended, and what it wrote to stderr.
std::pair<int, std::string> in_child(void (*body)()) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  std::fflush(nullptr);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    signal(SIGABRT, SIG_DFL);
    dup2(ends[1], STDERR_FILENO);
    body();
    _exit(0);
  }
  close(ends[1]);
  std::string text;
  char buffer[256];
  for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<std::size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return {status, text};
}

}  // namespace

TEST_CASE("assert: a true condition is evaluated once and passes") {
  int evaluated = 0;
  COPPICE_ASSERT(++evaluated == 1, "the first time");
  CHECK(evaluated == 1);
}

TEST_CASE("assert: a handler hears file, line, condition and text, and may throw") {
  const bool was_default = coppice::set_assert_handler(&throw_it) == nullptr;
  CHECK(was_default);
  bool thrown = false;
  try {
    COPPICE_ASSERT(1 + 1 == 3, "arithmetic holds");
  } catch (const failed_assertion& failure) {
    thrown = true;
    CHECK(failure.file.ends_with("assert_test.cpp"));
    CHECK(failure.line > 0);
    CHECK(failure.condition == "1 + 1 == 3");
    CHECK(failure.text == "arithmetic holds");
  }
  CHECK(thrown);
  const bool was_ours = coppice::set_assert_handler(nullptr) == &throw_it;
  CHECK(was_ours);
}

TEST_CASE("assert: without a handler the program says where and aborts") {
  auto [status, text] = in_child([] { COPPICE_ASSERT(false, "the queue is empty"); });
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGABRT);
  CHECK(text.find("assert_test.cpp:") != text.npos);
  CHECK(text.find("the queue is empty (false)") != text.npos);
}

TEST_CASE("assert: a handler that returns does not save the program") {
  auto [status, text] = in_child([] {
    coppice::set_assert_handler([](const char*, int, const char*, const char*) {});
    COPPICE_ASSERT(false, "no way on");
  });
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGABRT);
}
