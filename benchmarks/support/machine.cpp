// SPDX-License-Identifier: Apache-2.0
#include "support/machine.hpp"

#include <gnu/libc-version.h>
#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <thread>

#include "support/bench.hpp"
#include "support/measured.hpp"

namespace bench {

std::size_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::size_t pages = 0;
  statm >> pages >> pages;
  return pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

double cpu_seconds() {
  timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

void pin_to_core(int core) noexcept {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(core, &cores);
  sched_setaffinity(0, sizeof cores, &cores);
}

namespace internal {
namespace {

// The value of the first line of /proc/cpuinfo that begins with `key`; empty if there is none.
std::string cpu_info(const std::string& key) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    const std::size_t colon = line.find(": ");
    return colon == std::string::npos ? std::string() : line.substr(colon + 2);
  }
  return {};
}

std::string processor() {
  std::string out = cpu_info("model name");
  if (const std::string family = cpu_info("cpu family"); !family.empty()) {
    out += ", family " + family + " model " + cpu_info("model\t");
  }
  if (cpu_info("flags").find(" hypervisor") != std::string::npos) out += ", virtual machine";
  return out;
}

std::string memory() {
  const double bytes = static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE));
  return readable(bytes / (1 << 30)) + " GiB";
}

std::string load() {
  double average = 0;
  if (getloadavg(&average, 1) != 1) return "unknown";
  return readable(average) + " in the last minute" +
         (average > 0.5 ? " (other work is running: figures are noisy)" : "");
}

}  // namespace

std::vector<std::pair<std::string, std::string>> describe_machine() {
  utsname system{};
  uname(&system);
#ifdef __clang__
  const std::string compiler = __VERSION__;
#else
  const std::string compiler = std::string("g++ ") + __VERSION__;
#endif
  return {
      {"processor", processor()},
      {"cores", std::to_string(std::thread::hardware_concurrency()) + ", memory " + memory()},
      {"system", std::string(system.sysname) + " " + system.release + ", glibc " + gnu_get_libc_version()},
      {"compiler", compiler},
      {"load", load()},
  };
}

}  // namespace internal
}  // namespace bench
