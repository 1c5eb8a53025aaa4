// SPDX-License-Identifier: Apache-2.0
//
// Agents: senders against the runner, failure against restart, sends that are held back.
#include <coppice/state/agent.hpp>
#include <coppice/state/arithmetic.hpp>
#include <coppice/state/ref.hpp>

#include "runtime/epoch.hpp"
#include "sim/runtime/world.hpp"
#include "state/thread_pool.hpp"
#include "state/transaction.hpp"

namespace {

using namespace coppice;
using namespace coppice::testing;

void begin() {
  whole_program().before();
  internal::renew_transactions();
  internal::limits_of_epochs = {.boxes = 2, .batches = 2};
  internal::limits_of_pools = {.spins = 1, .naps = 2};
}
void finish() {
  internal::drop_transactions();
  internal::drop_program_state();
}
sim::scenario_options with_agents() {
  sim::scenario_options o = whole_program();
  o.before = &begin;
  o.finish = &finish;
  return o;
}

/// Two send to one agent; none of their actions is lost, doubled or overtaken by a later one of the same sender.
void two_senders() {
  {
    fixed_executor pool(1);
    const executor_scope scope(pool, pool);
    sync::var<int> last[2];
    agent<int> a(0);
    start_line line(2);
    const auto sends = [&](int who) {
      detail::here();
      line.pass();
      for (int i = 1; i <= 2; ++i)
        a.send_via(pool, [&last, who, i](int x) {
          sim::check(last[who].get() == i - 1, "an action was overtaken");
          last[who] = i;
          return x + 1;
        });
    };
    runs one([&] { sends(1); });
    sends(0);
    one.join();
    await(a);
    sim::check(*a == 4, "an action was lost");
  }
  internal::reclaim();
}

/// The runner works off what two have sent while they go on sending.
void while_sending() {
  {
    fixed_executor pool(1);
    const executor_scope scope(pool, pool);
    agent<int> a(0);
    sync::atomic<int> begun{0, "begun"};
    const auto sends = [&] {
      detail::here();
      for (int i = 0; i < 4; ++i) {
        a.send_via(pool, inc);
        if (i == 0) begun.fetch_add(1, sync::relaxed);
      }
    };
    detail::here();
    a.send_via(pool, [&begun](int x) {
      while (begun.load(sync::relaxed) != 2) sync::relax();
      return x + 1;
    });
    runs one(sends);
    sends();
    one.join();
    await(a);
    sim::check(*a == 9, "an action was lost");
  }
  internal::reclaim();
}

/// The agent fails somewhere among what two send; it is restarted, and all that was taken runs.
void restart() {
  {
    fixed_executor pool(1);
    const executor_scope scope(pool, pool);
    agent<int> a(0);
    sync::atomic<int> taken{0, "taken"};
    start_line line(2);
    const auto send_one = [&](bool fails) {
      try {
        if (fails) a.send_via(pool, [](int) -> int { throw 1; });
        else {
          a.send_via(pool, inc);
          taken.fetch_add(1, sync::relaxed);
        }
      } catch (const needs_restart&) {
      }
    };
    runs one([&] {
      detail::here();
      line.pass();
      send_one(false);
      send_one(false);
    });
    detail::here();
    line.pass();
    send_one(true);
    while (a.error() == nullptr) sync::relax();
    const int before = *a;
    a.restart(before);
    one.join();
    await(a);
    sim::check(*a == taken.load(sync::relaxed), "an action that was taken did not run");
  }
  internal::reclaim();
}

/// An action holds back what it sends, itself or in a transaction, until it is over.
void held_sends() {
  {
    fixed_executor pool(2);
    const executor_scope scope(pool, pool);
    agent<int> a(0), b(0);
    ref<int> r(0);
    const auto action = [&](int x) {
      b.send_via(pool, [&](int y) {
        sim::check(*a > y, "a held send went out before its action was over");
        return y + 1;
      });
      transact([&] {
        r.alter(inc);
        b.send_via(pool, [](int y) { return y; });
      });
      return x + 1;
    };
    a.send(action);
    a.send(action);
    await(a);
    await(b);
    sim::check(*b == 2 && *r == 2, "a held send was lost");
  }
  internal::reclaim();
}

/// Who awaits an agent runs what has not begun, while another one sends and the pool's thread takes jobs: each action runs once, in
/// order, and on a thread of its executor unless that lends.
void lent() {
  {
    fixed_executor pool(1), off(1);
    struct strict : executor {                   // lends nothing
      fixed_executor* inner = nullptr;
      bool execute(job t) override { return inner->execute(t); }
    } own;
    own.inner = &off;
    const executor_scope scope(pool, pool);
    sync::var<int> last[2];
    agent<int> a(0);
    start_line line(2);
    const auto send = [&](int who, int i, executor& by, void* not_on) {
      a.send_via(by, [&last, who, i, not_on](int x) {
        sim::check(last[who].get() == i - 1, "an action was overtaken");
        sim::check(not_on == nullptr || not_on != &detail::here(), "an action ran on a thread that its executor does not have");
        last[who] = i;
        return x + 1;
      });
    };
    runs one([&] {
      detail::here();
      line.pass();
      for (int i = 1; i <= 2; ++i) send(1, i, pool, nullptr);
    });
    void* const main = &detail::here();
    line.pass();
    for (int i = 1; i <= 3; ++i) {
      send(0, i, i == 2 ? static_cast<executor&>(own) : pool, i == 2 ? main : nullptr);
      if (i != 1) await(a);
    }
    one.join();
    await(a);
    sim::check(*a == 5, "an action was lost or doubled");
  }
  internal::reclaim();
}

/// Sends that are awaited at once, and then one that nobody awaits: it runs all the same.
void not_awaited() {
  {
    fixed_executor pool(1);
    const executor_scope scope(pool, pool);
    agent<int> a(0);
    detail::here();
    for (int i = 0; i < 3; ++i) {
      a.send(inc);
      await(a);
    }
    signpost ran;
    a.send([&ran](int x) {
      ran.set();
      return x + 1;
    });
    ran.wait();
    await(a);
    sim::check(*a == 4, "an action was lost or doubled");
  }
  internal::reclaim();
}

/// One that nobody awaits, and behind it one that keeps its thread until that has run: whoever takes the second sees to the first.
void beside_one_that_waits() {
  {
    fixed_executor pool(2);
    const executor_scope scope(pool, pool);
    agent<int> a(0), b(0);
    signpost ran;
    detail::here();
    for (int i = 0; i < 3; ++i) {
      a.send(inc);
      await(a);
    }
    a.send([&ran](int x) {
      ran.set();
      return x + 1;
    });
    b.send([&ran](int x) {
      ran.wait();
      return x + 1;
    });
    ran.wait();
    await(a);
    await(b);
    sim::check(*a == 4 && *b == 1, "an action was lost or doubled");
  }
  internal::reclaim();
}

/// The first watch comes while an action changes the value: what the one who added it sees is no older than what the watch hears of.
void first_watch() {
  {
    fixed_executor pool(1);
    const executor_scope scope(pool, pool);
    agent<int> a(0);
    std::vector<int> heard;
    detail::here();
    a.send([](int x) { return x + 1; });
    a.add_watch("w", [&heard](std::string_view, agent<int>&, const int& old, const int&) { heard.push_back(old); });
    const int seen = *a;
    a.send_via(pool, inc);
    while (*a != 2) sync::relax();
    await(a);
    sim::check(!heard.empty() && heard.front() <= seen, "a change that came after the watch was not heard of");
  }
  internal::reclaim();
}

/// Agents take turns on one thread; an action of one keeps it until another one's has run: who naps takes their turns away.
void kept_turns() {
  {
    fixed_executor pool(2);
    const executor_scope scope(pool, pool);
    agent<int> a(0), b(0);
    signpost ran;
    detail::here();
    for (int i = 0; i < 2; ++i) {
      a.send(inc);
      b.send(inc);
    }
    a.send([&ran](int x) {
      ran.wait();
      return x + 1;
    });
    b.send([&ran](int x) {
      ran.set();
      return x + 1;
    });
    ran.wait();
    await(a);
    await(b);
    sim::check(*a == 3 && *b == 3, "an action was lost or doubled");
  }
  internal::reclaim();
}

/// Several actions that each keep their thread until all of them have begun: for all that were with one thread others are called.
void all_kept() {
  {
    fixed_executor pool(4);
    const executor_scope scope(pool, pool);
    agent<int> a(0), b(0), c(0), d(0);
    sync::atomic<int> begun{0, "begun"};
    detail::here();
    for (agent<int>* x : {&a, &b, &c, &d})
      x->send_via(pool, [&begun](int n) {
        begun.fetch_add(1, sync::relaxed);
        while (begun.load(sync::relaxed) != 4) sleep_for(duration{100'000});
        return n + 1;
      });
    while (*a + *b + *c + *d != 4) sleep_for(duration{1'000'000});
  }
  internal::reclaim();
}

/// The executor is shut down while agents take turns on its thread: what it had taken runs.
void turns_at_shutdown() {
  {
    fixed_executor pool(1);
    const executor_scope scope(pool, pool);
    agent<int> a(0), b(0), c(0);
    detail::here();
    for (int i = 0; i < 3; ++i)
      for (agent<int>* x : {&a, &b, &c}) x->send_via(pool, inc);
    pool.shutdown();
    while (*a != 3 || *b != 3 || *c != 3) sync::relax();
  }
  internal::reclaim();
}

sim::scenario_options with_fine_actions() {
  sim::scenario_options o = with_agents();
  o.before = [] {
    begin();
    internal::limits_of_pools.fine_at_first = true;
  };
  return o;
}

const sim::scenario scenarios[] = {{"agent_two_senders", &two_senders, with_agents()},
                                   {"agent_while_sending", &while_sending, with_agents()},
                                   {"agent_first_watch", &first_watch, with_agents()},
                                   {"agent_restart", &restart, with_agents()},
                                   {"agent_held_sends", &held_sends, with_agents()},
                                   {"agent_lent", &lent, with_agents()},
                                   {"agent_not_awaited", &not_awaited, with_agents()},
                                   {"agent_kept_turns", &kept_turns, with_fine_actions()},
                                   {"agent_all_kept", &all_kept, with_fine_actions()},
                                   {"agent_turns_at_shutdown", &turns_at_shutdown, with_fine_actions()},
                                   {"agent_two_senders_fine", &two_senders, with_fine_actions()},
                                   {"agent_while_sending_fine", &while_sending, with_fine_actions()},
                                   {"agent_restart_fine", &restart, with_fine_actions()},
                                   {"agent_lent_fine", &lent, with_fine_actions()},
                                   {"agent_beside_one_that_waits", &beside_one_that_waits, with_agents()}};

}  // namespace
