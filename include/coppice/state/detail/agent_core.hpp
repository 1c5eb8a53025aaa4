// SPDX-License-Identifier: Apache-2.0
//
// agent_core: what the compiled half of agents (src/state/agent.cpp) knows of one. The protocol of the queue is described in
// src/state/action_queue.hpp.
#pragma once

#include <coppice/base/detail/sync.hpp>
#include <coppice/base/time.hpp>
#include <coppice/process/pid.hpp>
#include <coppice/runtime/detail/epoch.hpp>
#include <coppice/runtime/detail/held_send.hpp>
#include <coppice/state/detail/observers.hpp>
#include <coppice/state/executor.hpp>
#include <coppice/state/view.hpp>

#include <cstdint>
#include <exception>
#include <span>
#include <type_traits>

namespace coppice {
enum class error_mode : std::uint8_t;
}

namespace coppice::detail {

struct agent_core;
struct binding;

struct action;

/// What the core knows of the actions of one type.
struct action_class {
  /// Makes the next value from the present one and puts it there (change_value). Null: a marker of await.
  void (*run)(action& self, agent_core& of) = nullptr;
  void (*destroy)(action& self) noexcept = nullptr;  // the object; not its memory
  /// For who waits for this one, told once: it ran, and `why` is what it threw, if anything; or it never will. May be null.
  void (*over)(action& self, const std::exception_ptr& why, bool has_run) noexcept = nullptr;
  std::uint32_t bytes = 0;
};

/// One action under way: made by a template, which knows the function; run by the core. One cache line with a small function: it
/// travels from the sender's core to the runner's and back.
struct action {
  constexpr explicit action(const action_class& c) noexcept : cls(&c) {}
  const action_class* cls;
  sync::var<action*> behind{nullptr, "behind"};  // inbox: the next older one; queue: the next newer one
  executor* by = nullptr;
  binding* bound = nullptr;                      // what was bound where it was sent; held
};

/// How an agent's error handler is called.
struct handler_head : box {
  using box::box;
  void (*call)(const handler_head& self, void* agent, const std::exception_ptr& why) = nullptr;
};

struct alignas(64) agent_core {
  agent_core(observers_cell& hanging_on, void* agent) noexcept : observers(&hanging_on), self(agent) {}
  ~agent_core();

  // The runner's line.
  sync::atomic<std::uint64_t> word{0, "agent word"};     // the value, if it is a word …
  sync::atomic<box*> value{nullptr, "agent value"};      // … and if it is none
  sync::var<action*> first{nullptr, "agent queue"};      // oldest first
  // What was taken out of the inbox and comes behind those: newest first, and what of it is in order already.
  sync::var<action*> unordered{nullptr, "agent lot"};
  sync::var<action*> ordered{nullptr, "agent lot in order"};
  sync::var<std::uint32_t> in_order{0};                  // how many
  sync::var<std::uint32_t> left{0};                      // of the queue
  sync::var<std::uint32_t> half{0};                      // when that many are left, the next lot is taken
  // The senders' line: the runner comes here only for a new lot.
  alignas(64) sync::atomic<action*> inbox{nullptr, "agent inbox"};  // newest first; null: it is idle
  sync::atomic<std::uint32_t> awaited;               // how often, up to a few, a lone send was awaited at once: a hint
  // What seldom changes, and all look at.
  alignas(64) sync::spinlock lock;                   // guards parked, error and mode
  bool parked = false;                               // failed, with actions queued: restart lets it run
  const bool fences_lightly = sync::has_heavy_fence();
  error_mode mode{};
  sync::atomic<std::uint32_t> failed{0, "failed"};   // set under lock
  sync::atomic<std::uint32_t> restarting;
  std::exception_ptr error{};
  sync::atomic<box*> handler{nullptr, "handler"};
  observers_cell* observers;
  void* self;                                        // the agent<T>
  pid process{};                                     // of an agent that is a process: its actions are messages to that
};

/// Memory for an action: the thread's own blocks, the next of which are fetched from the core that has freed them.
void* allocate_action(std::size_t bytes);

/// An action of the type Typed, which derives from `action`.
template <class Typed, class... A>
Typed* new_action(A&&... arguments) {
  static_assert(alignof(Typed) <= 64, "an action's alignment is at most a cache line");
  void* place = allocate_action(sizeof(Typed));
  try {
    return ::new (place) Typed(static_cast<A&&>(arguments)...);
  } catch (...) {
    free_box(place, sizeof(Typed));
    throw;
  }
}
template <class Typed>
void destroy_action(action& of) noexcept { static_cast<Typed&>(of).~Typed(); }

/// Calls `f` with the present value. Runner only.
template <class T, class F>
void read_value(agent_core& a, F&& f) {
  if constexpr (word_value<T>) {
    const T now = from_word<T>(a.word.load(sync::relaxed));
    f(now);
  } else {
    guard g;
    f(static_cast<const value_box<T>*>(g.protect(a.value))->value);
  }
}
/// A planted fault of the simulation: planted::change_without_fence.
inline constexpr int unfenced_change = 2;
/// After a change: who hears of it. An observer that was there before the change does: so the change comes before this look. There are
/// hardly ever any, so the fence between is theirs who bring the first one (observers.cpp).
inline observers* observers_of_change(const agent_core& a) noexcept {
  if (!sync::fault(unfenced_change)) a.fences_lightly ? sync::light_fence() : sync::fence(sync::seq_cst);
  observers* x = a.observers->load(sync::acquire);
  if (x != nullptr) [[unlikely]] sync::fence(sync::seq_cst);  // before the look at what hangs on them
  return x;
}
void change_boxed(agent_core& a, box* (*make)(void* context, const box& old), void* context);
/// The value becomes `make(old)`. Runner only. Throws what `make`, validator and watches throw.
template <class T, class Make>
void change_value(agent_core& a, Make&& make) {
  if constexpr (word_value<T>) {
    const T old = from_word<T>(a.word.load(sync::relaxed));
    const T now = make(old);
    if (observers* x = a.observers->load(sync::acquire); x != nullptr) [[unlikely]] validate(*x, &now, "agent");
    a.word.store(to_word(now), sync::release);
    if (observers* x = observers_of_change(a); x != nullptr) [[unlikely]] notify(*x, a.self, &old, &now);
  } else {
    change_boxed(a, [](void* context, const box& old) -> box* {
      return make_box<T>([&]() -> T { return (*static_cast<std::remove_reference_t<Make>*>(context))(static_cast<const value_box<T>&>(old).value); });
    }, &make);
  }
}

/// Sends, or holds, `a`; takes it in any case. Throws needs_restart, rejected.
void send_action(agent_core& to, executor& by, action* a);
[[noreturn]] void refuse_null();
void change_mode(agent_core& a, error_mode mode);
void replace_handler(agent_core& a, handler_head* handler) noexcept;
std::exception_ptr error_of(agent_core& a) noexcept;
/// A value that an agent is given, which is no action's.
struct given_value {
  const void* shown = nullptr;                   // to the validator
  std::uint64_t word = 0;
  box* boxed = nullptr;                          // null: it is a word
};
/// Takes `fresh`. Throws state_error when the agent has not failed, and what the validator throws.
void restart_agent(agent_core& a, const given_value& fresh, bool clear);
/// Throws in_transaction and in_action where nobody may wait for an agent.
void refuse_wait_here(const char* what);
/// Waits until what the caller has sent to all of them has run.   Returns: false when the time was up first.
bool await_agents(std::span<agent_core* const> agents, duration limit);
agent_core* running_agent() noexcept;

}  // namespace coppice::detail
