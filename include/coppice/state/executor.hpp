// SPDX-License-Identifier: Apache-2.0
//
// executor: where agents' actions run. Two are there from the beginning: one for `send` with a fixed number of threads, and
// one for `send_off` that grows, for actions that block. Any other is a class of the program's own.
#pragma once

#include <cstddef>

namespace coppice {

/// Something to be run once.
struct job {
  void (*run)(void* context) noexcept = nullptr;
  void* context = nullptr;
  friend bool operator==(const job&, const job&) = default;
};

/// Runs jobs.   Thread: any, all functions.
class executor {
 public:
  executor() = default;
  virtual ~executor() = default;
  executor(const executor&) = delete;
  executor& operator=(const executor&) = delete;

  /// Takes `t`, to run it once, at some time, on some thread.   Returns: false when it takes no work: then `t` will not run.
  virtual bool execute(job t) = 0;
  /// The same for what has just run on a thread of this executor and goes on when those that wait have had their turn: that thread
  /// comes back to it, so nobody needs to be woken.
  virtual bool requeue(job t) { return execute(t); }
  /// Runs `t`, which has just run on a thread of this executor, once more in a moment: an agent that has nothing to do now and most likely
  /// will have then. For an executor to which that costs next to nothing.   Returns: false: it will not run.
  virtual bool linger(job) { return false; }
  /// The same where the giver will most likely take the job back at once (withdraw), to run it itself: nobody need be woken before a
  /// millisecond is over.
  virtual bool execute_soon(job t) { return execute(t); }
  /// Takes back a job that has not begun.   Returns: whether it did: then it will not run here, and is the caller's. An executor that
  /// can do this *lends*: who awaits an agent may run its actions.
  virtual bool withdraw(job) { return false; }
  /// Whether it takes work; a hint.
  virtual bool is_accepting() const noexcept { return true; }
  /// Whether another job waits to be run; a hint. Where it says no, an agent runs its next action without asking for a turn.
  virtual bool has_waiting() const noexcept { return true; }
  /// From now on it takes no work; what it has runs.
  virtual void shutdown() noexcept {}
};

namespace detail {
struct thread_pool;
}

/// A number of threads, which start with the first task. It lends what has not begun to who awaits it; the destructor runs what was
/// taken and joins.   Spec: AG-8.
class fixed_executor final : public executor {
 public:
  explicit fixed_executor(unsigned threads);
  ~fixed_executor() override;
  bool execute(job t) override;
  bool requeue(job t) override;
  bool linger(job t) override;
  bool execute_soon(job t) override;
  bool withdraw(job t) override;
  bool is_accepting() const noexcept override;
  bool has_waiting() const noexcept override;
  void shutdown() noexcept override;

 private:
  detail::thread_pool* pool_;
};

/// A thread for each task that finds none idle; threads without work end after 60 s.   Spec: AG-8.
class growing_executor final : public executor {
 public:
  growing_executor();
  ~growing_executor() override;
  bool execute(job t) override;
  bool requeue(job t) override;
  bool linger(job t) override;
  bool execute_soon(job t) override;
  bool withdraw(job t) override;
  bool is_accepting() const noexcept override;
  bool has_waiting() const noexcept override;
  void shutdown() noexcept override;

 private:
  detail::thread_pool* pool_;
};

/// Runs each task in a process of the runtime that the calling thread uses: cheap to wait in, and shared with all else.
class scheduler_executor final : public executor {
 public:
  bool execute(job t) override;
};

/// The executors of `send` and `send_off`: those of the innermost executor_scope, else the program's.
executor& send_executor() noexcept;
executor& send_off_executor() noexcept;
/// Replaces the program's; the executor must outlive its use.   Spec: AG-9.
void set_send_executor(executor& e) noexcept;
void set_send_off_executor(executor& e) noexcept;

/// Replaces them until the end of the scope, for what the calling thread or process sends itself.   Spec: AG-9.
class executor_scope {
 public:
  explicit executor_scope(executor& for_send) noexcept;
  executor_scope(executor& for_send, executor& for_send_off) noexcept;
  ~executor_scope();
  executor_scope(const executor_scope&) = delete;
  executor_scope& operator=(const executor_scope&) = delete;

 private:
  alignas(void*) unsigned char place_[96];
};

/// Shuts down the executors of `send` and `send_off` of this scope: what was sent before runs, later sends throw rejected.
/// Spec: AG-47..AG-49.
void shutdown_agents() noexcept;

}  // namespace coppice
