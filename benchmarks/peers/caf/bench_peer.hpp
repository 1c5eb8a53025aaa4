// SPDX-License-Identifier: Apache-2.0
//
// What the rows of the CAF peer share: a row is a function that measures once, with work divided by `scale`.
#pragma once

#include <caf/all.hpp>

#include <chrono>
#include <cstdint>

namespace bench_peer {

using caf::actor;
using caf::actor_system;
using caf::behavior;
using caf::event_based_actor;
using caf::scoped_actor;

using add_atom = caf::atom_constant<caf::atom("add")>;
using sum_atom = caf::atom_constant<caf::atom("sum")>;
using go_atom = caf::atom_constant<caf::atom("go")>;
using done_atom = caf::atom_constant<caf::atom("done")>;
using stop_atom = caf::atom_constant<caf::atom("stop")>;

/// Nanoseconds per operation, or million operations per second, of `work()`.
template <class F>
double each(int operations, F&& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  const std::chrono::duration<double, std::nano> elapsed = std::chrono::steady_clock::now() - begin;
  return elapsed.count() / operations;
}
template <class F>
double rate(int operations, F&& work) {
  return 1e3 / each(operations, work);
}

/// Throws std::runtime_error if work was lost.
void check(std::int64_t got, std::int64_t wanted);

// basic.cpp
double call(actor_system& system, int scale);
double call_from_thread(actor_system& system, int scale);
double echo(actor_system& system, int scale);
double cast(actor_system& system, int producers, int scale);
double spawn_in_turn(actor_system& system, int scale);
double spawn_alive(actor_system& system, int scale);
double start_idle(actor_system& system, int scale);
double memory_server(actor_system& system, int scale);
double timer_start(actor_system& system, int scale);

// savina.cpp
double ring(actor_system& system, int scale);
double counting(actor_system& system, int scale);
double fork_join(actor_system& system, int scale);
double chameneos(actor_system& system, int scale);
double bank(actor_system& system, int scale);
double big(actor_system& system, int scale);

}  // namespace bench_peer
