// SPDX-License-Identifier: Apache-2.0
//
// isolate, the implementation. See isolate.hpp.
#include "sim/isolate.hpp"

#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>

namespace coppice::internal::sim {

namespace {

[[noreturn]] void work_and_leave(const std::function<std::string()>& work, int out) {
  const std::string text = work();
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t n = write(out, text.data() + written, text.size() - written);
    if (n < 0 && errno != EINTR) break;
    if (n > 0) written += static_cast<std::size_t>(n);
  }
  _exit(written == text.size() ? 0 : 1);  // nothing is flushed twice, no destructor runs twice
}

/// Reads to the end; false if that does not come in time.
bool read_all(int in, std::chrono::steady_clock::time_point until, std::string& text) {
  std::array<char, 4096> buffer{};
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    pollfd ready{.fd = in, .events = POLLIN, .revents = 0};
    if (left.count() <= 0 || poll(&ready, 1, static_cast<int>(left.count())) == 0) return false;
    const ssize_t n = read(in, buffer.data(), buffer.size());
    if (n == 0) return true;
    if (n > 0) text.append(buffer.data(), static_cast<std::size_t>(n));
    if (n < 0 && errno != EINTR) return false;
  }
}

/// Where a child notes which run it does, so that its parent knows even if it dies.
std::uint64_t& shared_progress() {
  static std::uint64_t* const page = [] {
    void* memory = mmap(nullptr, sizeof(std::uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    return static_cast<std::uint64_t*>(memory);
  }();
  return *page;
}

constexpr std::chrono::seconds batch_limit{120};

std::string write_down(const run_result& r) {
  return std::to_string(r.failed ? 1 : 0) + ' ' + std::to_string(r.hash) + ' ' + std::to_string(r.steps) + ' ' +
         std::to_string(r.choices) + '\n' + print(r.decisions) + '\n' + r.failure;
}

run_result read_back(const std::string& text) {
  run_result r;
  int failed = 0;
  unsigned long long hash = 0;
  unsigned long long steps = 0;
  unsigned long long choices = 0;
  std::sscanf(text.c_str(), "%d %llu %llu %llu", &failed, &hash, &steps, &choices);
  const std::size_t second = text.find('\n') + 1;
  const std::size_t third = text.find('\n', second) + 1;
  r.failed = failed != 0;
  r.hash = hash;
  r.steps = steps;
  r.choices = choices;
  r.decisions = parse_schedule(std::string_view(text).substr(second, third - 1 - second)).value_or(schedule{});
  r.failure = text.substr(third);
  return r;
}

}  // namespace

batch run_apart(std::uint64_t from, std::uint64_t to, const std::function<run_result(std::uint64_t)>& one_run) {
  std::uint64_t& progress = shared_progress();
  progress = from;
  const auto text = isolate(
      [&] {
        run_result r;
        for (; progress <= to && !r.failed; ++progress) r = one_run(progress);
        return write_down(r);
      },
      batch_limit);
  if (text) return {progress, read_back(*text)};
  run_result dead;
  dead.failed = true;
  dead.failure = "the run crashed the program, or did not come to an end";
  return {progress + 1, dead};
}

std::optional<std::string> isolate(const std::function<std::string()>& work, std::chrono::seconds limit) {
  std::array<int, 2> ends{};
  if (std::getenv("COPPICE_SIM_NO_FORK") != nullptr || pipe(ends.data()) != 0) return work();
  const pid_t child = fork();
  if (child == 0) {
    close(ends[0]);
    work_and_leave(work, ends[1]);
  }
  close(ends[1]);
  if (child < 0) {
    close(ends[0]);
    return work();
  }
  std::string text;
  const bool complete = read_all(ends[0], std::chrono::steady_clock::now() + limit, text);
  close(ends[0]);
  if (!complete) kill(child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  if (!complete || !WIFEXITED(status) || WEXITSTATUS(status) != 0) return {};
  return text;
}

}  // namespace coppice::internal::sim
