// SPDX-License-Identifier: Apache-2.0
//
// thread_pool: threads that run jobs, for the executors of agents.
//
// Jobs are given to one queue, guarded by a spinlock; idle threads sleep on a futex word that counts the jobs ever given. How many
// threads come depends on how long jobs take, which every thread measures now and then:
//
//   coarse   (at first) whoever gives a job that no thread is about to look for wakes one, or starts one. A job that has to go on when
//            the others have had their turn goes to the end of the queue.
//   fine     jobs take less than half a microsecond: then threads would only take the queue and the agents from one another, at 80 to
//            400 ns for each line. One thread *serves*; it takes all there is to a ring of its own (turn_ring.hpp), where jobs take
//            turns without a lock. The others sleep, but for one that *naps*.
//
// Who naps comes back each millisecond. What the serving thread holds while it is kept by one job is put back into the queue then, and
// others are called: the pool is coarse again.
//
// What its giver will most likely take back lies in `soon`: nobody is woken for it and nobody who looks for work sees it, but
// who is about to sleep takes it, and so does who naps.
//
// Invariants
//   1. While anything lies in `soon`, or a job was given and nobody called because one serves, a thread naps, or is on its way from that
//      to `take`, which leaves nothing in `soon`.
//   2. Who serves looks at the queue, under the lock, before it stops to serve. A thread that came to a job when the pool was coarse
//      does not serve, however long it takes.
//   3. A ring is its thread's, and who naps empties it only while that thread is inside of a job.
#pragma once

#include <coppice/base/detail/sync.hpp>
#include <coppice/state/executor.hpp>

#include "state/turn_ring.hpp"

#include <cstdint>
#include <deque>
#include <list>

namespace coppice::internal {

/// Looks of an executor's thread at its queue before it sleeps, naps without a job before it sleeps for good, and whether jobs are taken
/// to be fine before anything was measured. The simulation makes them small.
struct limits_of_thread_pools {
  int spins = 200;
  int naps = 1000;
  bool fine_at_first = false;
};
extern limits_of_thread_pools limits_of_pools;

}  // namespace coppice::internal

namespace coppice::detail {

struct thread_pool {
  thread_pool(unsigned most_threads, std::int64_t patience) noexcept : most(most_threads), idle_time(patience) {}

  bool execute(job t);
  bool execute_soon(job t);
  bool requeue(job t);
  bool linger(job t) noexcept;
  bool withdraw(job t);
  bool has_waiting() const noexcept;
  bool is_accepting() const noexcept { return accepting.load(sync::acquire) != 0; }
  void close() noexcept;
  /// Until all threads have ended.
  void drain() noexcept;

 private:
  struct member {                                // one thread
    thread_pool* of = nullptr;
    sync::thread thread{};
    bool is_known = false;                       // `thread` is set
    bool has_ended = false;                      // it touches the pool no more
    bool looks = false;                          // it is counted in `looking`
    // What is its own:
    bool asks = false;                           // whether it is to serve, and what was queued
    bool stands_aside = false;                   // another one serves
    job again{};                                 // has just run, and goes on when others have had their turn
    internal::turn_ring turns{};
    std::uint32_t left_of_lap = 0;               // turns until all that were there have had one
    std::uint32_t lap = 0;                       // of how many
    std::uint64_t turns_taken = 0;               // since each of them took a new lot of actions
    std::uint64_t lots_before = 0;
    int coarse_samples = 0;                      // of the last few
    int samples = 0;
    sync::tally<std::uint64_t> begun;            // jobs: that it gets on
    std::uint64_t begun_before = 0;              // … before the last nap; guarded by the lock
  };
  /// Who is to come for what was queued.
  struct helpers {
    unsigned wake = 0;
    unsigned start = 0;
  };

  helpers queued(std::size_t jobs, std::size_t added) noexcept;
  void call(helpers h);
  void start_thread();
  void join_ended() noexcept;
  void work(member& self) noexcept;
  void run(member& self, job t) noexcept;
  void run_measured(member& self, job t) noexcept;
  bool take(member& self, job& t) noexcept;
  bool take_queued(member& self, job& t) noexcept;
  void take_all(member& self);
  bool put_turns_back(member& self);
  bool queue_soon();
  void serve(member* who) noexcept;
  void begin_lap(member& self) noexcept;
  void look(member& self, bool looks) noexcept;
  bool spin() noexcept;
  bool sleep(member& self, std::uint32_t seen) noexcept;
  helpers after_nap(const member& self) noexcept;
  bool leave() noexcept;
  bool serves_one() const noexcept { return fine.get() && server.get() != nullptr; }
  bool serves_other(const member& self) const noexcept { return serves_one() && server.get() != &self; }
  bool has_work(const member& self) const noexcept;
  bool have_no_turns() const noexcept;
  void show_waiting() noexcept { waiting.store(static_cast<std::uint32_t>(queue.size()), sync::relaxed); }

  const unsigned most;
  const std::int64_t idle_time;                  // how long a thread without work stays
  sync::atomic<std::uint32_t> accepting{1};
  sync::tally<bool> fine{internal::limits_of_pools.fine_at_first && internal::turn_ring::is_possible()};
  sync::tally<member*> server{nullptr};          // set under the lock; fine jobs alone have one
  sync::tally<std::uint32_t> having_turns{0};    // jobs, with the thread that serves
  alignas(64) sync::spinlock lock;               // guards all but the words
  std::deque<job> queue;
  std::deque<job> soon;
  bool naps = false;                             // one of the idle does
  int naps_left = 0;                             // until it sleeps for good
  unsigned threads = 0;
  unsigned starting = 0;                         // of those, not among the members yet
  unsigned idle = 0;                             // asleep
  unsigned looking = 0;                          // awake, without work: they look at `waiting` for a while
  bool closed = false;
  std::list<member> members;
  alignas(64) sync::atomic<std::uint32_t> waiting{0, "tasks waiting"};   // read after each action: not on the lock's line
  sync::futex_word signal{0, "pool signal"};     // changes when somebody is called, and at the end
  sync::futex_word gone{0, "threads gone"};      // changes when a thread ends
};

}  // namespace coppice::detail
