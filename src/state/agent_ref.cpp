// SPDX-License-Identifier: Apache-2.0
//
// agent_ref: an agent's process, and asking it. The process holds an agent<T> on its stack and runs one function after another on
// it, each as an action (agent.cpp). Who asks waits for the answer and for the process's end at once, by a monitor whose reference is
// an alias, too: an answer that comes too late finds nobody.
#include <coppice/state/agent_ref.hpp>

#include <coppice/process/process.hpp>
#include <coppice/process/receive.hpp>

#include "runtime/scope.hpp"
#include "state/bindings.hpp"

#include <memory>
#include <utility>

namespace coppice {

namespace {

std::string text_of(agent_error::kind k, const exit_reason& why) {
  switch (k) {
    case agent_error::noproc: return "agent: no such process";
    case agent_error::timeout: return "agent: no answer in time";
    case agent_error::ended: return "agent: it has ended: " + to_text(why);
    case agent_error::calling_self: return "agent: it asks itself";
    case agent_error::not_started: return "agent: not started: " + to_text(why);
  }
  return "agent: failed";
}

}  // namespace

agent_error::agent_error(kind k, exit_reason why) : state_error(text_of(k, why)), reason_(std::move(why)), kind_(k) {}

}  // namespace coppice

namespace coppice::detail {

namespace {

struct agent_request {
  agent_task_handle task;
  alias_ref answer{};                            // none: nobody waits
};
struct agent_answer {
  reference ref;
  agent_task_handle task;
};
struct agent_stop {
  exit_reason why;
};
struct agent_started {
  reference ref;
};

/// The monitor is gone, and so is what it, or the agent, has sent meanwhile.
void forget(const alias_ref& answer) {
  demonitor_and_flush(answer.ref);
  receive(when([&](const agent_answer& a) { return a.ref == answer.ref; }, [](agent_answer) {}), coppice::after(duration::zero(), [] {}));
}

void refuse_self(pid who) {
  if (current_slot() != nullptr && who == self()) throw agent_error(agent_error::calling_self, exit_reason::calling_self);
}

agent_error error_of_end(exit_reason why) {
  const auto kind = why.is(exit_reason::noproc) ? agent_error::noproc : agent_error::ended;
  return {kind, std::move(why)};
}

void serve(agent_request& r, void* agent, std::uint64_t type) {
  agent_task& task = *r.task;
  try {
    if (task.of != 0 && task.of != type) {
      task.is_harmless = true;
      throw state_error("agent: its value is of another type");
    }
    task.run(task, agent);
  } catch (const unwind&) {
    throw;
  } catch (...) {
    if (!task.is_harmless) throw;                // it ends the process: mode stop
    task.thrown = std::current_exception();
  }
  if (r.answer.owner) send(r.answer, agent_answer{r.answer.ref, std::move(r.task)});
}

/// A cast that waits for the end of the transaction, or the action, in which it was made.
struct held_task : held_send {
  pid to;
  agent_task_handle task;
};

}  // namespace

agent_task_handle::~agent_task_handle() {
  if (t_ == nullptr) return;
  drop_bindings(t_->bound);
  t_->destroy(t_);
}

agent_task_handle ask_agent(pid who, agent_task_handle task, duration timeout, const char* verb) {
  if (const internal::scope_rules* rules = internal::current_rules(); rules != nullptr) rules->refuse(verb);
  if (!who) throw agent_error(agent_error::noproc, exit_reason::noproc);
  refuse_self(who);
  task->bound = hold_bindings();
  const alias_ref answer = monitor_with_alias(who, alias_mode::once);
  send(who, agent_request{std::move(task), answer});
  agent_task_handle done;
  exit_reason why;
  const bool came = receive(when([&](const agent_answer& a) { return a.ref == answer.ref; }, [&](agent_answer a) { done = std::move(a.task); }),
                            when([&](const down& d) { return d.ref == answer.ref; }, [&](down d) { why = std::move(d.reason); }),
                            coppice::after(timeout, [] {}));
  if (!came) {
    forget(answer);
    throw agent_error(agent_error::timeout, exit_reason::timeout);
  }
  if (!done) throw error_of_end(std::move(why));
  demonitor_and_flush(answer.ref);
  if (done->thrown != nullptr) std::rethrow_exception(done->thrown);
  return done;
}

void send_agent_task(pid who, agent_task_handle task) { send(who, agent_request{std::move(task)}); }

void tell_agent(pid who, agent_task_handle task) {
  task->bound = hold_bindings();
  auto held = std::make_unique<held_task>();
  held->to = who;
  held->task = std::move(task);
  held->go = [](held_send& s) noexcept {
    auto* h = static_cast<held_task*>(&s);
    if (h->to) send_agent_task(h->to, std::move(h->task));
    delete h;
  };
  held->drop = [](held_send& s) noexcept { delete static_cast<held_task*>(&s); };
  held_send* s = held.release();
  if (!hold_if_inside(s)) s->go(*s);
}

void stop_agent(pid who, const exit_reason& why, duration timeout) {
  if (const internal::scope_rules* rules = internal::current_rules(); rules != nullptr) rules->refuse("stop");
  if (!who) throw agent_error(agent_error::noproc, exit_reason::noproc);
  refuse_self(who);
  const reference end = monitor(who);
  send(who, agent_stop{why});
  exit_reason ended;
  const bool came = receive(when([&](const down& d) { return d.ref == end; }, [&](down d) { ended = std::move(d.reason); }), coppice::after(timeout, [] {}));
  if (!came) {
    demonitor_and_flush(end);
    throw agent_error(agent_error::timeout, exit_reason::timeout);
  }
  if (!(ended == why)) throw error_of_end(std::move(ended));
}

void refuse_late() { throw agent_error(agent_error::timeout, exit_reason::timeout); }

agent_starter expect_start(bool link) {
  if (link && current_slot() == nullptr) throw exit_error(exit_reason::noproc, "start_agent_link: a plain thread cannot be linked to");
  return {alias(alias_mode::once), link ? self() : pid{}};
}

void refuse_start(const agent_starter& starter, const exit_error& why) {
  unalias(starter.answer);
  throw agent_error(agent_error::not_started, exit_reason::with_text(why.reason().what(), why.what()));
}

void await_start(const spawned& started, const agent_starter& starter, duration timeout) {
  exit_reason why;
  bool is_there = false;
  const bool came = receive(when([&](const agent_started& a) { return a.ref == starter.answer.ref; }, [&](agent_started) { is_there = true; }),
                            when([&](const down& d) { return d.ref == started.ref; }, [&](down d) { why = std::move(d.reason); }),
                            coppice::after(timeout, [] {}));
  if (is_there) {
    demonitor_and_flush(started.ref);
    return;
  }
  unalias(starter.answer);
  if (came) throw agent_error(agent_error::not_started, std::move(why));
  exit(started.who, exit_reason::kill);
  receive(when([&](const down& d) { return d.ref == started.ref; }, [](down) {}));  // its name is free when this returns
  receive(when([&](const agent_started& a) { return a.ref == starter.answer.ref; }, [](agent_started) {}), coppice::after(duration::zero(), [] {}));
  throw agent_error(agent_error::timeout, exit_reason::timeout);
}

void serve_agent(agent_core& a, void* agent, std::uint64_t type, const agent_starter& starter) {
  a.process = self();
  a.mode = error_mode::stop;
  if (starter.parent) link(starter.parent);
  send(starter.answer, agent_started{starter.answer.ref});
  for (;;)
    receive([&](agent_request r) { serve(r, agent, type); },
            [](const agent_stop& s) { exit(s.why); },
            [](message&) {});                    // nobody else has anything to say to it
}

}  // namespace coppice::detail
