// SPDX-License-Identifier: Apache-2.0
//
// A whole runtime: servers that call one another on two workers with the monitor thread, a kill, a stop, the end.
#include <coppice/otp/gen_server.hpp>

#include "sim/runtime/world.hpp"

namespace {

using namespace coppice;
using namespace coppice::testing;

struct add { using reply = int; int n; };
struct note { int n; };
struct relay { using reply = int; int n; };

struct adder {
  int total = 0;
  int handle_call(add a) { return total += a.n; }
  void handle_cast(note n) { total += n.n; }
};

/// Asks another server while it is asked.
struct front {
  server_ref<adder> behind;
  explicit front(server_ref<adder> s) : behind(s) {}
  int handle_call(relay r) { return call(behind, add{r.n}, infinity); }
};

void servers() {
  world w({.workers = 2, .monitor = true});
  start_line line(2);
  const auto behind = start<adder>();
  const auto before = start<front>({}, behind);
  const auto doomed = start<front>({}, behind);
  int answered = 0;
  {
    runs client([&] {
      w.enter();
      line.pass();
      for (int i = 0; i != 2; ++i) {
        cast(behind, note{10});
        if (try_call(doomed, relay{100}, infinity)) ++answered;
      }
    }, "client");
    line.pass();
    const pid process = spawn([before] { call(before, relay{1}, infinity); });
    call(before, relay{1}, infinity);
    exit(doomed.id(), exit_reason::kill);
    await_end(process);
  }
  await_end(doomed.id());
  const int total = call(behind, add{0}, infinity);
  sim::check(total % 100 == 22, "calls and casts: each once");
  sim::check(total / 100 >= answered && total / 100 <= 2, "an answered call that was not handled");
  stop(before);
  stop(behind);
}

const sim::scenario scenarios[] = {{"whole_servers", &servers, whole_program()}};

}  // namespace
