// SPDX-License-Identifier: Apache-2.0
//
// Races between kill, link, monitor, exit, names and timers on real threads. Each test runs for a bounded time, `./test
// --long` for longer. Run under TSan and ASan as well: then the sanitizer is the judge, and these checks beside it.
#include "spec/process/world.hpp"

#include <coppice/process/process_info.hpp>
#include <coppice/process/timer.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

using namespace coppice;
using namespace coppice::testing;
using namespace std::chrono_literals;

namespace {

/// How long one test hunts.
std::chrono::steady_clock::time_point deadline() { return std::chrono::steady_clock::now() + std::chrono::milliseconds(rounds(700, 30'000)); }

struct dice {
  std::uint64_t state;
  explicit dice(std::uint64_t seed) : state(seed * 0x9E3779B97F4A7C15u | 1) {}
  unsigned operator()(unsigned n) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return static_cast<unsigned>((state >> 33) % n);
  }
};

/// Pids that processes and threads share in order to disturb each other.
class board {
 public:
  void put(unsigned place, pid p) {
    std::lock_guard held(lock_);
    all_[place % all_.size()] = p;
  }
  pid get(unsigned place) {
    std::lock_guard held(lock_);
    return all_[place % all_.size()];
  }

 private:
  std::mutex lock_;
  std::array<pid, 32> all_{};
};

}  // namespace

TEST_CASE("PR-40 PR-21 stress: each of many monitors fires exactly once, whoever kills, links and exits meanwhile") {
  reports quiet;
  world w({.workers = 4});
  board b;
  std::atomic<bool> on{true};
  std::atomic<long> born{0}, downs{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      const runtime_scope here(w.r);
      dice d(t + 1);
      long open = 0;
      while (on) {
        const monitored m = spawn_monitor([&b, seed = d(1'000'000)] {
          dice mine(seed + 7);
          for (int i = 0; i < 6; ++i) {
            const pid other = b.get(mine(32));
            switch (mine(8)) {
              case 0: try { link(other); } catch (const exit_error&) {} break;
              case 1: unlink(other); break;
              case 2: static_cast<void>(monitor(other)); break;
              case 3: exit(other, exit_reason("stress")); break;
              case 4: exit(exit_reason("own")); break;
              case 5: static_cast<void>(receive<int>(duration{50us})); break;
              case 6: trap_exit(mine(2) == 0); break;
              default: send(other, 1); break;
            }
          }
          static_cast<void>(receive<int>(duration{200us}));
        }, {.trap_exit = d(3) == 0});
        ++born;
        ++open;
        b.put(d(32), m.who);
        if (d(3) == 0) exit(b.get(d(32)), exit_reason::kill);
        if (d(5) == 0) static_cast<void>(alive(b.get(d(32))));
        if (d(7) == 0) static_cast<void>(process_info(b.get(d(32))));
        while (open > 200) {
          receive([](down) {});
          --open;
          ++downs;
        }
      }
      for (; open > 0; --open) {
        receive([](down) {});
        ++downs;
      }
      if (receive<down>(duration{0})) std::terminate();   // one too many
    });
  const auto until = deadline();
  while (std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(5ms);
  on = false;
  for (auto& t : threads) t.join();
  CHECK(born == downs);
  CHECK(eventually([&] { return w.r.statistics().processes == 0; }));
}

TEST_CASE("PR-15 PR-70 stress: a name has at most one holder, and none that is dead") {
  world w({.workers = 4});
  std::atomic<bool> on{true};
  std::atomic<long> had{0};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      const runtime_scope here(w.r);
      dice d(t + 11);
      while (on) {
        const monitored m = spawn_monitor([&had, pick = d(4)] {
          const std::string name = "stress " + std::to_string(pick);
          try {
            register_name(name, self());
            ++had;
            if (whereis(name) != self()) std::terminate();
          } catch (const exit_error&) {
          }
          static_cast<void>(receive<int>(duration{20us}));
        });
        if (d(2) == 0) exit(m.who, exit_reason::kill);
        const std::string name = "stress " + std::to_string(d(4));
        try {
          send(name, 1);
        } catch (const exit_error&) {
        }
        static_cast<void>(reason_of(m.ref));
        for (unsigned i = 0; i < 4; ++i)
          if (whereis("stress " + std::to_string(i)) == m.who) std::terminate();   // after its DOWN
      }
    });
  const auto until = deadline();
  while (std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(5ms);
  CHECK(eventually([&] { return had > 0; }));
  on = false;
  for (auto& t : threads) t.join();
  for (unsigned i = 0; i < 4; ++i) CHECK_FALSE(whereis("stress " + std::to_string(i)).has_value());
}

TEST_CASE("PR-18 PR-16 stress: whoever is killed while it waits unwinds once, and its mail is destroyed once") {
  world w({.workers = 4});
  std::atomic<bool> on{true};
  static std::atomic<long> made, gone;
  made = gone = 0;
  struct token {
    bool on = true;
    token() { ++made; }
    token(token&& other) noexcept : on(std::exchange(other.on, false)) {}
    ~token() {
      if (on) ++gone;
    }
  };
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      const runtime_scope here(w.r);
      dice d(t + 23);
      while (on) {
        const monitored m = spawn_monitor([state = token(), how = d(5)] {
          const token local;
          switch (how) {
            case 0: receive<int>(); break;
            case 1: sleep_for(1h); break;
            case 2: hibernate_process(); sleep_for(1h); break;
            case 3: for (;;) yield();
            default: for (;;) static_cast<void>(receive<token>(duration{10us}));
          }
        });
        for (unsigned i = d(6); i > 0; --i) send(m.who, token());
        if (d(4) == 0) suspend_process(m.who);
        exit(m.who, exit_reason::kill);
        if (d(2) == 0) send(m.who, token());
        if (reason_of(m.ref) != exit_reason::killed) std::terminate();
      }
    });
  const auto until = deadline();
  while (std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(5ms);
  CHECK(eventually([&] { return made > 0; }));
  on = false;
  for (auto& t : threads) t.join();
  CHECK(eventually([&] { return made == gone; }));
}

