// SPDX-License-Identifier: Apache-2.0
//
// rows: the groups of ./bench core, one function for each file, and what several of them need.
#pragma once

#include <coppice/process/process.hpp>
#include <coppice/process/receive.hpp>

#include <exception>
#include <stdexcept>
#include <string>

#include "support/bench.hpp"

namespace core_bench {

void add_call_rows(bench::suite& suite);
void add_cast_rows(bench::suite& suite);
void add_spawn_rows(bench::suite& suite);
void add_name_rows(bench::suite& suite);
void add_timer_rows(bench::suite& suite);
void add_idle_rows(bench::suite& suite);
void add_compile_rows(bench::suite& suite);

/// A sum that was lost or made twice is worth more than a fast row.
inline void check(std::uint64_t got, std::uint64_t wanted) {
  if (got != wanted) throw std::runtime_error("counted " + std::to_string(got) + " instead of " + std::to_string(wanted));
}

/// Waits until the process behind the monitor `ref` has ended.
inline void wait_for_end(coppice::reference ref) {
  coppice::receive(coppice::when([ref](const coppice::down& d) { return d.ref == ref; }, [](coppice::down) {}));
}

/// Runs `body()` in a process of its own while the calling thread waits.
/// Returns:  what it returns.   Fails: with the std::exception that leaves it.
template <class F>
double in_process(F&& body) {
  double value = 0;
  std::exception_ptr failure;
  const coppice::monitored process = coppice::spawn_monitor([&] {
    try {
      value = body();
    } catch (const std::exception&) {
      failure = std::current_exception();
    }
  });
  wait_for_end(process.ref);
  if (failure) std::rethrow_exception(failure);
  return value;
}

}  // namespace core_bench
