// SPDX-License-Identifier: Apache-2.0
//
// server_stress: servers of all kinds under everything at once. Plain threads and processes call, cast, stop, kill, suspend
// and restart servers that wait, throw, keep their callers, have timers and call one another. Whatever happens:
//   every call returns, with its own reply or a typed error;  no server handles two things at once;
//   every object that was made is destroyed;  at the end nobody is alive and the runtime stops.
// A round is bounded by its number of operations; what hangs is caught by the time limit of the test.
#include <doctest/doctest.h>

#include <coppice/base/log_sink.hpp>
#include <coppice/otp/gen_server.hpp>
#include <coppice/otp/request.hpp>
#include <coppice/otp/server_timer.hpp>
#include <coppice/otp/sys.hpp>
#include <coppice/process/process.hpp>
#include <coppice/process/process_info.hpp>
#include <coppice/process/receive.hpp>
#include <coppice/process/runtime.hpp>

#include "support/eventually.hpp"

#include <atomic>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

using namespace coppice;
using namespace coppice::testing;

namespace {

constexpr std::uint64_t sign = 0x9E3779B97F4A7C15u;

struct ask { using reply = std::uint64_t; std::uint64_t number; };
struct tell { std::uint64_t number; };
struct tick {};
using talk = messages<ask, tell>;
using any_server = server_ref<talk>;

std::uint64_t answer_to(std::uint64_t number) { return number ^ sign; }

// --- what must hold --------------------------------------------------------------------------------------------------

struct ledger {
  std::atomic<std::int64_t> objects{0};          // made minus destroyed
  std::atomic<std::int64_t> answered{0};
  std::atomic<std::int64_t> failed{0};
  std::atomic<int> wrong{0};
  void note_wrong(std::string what) {
    std::lock_guard held(lock);
    ++wrong;
    if (first.empty()) first = std::move(what);
  }
  std::mutex lock;
  std::string first;
};
ledger book;

/// Counted: a server's state, a frame on a process's stack.
struct counted {
  counted() { ++book.objects; }
  counted(const counted&) { ++book.objects; }
  counted(counted&&) noexcept { ++book.objects; }
  counted& operator=(const counted&) = default;
  ~counted() { --book.objects; }
};

/// Reports of servers that are meant to fail are not printed.
struct silence {
  silence() : sink{[](void*, const report&) {}, nullptr, log_level::debug}, before(set_log_sink(&sink)) {}
  ~silence() { set_log_sink(before); }
  log_sink sink;
  const log_sink* before;
};

using dice = std::minstd_rand;
std::uint64_t seed_of(std::uint64_t number) { return number * sign >> 33; }

/// What every server has: it is counted, and knows whether a handler is inside.
class shop {
 public:
  friend class alone;

 private:
  counted life_;
  std::atomic<int> inside_{0};
};

/// In each handler: nobody else is in one of the same server's.
class alone {
 public:
  explicit alone(shop& in) : inside_(in.inside_) {
    if (inside_.exchange(1) != 0) book.note_wrong("two handlers of one server at once");
  }
  ~alone() { inside_.store(0); }