TEST_CASE("PR-81 PR-82 stress: timers that fire, are cancelled and lose their receivers at the same time") {
  world w({.workers = 4});
  std::atomic<bool> on{true};
  board b;
  static std::atomic<long> made, gone;
  made = gone = 0;
  struct token {
    bool on = true;
    token() { ++made; }
    token(token&& other) noexcept : on(std::exchange(other.on, false)) {}
    ~token() {
      if (on) ++gone;
    }
  };
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      const runtime_scope here(w.r);
      dice d(t + 31);
      std::array<reference, 64> armed{};
      while (on) {
        if (w.r.statistics().processes > 200) {      // more would only wait, and take minutes to end where fibers are slow to make
          std::this_thread::sleep_for(100us);
          continue;
        }
        const pid p = spawn([] {
          for (int i = 0; i < 3; ++i) static_cast<void>(receive<token>(duration{100us}));
        });
        b.put(d(32), p);
        for (int i = 0; i < 20; ++i) {
          reference& place = armed[d(64)];
          if (place) static_cast<void>(cancel_timer(place));
          place = send_after(duration{1us} * static_cast<long>(d(300)), b.get(d(32)), token());
        }
        if (d(8) == 0) static_cast<void>(send_every(duration{20us}, p, 1));
      }
    });
  const auto until = deadline();
  while (std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(5ms);
  on = false;
  for (auto& t : threads) t.join();
  CHECK(eventually([&] { return made == gone; }));
  CHECK(eventually([&] { return w.r.statistics().processes == 0; }));
}

TEST_CASE("OL-23 stress: runtimes that come and go beside each other, stopped while their processes work") {
  std::vector<std::thread> threads;
  const auto until = deadline();
  for (unsigned t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      dice d(t + 41);
      while (std::chrono::steady_clock::now() < until) {
        world w({.workers = 1 + d(3)});
        std::atomic<int> running{0};
        for (int i = 0; i < 30; ++i)
          spawn([&running, seed = d(1000)] {
            ++running;
            dice mine(seed);
            for (;;) {
              const pid child = spawn([] { static_cast<void>(receive<int>(duration{30us})); });
              if (mine(2) == 0) link(child);
              send(child, 1);
              static_cast<void>(receive<int>(duration{10us}));
            }
          });
        static_cast<void>(eventually([&] { return running > 0; }));
        if (!w.r.stop(1min).complete()) std::terminate();
      }
    });
  for (auto& t : threads) t.join();
}
