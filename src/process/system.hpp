// SPDX-License-Identifier: Apache-2.0
//
// system: what stands behind a runtime: its scheduler, its names, its counters. Found from a slot by the slot's `home`.
#pragma once

#include <coppice/process/runtime.hpp>

#include "process/name_table.hpp"
#include "process/slot.hpp"
#include "runtime/scheduler.hpp"

namespace coppice::internal {

using detail::slot;
class poller;

struct system {
  explicit system(const runtime_options& options);
  system(const runtime_options& options, const scheduler_options& threads);
  ~system();
  /// Starts the workers, and lets others in.
  void start();

  runtime_options options;
  std::uint16_t number = 0;             // its place in the table of systems; slots carry it
  scheduler sched;
  name_table names;
  // Processes made and ended. One shard for each worker and one for all other threads, so that counting costs nothing;
  // `alive` is the difference of the sums.
  struct alignas(64) shard { sync::atomic<std::int64_t> alive; };
  shard shards[65];
  sync::atomic<std::uint32_t> closing;  // no process starts any more
  sync::atomic<poller*> io;             // made when the first socket is opened: see stream_socket.hpp
  sync::spinlock making_io;

  std::int64_t alive() const noexcept;
  void count(std::int64_t change) noexcept;
};

inline constexpr unsigned most_systems = 1024;
extern system* systems[most_systems];

/// Where a thread that is none of a runtime's workers comes in: while it is inside, the runtime does not go away.
struct door {
  sync::atomic<system*> of;                    // null: nobody lives here, or it goes just now
  sync::atomic<std::uint32_t> guests;
};
extern door doors[most_systems];

/// The runtime of that number for as long as this object lives, or null if it has gone.
class guest {
 public:
  guest(thread_block& block, unsigned number) noexcept;
  ~guest();
  guest(const guest&) = delete;
  guest& operator=(const guest&) = delete;
  system* host() const noexcept { return host_; }

 private:
  door* door_ = nullptr;                       // null: one of its own workers, which it waits for anyway
  system* host_;
};

inline system& system_of(const slot& s) noexcept { return *systems[s.home.load(sync::relaxed)]; }
/// The system that a plain thread has chosen, or the default one.
system& system_of_thread(const thread_block& block);
/// The system that spawn and its kin use here: the running process's, the thread's, or the default one.
inline system& current_system() {
  const thread_block& block = here();
  return block.process != nullptr ? system_of(*block.process) : system_of_thread(block);
}
/// The system of a process; of a plain thread's hidden process: the one that thread uses.
inline system& home_of(const slot& s) { return s.home.load(sync::relaxed) != 0 ? system_of(s) : current_system(); }
/// Calls `visit(slot&)` for each slot whose home is `sys` and that looks alive. The slots are not owned meanwhile.
void for_each_process(system& sys, void (*visit)(void* context, slot& s, std::uint64_t serial), void* context);

/// Forgets all systems, timers and pools, as if the program began. Only for the simulation, between two runs.
void renew_program_state();
/// Gives back what the program keeps while it runs. Only for the simulation, at the end of a run: no process lives.
void drop_program_state();

}  // namespace coppice::internal
