// SPDX-License-Identifier: Apache-2.0
//
// runtime: a world of processes: workers, names, timers. An object: several may live in one program, for instance one for
// each parallel test. The default one starts at its first use and stops when the program returns from main.
#pragma once

#include <coppice/base/time.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace coppice {

namespace internal {
struct system;
}

struct runtime_options {
  unsigned workers = 0;                    ///< 0: one for each core this program may use
  std::size_t max_processes = 0;           ///< 0: no limit but memory; else spawn fails with system_limit above it
  duration stop_timeout = 5s;              ///< how long the destructor waits for processes that do not end
  bool report_faults = true;               ///< SIGSEGV and its kin name the process before the program dies
  bool batch_sockets = true;               ///< many sockets are read and written by one system call, where the kernel grants io_uring; for programs that
                                           ///< are killed, not refused, when they ask for it (a seccomp filter that kills): false
};

/// Who had not ended when a runtime's stop gave up waiting, one line each.
struct stop_result {
  std::vector<std::string> refused;
  bool complete() const noexcept { return refused.empty(); }
};

struct runtime_statistics {
  std::size_t processes;                   ///< alive
  std::size_t reserved_bytes;              ///< held for processes and messages by the program, in use or not
  unsigned workers;                        ///< threads, spare ones included
  std::size_t steals;
};

/// A world of processes.
/// Thread: any, except stop and destruction: not from one of its own processes.
class runtime {
 public:
  explicit runtime(const runtime_options& options = {});
  /// Stops as `stop(options.stop_timeout)`; prints the names of those who refused to end.
  ~runtime();
  runtime(const runtime&) = delete;
  runtime& operator=(const runtime&) = delete;

  /// Ends every process (shutdown, after half the time kill), then the threads.
  /// Returns: who had not ended in time. Such a process sits in code that never waits; its thread is left behind.
  /// Blocks:  the calling thread, at most `limit` and a little.
  stop_result stop(duration limit);

  runtime_statistics statistics() const;

  /// The one that free functions use in threads that chose no other. Started at first use.
  static runtime& main();

  internal::system& impl() noexcept { return *system_; }

 private:
  internal::system* system_;
};

/// Makes `r` the runtime of the calling thread's spawn, start, whereis, … until the end of the scope.
class runtime_scope {
 public:
  explicit runtime_scope(runtime& r) noexcept;
  ~runtime_scope();
  runtime_scope(const runtime_scope&) = delete;
  runtime_scope& operator=(const runtime_scope&) = delete;

 private:
  unsigned before_;
};

}  // namespace coppice
