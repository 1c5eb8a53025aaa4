// SPDX-License-Identifier: Apache-2.0
//
// Row 1: a call is the library's answer to lock, change, unlock. So the reference is an uncontended std::mutex around the
// same object, and a call with all of gen_server in place may cost little more.
#include <coppice/otp/gen_server.hpp>

#include <optional>

#include "core/rows.hpp"

using namespace coppice;

namespace {

constexpr double most_if_blocking = 1.7;   // times the mutex
constexpr double most_if_leaf = 1.25;

struct add {
  using reply = std::uint64_t;
  std::uint64_t n;
};

/// May wait in its handler, so it runs on a stack of its own.
struct counter {
  std::uint64_t sum = 0;
  std::uint64_t handle_call(add a) { return sum += a.n; }
};

/// Promises not to wait, so it runs on its caller's stack.
struct leaf_counter {
  static constexpr server_options options{.leaf = true};
  std::uint64_t sum = 0;
  std::uint64_t handle_call(add a) { return sum += a.n; }
};

/// Answers through the caller's address instead of by a return value.
struct answering_counter {
  std::uint64_t sum = 0;
  void handle_call(add a, from<std::uint64_t> caller) { std::move(caller).reply(sum += a.n); }
};

/// Passes the request on.
template <class Next>
struct relay {
  server_ref<Next> next;
  std::uint64_t handle_call(add a) { return call(next, a); }
};

template <class Server>
class running {
 public:
  template <class... A>
  explicit running(const start_options& options, A... arguments) : ref_(start<Server>(options, arguments...)) {}
  ~running() { stop(ref_); }
  running(const running&) = delete;
  running& operator=(const running&) = delete;
  server_ref<Server> ref() const { return ref_; }

 private:
  server_ref<Server> ref_;
};

/// ns per call; the replies must count up by one.
template <class Server>
double time_calls(bench::state& s, const Server& server, const call_options& options = {}) {
  std::uint64_t sum = call(server, add{0});
  const double ns = s.time([&](std::uint64_t n) {
    for (std::uint64_t i = 0; i != n; ++i) bench::keep(call(server, add{1}, options));
    sum += n;
  });
  core_bench::check(call(server, add{0}), sum);
  return ns;
}

template <class Server>
double from_thread(bench::state& s) {
  const running<Server> server({});
  return time_calls(s, server.ref());
}

template <class Server>
double from_process(bench::state& s, const call_options& options = {}) {
  return core_bench::in_process([&] {
    const running<Server> server({});
    return time_calls(s, server.ref(), options);
  });
}

double by_name(bench::state& s) {
  return core_bench::in_process([&] {
    const running<counter> server({.name = "bench_counter"});
    return time_calls(s, named<counter>("bench_counter"));
  });
}

double two_deep(bench::state& s) {
  return core_bench::in_process([&] {
    const running<counter> last({});
    const running<relay<counter>> first({}, last.ref());
    return time_calls(s, first.ref());
  });
}

double three_deep(bench::state& s) {
  return core_bench::in_process([&] {
    const running<counter> last({});
    const running<relay<counter>> middle({}, last.ref());
    const running<relay<relay<counter>>> first({}, middle.ref());
    return time_calls(s, first.ref());
  });
}

/// Wall time divided by both threads' calls.
template <class Server>
double two_threads(bench::state& s) {
  const running<Server> server({});
  const std::uint64_t each = s.count(2'000'000);
  const double ns = bench::in_threads(2, [&](int) {
    for (std::uint64_t i = 0; i != each; ++i) bench::keep(call(server.ref(), add{1}));
  });
  core_bench::check(call(server.ref(), add{0}), 2 * each);
  return ns / static_cast<double>(2 * each);
}

/// The same with two processes.
template <class Server>
double two_processes(bench::state& s) {
  const running<Server> server({});
  const std::uint64_t each = s.count(2'000'000);
  const std::int64_t begin = bench::now();
  monitored callers[2];
  for (monitored& caller : callers) {
    caller = spawn_monitor([each, to = server.ref()] {
      for (std::uint64_t i = 0; i != each; ++i) bench::keep(call(to, add{1}));
    });
  }
  for (const monitored& caller : callers) core_bench::wait_for_end(caller.ref);
  const double ns = static_cast<double>(bench::now() - begin);
  core_bench::check(call(server.ref(), add{0}), 2 * each);
  return ns / static_cast<double>(2 * each);
}

}  // namespace

void core_bench::add_call_rows(bench::suite& suite) {
  suite.group("1 call");
  suite.row("call, may block, from a process",
            {.reference = "std::mutex", .max_ratio = most_if_blocking, .peers = "call",
             .run = [](bench::state& s) { return from_process<counter>(s); }});
  suite.row("call, may block, from a thread",
            {.reference = "std::mutex", .max_ratio = most_if_blocking, .peers = "call-thread",
             .run = [](bench::state& s) { return from_thread<counter>(s); }});
  suite.row("call, leaf, from a process",
            {.reference = "std::mutex", .max_ratio = most_if_leaf,
             .run = [](bench::state& s) { return from_process<leaf_counter>(s); }});
  suite.row("call, leaf, from a thread",
            {.reference = "std::mutex", .max_ratio = most_if_leaf,
             .run = [](bench::state& s) { return from_thread<leaf_counter>(s); }});
  suite.row("call, nested two deep",
            {.reference = "std::mutex", .max_ratio = 2 * most_if_blocking, .run = two_deep});
  suite.row("call, nested three deep",
            {.reference = "std::mutex", .max_ratio = 3 * most_if_blocking, .run = three_deep});
  suite.row("call by name", {.reference = "std::mutex", .run = by_name});
  suite.row("call, answered through from",
            {.reference = "std::mutex", .run = [](bench::state& s) { return from_process<answering_counter>(s); }});
  suite.row("call, queued", {.max = 60, .peers = "call", .run = [](bench::state& s) {
                               return from_process<counter>(s, {.queued = true});
                             }});
  suite.row("call, 2 threads on one server",
            {.reference = "std::mutex, 2 threads", .max_ratio = 1, .two_cores = true, .run = two_threads<counter>});
  suite.row("call, 2 threads on one leaf",
            {.reference = "std::mutex, 2 threads", .max_ratio = 1, .two_cores = true, .run = two_threads<leaf_counter>});
  suite.row("call, 2 processes on one server",
            {.reference = "std::mutex, 2 threads", .max_ratio = 1, .two_cores = true, .run = two_processes<counter>});
}
