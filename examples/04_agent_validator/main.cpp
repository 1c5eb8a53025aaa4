// SPDX-License-Identifier: Apache-2.0
//
// An agent with a validator: how it fails, is restarted, goes on in spite of errors; where its actions run; sends that are held;
// an agent that is a process, under a supervisor.
#include <coppice/otp/supervisor.hpp>
#include <coppice/process/process.hpp>
#include <coppice/state/agent.hpp>
#include <coppice/state/agent_ref.hpp>
#include <coppice/state/arithmetic.hpp>

#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

using namespace coppice;

static bool expect(bool good, const char* what) {
  std::printf("%s: %s\n", good ? "ok" : "NOT SO", what);
  return good;
}

int main() {
  bool good = true;

  // [validator]
  agent<int> a(0, {.validator = [](int x) { return x >= 0; }});
  a.send(inc);
  await(a);
  good &= expect(*a == 1, "the action has run, in a thread of the executor");
  a.send(dec);
  a.send(dec);                                     // -1 is refused: from here on the agent is failed
  while (a.error() == nullptr) sleep_for(100us);
  good &= expect(*a == 0, "it keeps the last good value");
  try {
    a.send(inc);
  } catch (const needs_restart& e) {
    good &= expect(true, e.what());                // agent: it has failed and needs a restart
  }
  a.restart(5);
  a.send(inc);
  await(a);
  good &= expect(*a == 6, "restarted");
  // [/validator]

  // [go_on]
  agent<int> tough(0, {.error_handler = [](agent<int>&, const std::exception_ptr&) { std::puts("an action failed"); }});
  tough.send(inc).send([](int) -> int { throw std::string("no"); }).send(inc);
  await(tough);
  good &= expect(*tough == 2, "with a handler it goes on, as if the failed action had not been");
  // [/go_on]

  // [held]
  agent<std::vector<std::string>> log;
  agent<int> counter(0);
  counter.send([&](int n) {
    log.send([n](std::vector<std::string> l) { l.push_back("after " + std::to_string(n)); return l; });
    return n + 1;                                  // only when this is the value does the log hear of it
  });
  await(counter);
  await(log);
  good &= expect(*counter == 1 && log->front() == "after 0", "what an action sends is held until it is over");
  // [/held]

  // [process]
  const supervisor tree = start_supervisor({.name = "counters", .children = {agent_child({.name = "hits"}, [](int from) { return from; }, 10)}});
  const agent_ref<int> hits("hits");
  cast(hits, inc);                                 // returns at once
  good &= expect(get(hits) == 11 && get(hits, [](int n) { return n > 10; }), "the functions run in the agent's process");
  const pid before = hits.id();
  try {
    update(hits, [](int) -> int { throw std::runtime_error("no"); });
  } catch (const agent_error& e) {
    good &= expect(e.is(agent_error::ended), e.what());  // agent: it has ended: std::runtime_error: no
  }
  while (!hits.id() || hits.id() == before) sleep_for(100us);
  good &= expect(get(hits) == 10, "its supervisor has started it again");
  stop(tree.id());
  // [/process]

  // [executors]
  counter.send_off([](int n) { sleep_for(1ms); return n + 1; });  // may block: has a pool that grows
  fixed_executor mine(1);
  counter.send_via(mine, inc);                     // order is kept over executors
  await(counter);
  good &= expect(*counter == 3, "three executors, one order");
  // [/executors]
  return good ? 0 : 1;
}
