// SPDX-License-Identifier: Apache-2.0
//
// What a user's file costs the compiler: a hello gen_server beside a file with four of the standard library's headers.
#include <stdexcept>

#include "core/rows.hpp"

namespace {

bench::command_result translate(const std::string& file) {
  const std::string root = COPPICE_BENCH_SOURCE;
  const bench::command_result out = bench::run_command(
      {"g++", "-std=c++23", "-O2", "-I" + root + "/include", "-c", root + "/benchmarks/core/compile/" + file, "-o", "/dev/null"},
      120);
  if (out.status != 0) throw std::runtime_error("g++ could not translate " + file);
  return out;
}

double seconds(const std::string& file) { return translate(file).cpu_seconds; }
double peak(const std::string& file) { return static_cast<double>(translate(file).peak_bytes) / (1 << 20); }

}  // namespace

void core_bench::add_compile_rows(bench::suite& suite) {
  suite.group("compile time, g++ -O2");
  suite.row("a file with <thread> <mutex> <functional> <iostream>",
            {.unit = "s", .repetitions = 5, .run = [](bench::state&) { return seconds("four_headers.cpp"); }});
  suite.row("hello gen_server",
            {.unit = "s", .reference = "a file with <thread> <mutex> <functional> <iostream>", .max_ratio = 2, .repetitions = 5,
             .run = [](bench::state&) { return seconds("hello_gen_server.cpp"); }});
  suite.row("hello gen_server, the compiler's memory",
            {.unit = "MiB", .max = 200, .repetitions = 2, .run = [](bench::state&) { return peak("hello_gen_server.cpp"); }});
}