 private:
  std::atomic<int>& inside_;
};

// --- the servers -----------------------------------------------------------------------------------------------------

struct leaf_server {
  using protocol = talk;
  shop inside;
  static constexpr server_options options{.leaf = true};
  std::uint64_t handle_call(ask a) { alone in(inside); return answer_to(a.number); }
  void handle_cast(tell) { alone in(inside); }
};

struct plain_server {
  using protocol = talk;
  shop inside;
  static constexpr server_options options{.trap_exit = true};
  std::uint64_t handle_call(ask a) { alone in(inside); return answer_to(a.number); }
  void handle_cast(tell) { alone in(inside); }
  void handle_info(exit_signal) { alone in(inside); }
  void terminate(const exit_reason&) { alone in(inside); sleep_for(50us); }
};

struct waiting_server {
  using protocol = talk;
  shop inside;
  std::uint64_t handle_call(ask a) {
    alone in(inside);
    counted frame;
    sleep_for(duration(seed_of(a.number) % 200'000));
    return answer_to(a.number);
  }
  void handle_cast(tell t) { alone in(inside); sleep_for(duration(seed_of(t.number) % 50'000)); }
};

struct queued_server {
  using protocol = talk;
  shop inside;
  static constexpr server_options options{.queued = true};
  std::uint64_t handle_call(ask a) { alone in(inside); return answer_to(a.number); }
  void handle_cast(tell) { alone in(inside); }
};

struct pinned_server {
  using protocol = talk;
  shop inside;
  static constexpr server_options options{.pinned = true};
  std::uint64_t handle_call(ask a) {
    alone in(inside);
    if (a.number % 4 == 0) sleep_for(20us);
    if (a.number % 4 == 1) yield();
    return answer_to(a.number);
  }
  void handle_cast(tell) { alone in(inside); }
};

struct bounded_server {
  using protocol = talk;
  shop inside;
  static constexpr server_options options{.mailbox_bound = 3};
  std::uint64_t handle_call(ask a) { alone in(inside); sleep_for(30us); return answer_to(a.number); }
  void handle_cast(tell) { alone in(inside); sleep_for(10us); }
};

/// Keeps its callers: answers later, has others answer, or forgets them.
struct keeping_server {
  using protocol = talk;
  shop inside;
  std::vector<std::pair<from<std::uint64_t>, std::uint64_t>> kept;
  void handle_call(ask a, from<std::uint64_t> f) {
    alone in(inside);
    switch (seed_of(a.number) % 5) {
      case 0: std::move(f).reply(answer_to(a.number)); return;
      case 1: return;                                               // no_reply
      case 2: kept.emplace_back(std::move(f), a.number); break;
      case 3: sleep_for(20us); std::move(f).reply(answer_to(a.number)); return;
      default:
        spawn([to = std::move(f), n = a.number]() mutable {
          counted frame;
          sleep_for(duration(seed_of(n) % 50'000));
          std::move(to).reply(answer_to(n));
        });
    }
    if (kept.size() > 3) flush();
    else start_timer(this, "flush", 100us, tick{});
  }
  void handle_cast(tell) { alone in(inside); flush(); }
  void handle_info(tick) { alone in(inside); flush(); }
  void flush() {
    for (auto& [f, n] : kept) std::move(f).reply(answer_to(n));
    kept.clear();
  }
};

struct ticking_server {
  using protocol = talk;
  shop inside;
  void init() { start_timer(this, "beat", 100us, tick{}, repeat); }
  auto handle_call(ask a) { alone in(inside); return reply(answer_to(a.number), duration(seed_of(a.number) % 100'000)); }
  auto handle_cast(tell) { alone in(inside); return noreply(50us); }
  void handle_info(tick) { alone in(inside); }
  void handle_info(timeout) { alone in(inside); }
};

struct failing_server {
  using protocol = talk;
  shop inside;
  outcome<std::uint64_t> handle_call(ask a) {
    alone in(inside);
    counted frame;
    switch (seed_of(a.number) % 12) {
      case 0: throw std::runtime_error("meant to fail");
      case 1: coppice::exit(exit_reason("meant to exit"));
      case 2: return stop(exit_reason::normal, answer_to(a.number));
      case 3: return stop(exit_reason("meant to stop"));
      case 4: throw 42;
      case 5: coppice::exit(self(this).id(), exit_reason::kill); break;
      default: break;
    }
    return answer_to(a.number);
  }
  void handle_cast(tell t) { alone in(inside); if (t.number % 8 == 0) throw std::runtime_error("meant to fail"); }
  void terminate(const exit_reason&) { alone in(inside); }
};

/// Asks another server while it is asked.
std::vector<any_server> everybody(std::uint64_t number);

struct asking_server {
  using protocol = talk;
  shop inside;
  std::uint64_t handle_call(ask a) {
    alone in(inside);
    for (const any_server& other : everybody(a.number)) {
      const auto got = try_call(other, ask{a.number}, 2ms);
      if (got && *got != answer_to(a.number)) book.note_wrong("a server got another's reply");
    }
    return answer_to(a.number);
  }
  void handle_cast(tell t) {
    alone in(inside);
    for (const any_server& other : everybody(t.number)) cast(other, tell{t.number + 1});
  }
};

/// Starts a child that is linked to it.
struct linked_server {
  using protocol = talk;
  shop inside;
  server_ref<waiting_server> child;
  void init() { child = start_link<waiting_server>(); }
  std::uint64_t handle_call(ask a) {
    alone in(inside);
    if (a.number % 2 != 0) return answer_to(a.number);
    return call(child, ask{a.number}, infinity);                    // dies with it
  }
  void handle_cast(tell) { alone in(inside); }
};

// --- the table -------------------------------------------------------------------------------------------------------

class directory {
 public:
  static constexpr std::size_t places = 16;
  any_server at(std::size_t i) {
    std::lock_guard held(lock_);
    return servers_[i % places];
  }
  any_server put(std::size_t i, any_server s) {
    std::lock_guard held(lock_);
    return std::exchange(servers_[i % places], s);
  }

 private:
  std::mutex lock_;
  any_server servers_[places];
};
directory* open_directory = nullptr;

std::vector<any_server> everybody(std::uint64_t number) {
  if (number % 3 == 0) return {};
  return {open_directory->at(seed_of(number))};
}

template <class S>
any_server started(const start_options& options) {
  auto s = try_start<S>(options);
  return s ? any_server(s->id()) : any_server();
}

any_server start_some(std::uint64_t kind, const start_options& options) {
  switch (kind % 11) {
    case 0: return started<leaf_server>(options);
    case 1: return started<plain_server>(options);
    case 2: return started<waiting_server>(options);
    case 3: return started<queued_server>(options);
    case 4: return started<pinned_server>(options);
    case 5: return started<bounded_server>(options);
    case 6: return started<keeping_server>(options);
    case 7: return started<ticking_server>(options);
    case 8: return started<failing_server>(options);
    case 9: return started<asking_server>(options);
    default: return started<linked_server>(options);
  }
}

// --- who uses them ---------------------------------------------------------------------------------------------------

std::atomic<std::uint64_t> numbers{1};
constexpr const char* names[] = {"north", "east", "south", "west"};

void check(const result<std::uint64_t, call_error>& got, std::uint64_t number) {
  if (!got) {
    ++book.failed;
    if (got.error().is(call_error::unknown)) book.note_wrong(got.error().what());
    return;
  }
  ++book.answered;
  if (*got != answer_to(number)) book.note_wrong("a reply to another request");
}

void receive_all() {
  while (receive([](message&) {}, after(duration{0}, [] {}))) {}
}

/// One random operation. `plain`: on a thread that nobody can kill in the middle.
void do_something(directory& all, dice& roll, bool plain) {
  const std::uint64_t place = roll();
  const any_server s = all.at(place);
  const std::uint64_t n = numbers.fetch_add(1) * 7 + roll() % 7;
  switch (roll() % 24) {
    case 0: case 1: case 2: case 3: case 4: return check(try_call(s, ask{n}, infinity), n);
    case 5: case 6: return check(try_call(s, ask{n}, duration(roll() % 200'000)), n);
    case 7: return check(try_call(s, ask{n}, {.timeout = 1ms, .queued = true}), n);
    case 8: return check(try_call(named<talk>(names[roll() % 4]), ask{n}, infinity), n);
    case 9: case 10: case 11: return cast(s, tell{n});
    case 12: return (void)try_cast(s, tell{n});
    case 13: {
      auto request = send_request(s, ask{n});
      if (roll() % 4 == 0) return;                                  // abandoned
      return check(receive_response(request, roll() % 2 == 0 ? infinity : duration(100us)), n);
    }
    case 14: {
      const any_server two[] = {s, all.at(place + 1), all.at(place + 2)};
      for (const auto& got : call_all(std::span<const any_server>(two), ask{n}, roll() % 2 == 0 ? infinity : duration(300us))) check(got, n);
      return;
    }
    case 15: return (void)try_stop(s, exit_reason::normal, infinity);
    case 16: return coppice::exit(s, roll() % 2 == 0 ? exit_reason::kill : exit_reason::shutdown);
    case 17: {
      const reference ref = monitor(s);
      if (roll() % 2 == 0) {
        demonitor_and_flush(ref);
        return;
      }
      coppice::exit(s, exit_reason::kill);
      bool heard = false;
      receive(when([&](const down& d) { return d.ref == ref; }, [&](down) { heard = true; }));
      if (!heard || alive(s)) book.note_wrong("alive after its DOWN");
      return;
    }
    case 18: {
      if (!plain) return;
      try {
        sys::suspend(s, 1ms);
        sys::resume(s, infinity);
      } catch (const call_error& e) {
        if (e.is(call_error::timeout)) try { sys::resume(s, infinity); } catch (const call_error&) {}
      }
      return;
    }
    case 19:
      if (plain && suspend_process(s)) resume_process(s);
      return;
    case 20:
      try { (void)sys::get_status(s, 500us); } catch (const call_error&) {}
      return;
    case 21: (void)processes(); return;
    default: {
      start_options options;
      if (roll() % 3 == 0) options.name = names[roll() % 4];
      if (roll() % 4 == 0) options.mailbox_bound = 2;
      const any_server fresh = start_some(roll(), options);
      if (!fresh) return;
      if (const any_server old = all.put(place, fresh)) coppice::exit(old, roll() % 2 == 0 ? exit_reason::kill : exit_reason::shutdown);
    }
  }
}

void work(directory& all, std::uint64_t seed, int operations, bool plain) {
  dice roll(static_cast<unsigned>(seed * 2 + 1));
  for (int i = 0; i < operations; ++i) {
    do_something(all, roll, plain);
    if (i % 16 == 0) receive_all();                                 // what nobody waits for any more
  }
}

void one_round(unsigned workers, std::uint64_t seed, int operations) {
  book.wrong = 0;
  book.first.clear();
  const std::int64_t before = book.objects;
  stop_result end;
  {
    directory all;
    open_directory = &all;
    runtime world({.workers = workers, .stop_timeout = 1min});
    const runtime_scope scope(world);
    for (std::size_t i = 0; i < directory::places; ++i) all.put(i, start_some(i, {}));
    std::atomic<int> actors{0};
    std::vector<pid> processes_at_work;
    for (int i = 0; i < 4; ++i) {
      ++actors;
      processes_at_work.push_back(spawn([&, i] {
        const counted frame;
        const struct leaving { std::atomic<int>& n; ~leaving() { --n; } } last{actors};
        trap_exit(i % 2 == 0);
        work(all, seed * 64 + static_cast<std::uint64_t>(i), operations, false);
      }));
    }
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i)
      threads.emplace_back([&, i] {
        const runtime_scope here(world);
        work(all, seed * 64 + 32 + static_cast<std::uint64_t>(i), operations, true);
        if (i == 0) coppice::exit(processes_at_work[0], exit_reason::kill);
      });
    for (std::thread& t : threads) t.join();
    CHECK(eventually([&] { return actors == 0; }, std::chrono::minutes(10)));
    for (const pid left : processes()) coppice::exit(left, exit_reason::kill);   // who traps exits would wait for it
    end = world.stop(1min);
    for (const std::string& line : end.refused) MESSAGE(line);
    open_directory = nullptr;
  }
  CHECK(end.complete());
  CHECK_MESSAGE(book.wrong == 0, book.first);
  CHECK(book.objects == before);
  receive_all();
}

void run_with(unsigned workers) {
  const silence quiet;
  const int operations = rounds(600, 10'000);
  one_round(workers, workers, operations);
  one_round(workers, workers + 100, operations);
  CHECK(book.answered > 0);
}

}  // namespace

TEST_CASE("servers of all kinds under everything at once: one worker") { run_with(1); }
TEST_CASE("servers of all kinds under everything at once: two workers") { run_with(2); }
TEST_CASE("servers of all kinds under everything at once: four workers") { run_with(4); }
TEST_CASE("servers of all kinds under everything at once: eight workers") { run_with(8); }
