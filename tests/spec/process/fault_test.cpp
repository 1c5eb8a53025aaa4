// SPDX-License-Identifier: Apache-2.0
//
// What the program says when a process overflows its stack or touches what it must not: it names the process and dies of
// the signal. A program of its own, because its children must start without other threads.
#include "unit/runtime/dying_child.hpp"

#include "spec/process/world.hpp"

#include <atomic>
#include <csignal>
#include <cstdio>

using namespace coppice;
using namespace coppice::testing;

namespace {

volatile bool is_endless = true;

[[gnu::noinline]] int recurse(volatile char* above) {
  volatile char frame[256];
  frame[0] = above != nullptr ? above[0] : '\0';
  const int deeper = is_endless ? recurse(frame) : 0;
  return deeper + frame[0];                        // not a tail call
}

/// Runs `body` in a process of a fresh program, after a line with the process's pid.
template <class F>
death dies_in_process(F body, std::size_t stack = 0) {
  return death_of([&] {
    runtime r({.workers = 2});
    const runtime_scope scope(r);
    const monitored m = spawn_monitor([&] {
      std::fprintf(stderr, "%s\n", to_text(self()).c_str());
      body();
    }, {.stack_bytes = stack});
    static_cast<void>(reason_of(m.ref));
  });
}

}  // namespace

TEST_CASE("PR-11 a stack overflow ends the program with a report that names the process") {
  for (const std::size_t stack : {std::size_t{0}, std::size_t{16} * 1024, std::size_t{256} * 1024}) {
    const death d = dies_in_process([] { recurse(nullptr); }, stack);
    CAPTURE(d.text);
    CHECK(d.signal == SIGSEGV);
    const std::string who = d.text.substr(0, d.text.find('\n'));
    CHECK(d.text.find("coppice: stack overflow in process process " + who) != std::string::npos);
  }
}

TEST_CASE("PR-11 a wild access ends the program with a report that names the process") {
  const death d = dies_in_process([] {
    volatile std::uintptr_t address = 16;
    *reinterpret_cast<volatile int*>(address) = 1;  // NOLINT: the point of it
  });
  CAPTURE(d.text);
  CHECK(d.signal == SIGSEGV);
  const std::string who = d.text.substr(0, d.text.find('\n'));
  CHECK(d.text.find("coppice: signal SIGSEGV at address 0x10") != std::string::npos);
  CHECK(d.text.find("process " + who) != std::string::npos);
}

TEST_CASE("OL-23 a runtime that is destroyed with a process that refuses to die says its name on stderr and goes on") {
  const death d = death_of([] {
    static std::atomic<bool> running{false};
    {
      runtime r({.workers = 2, .stop_timeout = std::chrono::milliseconds(20)});
      const runtime_scope scope(r);
      spawn([] {
        running = true;
        for (;;) {}
      });
      while (!running) {}
    }
    _exit(7);
  });
  CAPTURE(d.text);
  CHECK(d.exit_status == 7);
  CHECK(d.text.find("coppice: did not end: process <0.") != std::string::npos);
}
