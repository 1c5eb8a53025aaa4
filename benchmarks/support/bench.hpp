// SPDX-License-Identifier: Apache-2.0
//
// bench: what a benchmark program needs to register rows, measure them and print them side by side.
//
//     int main(int argc, char** argv) {
//       bench::suite suite{"core", argc, argv};
//       bench::add_physical_limits(suite);
//       suite.group("1 call");
//       suite.row("call to an idle server that may block",
//                 {.reference = "std::mutex", .max_ratio = 1.7, .run = [](bench::state& s) {
//                    return s.time([&](std::uint64_t n) { while (n--) call(server, add{1}); });
//                  }});
//       return suite.run();
//     }
//
// Invariants:
// 1. A row and its reference (and its peers, with --peers) are measured in the same repetition, in alternating order, and
//    the ratio is the median of the repetitions' own ratios. So a slow spell of the machine hits both.
// 2. Rows run in the order of registration, on the thread that called run(); a row starts the threads that it needs itself.
// 3. The process has a second thread from the start: with one alone glibc leaves the atomics out of its locks.
//
// docs/performance.md says how to read the figures.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace bench {

/// Nanoseconds of the monotonic clock.
inline std::int64_t now() noexcept {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

/// Makes the compiler believe that `value` is used and that memory has changed.
template <class T>
void keep(T&& value) noexcept {
  asm volatile("" : : "g"(&value) : "memory");
}

/// What a row's function sees of the run.
class state {
 public:
  state(bool quick, std::int64_t slice_ns) noexcept : quick_(quick), slice_ns_(slice_ns) {}

  /// True where a rough figure is enough (--quick).
  [[nodiscard]] bool quick() const noexcept { return quick_; }
  /// `full`, or an eighth of it with --quick.
  [[nodiscard]] std::uint64_t count(std::uint64_t full) const noexcept { return quick_ ? (full + 7) / 8 : full; }

  /// Calls `body(n)`, which does n operations, with n growing until it lasts one time slice. The shorter calls before
  /// warm caches and branch predictors up.
  /// Returns:  nanoseconds per operation of the last call.
  template <class F>
  double time(F&& body) const {
    std::uint64_t n = 1;
    for (;;) {
      const double ns = elapsed(n, body);
      if (ns >= 0.5 * static_cast<double>(slice_ns_)) return ns / static_cast<double>(n);
      const double growth = static_cast<double>(slice_ns_) / (ns + 1);
      n = static_cast<std::uint64_t>(static_cast<double>(n) * (growth > 16 ? 16 : growth)) + 1;
    }
  }

  /// Calls `body()`, which does `operations` of them, once.  Returns: nanoseconds per operation.
  template <class F>
  double each(std::uint64_t operations, F&& body) const {
    const std::int64_t begin = now();
    body();
    return static_cast<double>(now() - begin) / static_cast<double>(operations);
  }

  /// The same as millions of operations per second.
  template <class F>
  double rate(std::uint64_t operations, F&& body) const {
    return 1e3 / each(operations, body);
  }

 private:
  template <class F>
  static double elapsed(std::uint64_t n, F& body) {
    const std::int64_t begin = now();
    body(n);
    return static_cast<double>(now() - begin);
  }

  bool quick_;
  std::int64_t slice_ns_;
};

using run_function = std::function<double(state&)>;

/// How a row is measured and what it must reach. A target counts only where it is given.
struct row_options {
  /// "ns", "us", "ms", "s", "bytes", "KiB" (less is better) or a rate such as "M/s" (more is better).
  std::string unit = "ns";
  /// Name of another row, measured in the same repetitions.
  std::string reference = {};
  /// Bounds on value / reference value.
  std::optional<double> max_ratio = {};
  std::optional<double> min_ratio = {};
  /// Bounds on the value itself.
  std::optional<double> max = {};
  std::optional<double> min = {};
  /// The same work's name in benchmarks/peers. The target is then: ahead of every peer.
  std::string peers = {};
  /// The same, ahead by so much.
  std::optional<double> max_ratio_to_peers = {};
  /// Two cores exchange data: the ping-pong gauge is read before each repetition and a warning printed if it is high.
  bool two_cores = false;
  /// Each repetition in a fresh OS process (memory figures, programs that change their process).
  bool isolated = false;
  /// 0: as many as usual.
  int repetitions = 0;
  /// Measures once. Returns the value in `unit`; an exception is printed and the row counts as failed.
  run_function run = {};
};

/// The rows of one benchmark program and its command line:
/// --quick, --json, --peers, --filter=<part of group or row>, --repetitions=<n>, --list, --help.
class suite {
 public:
  suite(std::string name, int argc, char** argv);
  ~suite();
  suite(const suite&) = delete;
  suite& operator=(const suite&) = delete;

  /// Starts a group: a heading in the table.
  void group(std::string title);
  void row(std::string name, row_options options);
  /// True in a run with --quick, for rows that are left out there.
  [[nodiscard]] bool quick() const noexcept;

  /// Measures and prints.
  /// Returns:  the exit status: 0, 1 if a row could not be measured, 2 for a wrong command line. A missed target is a
  ///           result and not a failure.
  [[nodiscard]] int run();

 private:
  struct implementation;
  std::unique_ptr<implementation> self_;
};

/// What this machine can do at all: atomics, mutex ("std::mutex"), line transfers, clock, malloc, throw, futex.
void add_physical_limits(suite& suite);

/// Round trip of a cache line between core 0 and another one in nanoseconds; 0 where there is one core only.
/// Cost: `round_trips` × the result.
[[nodiscard]] double ping_pong_gauge(std::uint64_t round_trips);
/// Above this the cores are far apart for the moment, and rows with `two_cores` are not to be quoted.
inline constexpr double gauge_limit_ns = 150;

/// Runs `body(0)` … `body(count - 1)` in threads of their own that start together.
/// Returns:  nanoseconds from the start until the last one has ended its body.
double in_threads(int count, const std::function<void(int)>& body);
/// Binds the calling thread to one core. Does nothing if there is no such core.
void pin_to_core(int core) noexcept;

/// Resident memory of this OS process in bytes.
[[nodiscard]] std::size_t resident_bytes();
/// CPU time used by this OS process so far, in seconds.
[[nodiscard]] double cpu_seconds();

/// What became of another program.
struct command_result {
  int status = -1;  ///< exit status; 128 + signal; -1: could not be started
  bool timed_out = false;
  std::string output;          ///< its standard output
  double cpu_seconds = 0;      ///< user and system time, children included
  std::size_t peak_bytes = 0;  ///< largest resident memory
};

/// Runs a program (found along PATH) and waits for it; it is killed after `limit_seconds`.
[[nodiscard]] command_result run_command(const std::vector<std::string>& arguments, double limit_seconds);

}  // namespace bench
