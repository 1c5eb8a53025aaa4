// SPDX-License-Identifier: Apache-2.0
//
// agent_core: what the compiled half of agents (src/state/agent.cpp) knows of one. The protocol of the queue is described there.
#pragma once

#include <coppice/base/detail/sync.hpp>
#include <coppice/base/time.hpp>
#include <coppice/process/pid.hpp>
#include <coppice/runtime/detail/epoch.hpp>
#include <coppice/runtime/detail/held_send.hpp>
#include <coppice/state/detail/observers.hpp>
#include <coppice/state/executor.hpp>

#include <cstdint>
#include <exception>
#include <span>

namespace coppice {
enum class error_mode : std::uint8_t;
}

namespace coppice::detail {

struct agent_core;
struct binding;

/// One action under way. Made by a template, which knows the function; run by the core.
struct action : held_send {
  sync::var<action*> behind{nullptr, "behind"};  // inbox: the next older one; queue: the next newer one
  agent_core* to = nullptr;
  executor* by = nullptr;
  binding* bound = nullptr;                      // what was bound where it was sent; held
  /// Makes the next value from the present one; null: it stays as it is. No function: a marker of await.
  box* (*apply)(action& self, const box& now) = nullptr;
  void (*destroy)(action& self) noexcept = nullptr;  // the object; not its memory
  /// For who waits for this one: it ran, and `why` is what it threw, if anything; or it never will. May be null.
  void (*over)(action& self, const std::exception_ptr& why, bool has_run) noexcept = nullptr;
  std::uint32_t bytes = 0;
};

/// How an agent's error handler is called.
struct handler_head : box {
  using box::box;
  void (*call)(const handler_head& self, void* agent, const std::exception_ptr& why) = nullptr;
};

struct alignas(64) agent_core {
  agent_core(observers_cell& hanging_on, void* agent, box* first) noexcept;
  ~agent_core();

  sync::atomic<box*> value{nullptr, "agent value"};
  sync::atomic<std::uint32_t> failed{0, "failed"};   // set under lock
  sync::var<action*> first{nullptr, "agent queue"};  // the runner's, as what follows
  sync::var<action*> last{nullptr};
  sync::var<std::uint64_t> finished{0, "finished"};  // actions that are over, and not taken off `queued` yet
  sync::var<std::uint64_t> counted{0, "counted"};    // of those that `queued` is known to have counted; 0: one at least
  // The senders' line: the runner comes here only for a new lot.
  alignas(64) sync::atomic<std::uint64_t> queued{0, "queued"};   // actions sent and not over; who makes it 1 has the agent run
  sync::atomic<action*> inbox{nullptr, "agent inbox"};           // newest first
  sync::atomic<std::uint32_t> awaited;               // how often, up to a few, a lone send was awaited at once: a hint
  alignas(64) sync::spinlock lock;                   // guards what follows
  bool parked = false;                               // failed, with actions queued: restart lets it run
  std::exception_ptr error{};
  error_mode mode{};
  sync::atomic<box*> handler{nullptr, "handler"};
  sync::atomic<std::uint32_t> restarting;
  observers_cell* observers;
  void* self;                                        // the agent<T>
  pid process{};                                     // of an agent that is a process: its actions are messages to that
};

/// An action of the type Typed, which derives from `action`.
template <class Typed, class... A>
Typed* new_action(A&&... arguments) {
  static_assert(alignof(Typed) <= 64, "an action's alignment is at most a cache line");
  void* place = allocate_box(sizeof(Typed));
  Typed* a = nullptr;
  try {
    a = ::new (place) Typed(static_cast<A&&>(arguments)...);
  } catch (...) {
    free_box(place, sizeof(Typed));
    throw;
  }
  a->bytes = sizeof(Typed);
  a->destroy = [](action& of) noexcept { static_cast<Typed&>(of).~Typed(); };
  return a;
}

/// Sends, or holds, `a`; takes it in any case. Throws needs_restart, rejected.
void send_action(agent_core& to, executor& by, action* a);
[[noreturn]] void refuse_null();
void change_mode(agent_core& a, error_mode mode);
void replace_handler(agent_core& a, handler_head* handler) noexcept;
std::exception_ptr error_of(agent_core& a) noexcept;
/// Takes `fresh`. Throws state_error when the agent has not failed, and what the validator throws.
void restart_agent(agent_core& a, box* fresh, bool clear);
/// Throws in_transaction and in_action where nobody may wait for an agent.
void refuse_wait_here(const char* what);
/// Waits until what the caller has sent to all of them has run.   Returns: false when the time was up first.
bool await_agents(std::span<agent_core* const> agents, duration limit);
agent_core* running_agent() noexcept;

}  // namespace coppice::detail
