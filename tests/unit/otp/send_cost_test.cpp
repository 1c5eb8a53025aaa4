// SPDX-License-Identifier: Apache-2.0
//
// What a send costs of its sender's budget: who floods a process that lags behind gives its worker to others much sooner than
// one whose receivers keep up.
#include <doctest/doctest.h>

#include <coppice/otp/gen_server.hpp>
#include <coppice/process/process.hpp>
#include <coppice/process/process_info.hpp>

#include "support/eventually.hpp"
#include "support/one_worker.hpp"

#include <atomic>
#include <memory>
#include <optional>

using namespace coppice;
using namespace coppice::testing;

namespace {

struct note {};
struct ask { server_ref<struct answers> whom; };
struct question { using reply = void; };
struct answer_now {};

/// Answers when it is told to.
struct answers {
  std::optional<from<void>> open;
  void handle_call(question, from<void> f) { open.emplace(std::move(f)); }
  void handle_cast(answer_now) { std::move(*open).reply(); }
};

struct receiver {
  void handle_cast(note) {}
  void handle_cast(ask a) { call(a.whom, question{}, infinity); }
};

/// How many casts to `to` the running process makes before somebody else gets a turn; at most `most`.
int casts_until_another_runs(const server_ref<receiver>& to, int most) {
  const auto another_ran = std::make_shared<std::atomic<bool>>(false);
  spawn([=] { *another_ran = true; });
  int sent = 0;
  for (; sent != most && !*another_ran; ++sent) cast(to, note{});
  return sent;
}

}  // namespace

TEST_CASE("a process that waits for an answer takes nothing in: who sends to it soon gives way") {
  const one_worker w;
  const auto asked = start<answers>();
  const auto waits = start<receiver>(), idle = start<receiver>();
  std::atomic<int> to_waiting{0}, to_idle{0};
  spawn([&] {
    to_idle = casts_until_another_runs(idle, 1'000);
    cast(waits, ask{asked});
    while (process_info(waits.id())->status != process_status::waiting) yield();
    to_waiting = casts_until_another_runs(waits, 1'000);
    cast(asked, answer_now{});
  });
  CHECK(eventually([&] { return to_waiting != 0; }));
  CHECK(to_idle == 1'000);                          // it has a budget of 4,000
  CHECK(to_waiting < 100);
  stop(waits);
  stop(idle);
  stop(asked);
}
