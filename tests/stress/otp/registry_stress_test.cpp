// SPDX-License-Identifier: Apache-2.0
//
// registry_stress: processes that register, give up, change their values, lock and are killed, threads that look, and a registry
// whose process is killed in between. Whatever happens: a unique key has one holder; no value is torn; two are never inside of
// one lock; at the end nothing of the dead is left.
#include <coppice/otp/registry.hpp>

#include <coppice/base/log_sink.hpp>
#include <coppice/otp/gen_server.hpp>
#include <coppice/process/receive.hpp>
#include <coppice/process/runtime.hpp>

#include "support/eventually.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

using namespace coppice;
using namespace coppice::testing;

namespace {

constexpr int keys = 40;
std::string key_of(int i) { return i % 8 == 0 ? std::string(600, 'x') + std::to_string(i) : "key" + std::to_string(i); }

struct quiet {
  quiet() : before(set_log_sink(&sink)) {}
  ~quiet() { set_log_sink(before); }
  static constexpr log_sink sink{.write = nullptr, .context = nullptr, .least = log_level::error};
  const log_sink* before;
};

struct world {
  runtime r{{.workers = 3}};
  runtime_scope scope{r};
};

/// Alone in a lock, until it leaves it, by whatever way.
struct in_lock {
  in_lock(std::atomic<int>& n, std::atomic<int>& wrong) : inside(n) {
    if (++inside != 1) ++wrong;
  }
  ~in_lock() { --inside; }
  in_lock(const in_lock&) = delete;
  std::atomic<int>& inside;
};

using many = registry<std::string, std::string>;

/// Does one thing at random, as the calling process or thread.
void act(std::mt19937& dice, many& unique, many& duplicate, std::atomic<int>& wrong, std::atomic<int>* inside) {
  const int k = static_cast<int>(dice() % keys);
  const std::string key = key_of(k);
  switch (dice() % 10) {
    case 0: case 1:
      if (const auto done = unique.try_register_self(key, key); !done && done.error().is(registry_error::already_registered) && !done.error().holder()) ++wrong;
      break;
    case 2: unique.unregister_self(key); break;
    case 3: static_cast<void>(duplicate.try_register_self(key, key)); break;
    case 4: duplicate.unregister_self(key); break;
    case 5: static_cast<void>(unique.try_update_value(key, [](const std::string& v) { return v + "+" == std::string() ? v : v; })); break;
    case 6:
      try {
        unique.lock(key, [&] {
          const in_lock here(inside[k], wrong);
          yield();
        });
      } catch (const registry_error&) {
        ++wrong;
      }
      break;
    case 7: duplicate.dispatch(key, [&](auto entries) { for (const auto& e : entries) if (e.value != key) ++wrong; }); break;
    case 8: for (const auto& e : duplicate.select()) if (e.value != e.key) ++wrong; break;
    default:
      for (const auto& e : unique.lookup(key)) if (e.value != key) ++wrong;
      for (const std::string& mine : unique.keys(self())) if (unique.whereis(mine) != self()) ++wrong;
  }
}

}  // namespace

TEST_CASE("EX-82, EX-88, EX-95 all at once, and at the end nobody is left") {
  const quiet nothing_said;
  world w;
  many unique({.partitions = 3});
  many duplicate({.keys = registry_keys::duplicate, .partitions = 2});
  std::atomic<int> wrong{0};
  const std::unique_ptr<std::atomic<int>[]> inside(new std::atomic<int>[keys]{});
  const auto worker = [&](unsigned seed) {
    const runtime_scope scope(w.r);
    std::mt19937 dice(seed);
    for (int i = 0; i != rounds(60, 3'000); ++i) {
      std::vector<pid> made;
      for (int p = 0; p != 8; ++p)
        made.push_back(spawn([&, own = static_cast<unsigned>(dice())] {
          std::mt19937 own_dice(own);
          for (int n = 0; n != 30; ++n) act(own_dice, unique, duplicate, wrong, inside.get());
          if (own % 3 == 0) receive([](message&) {});
        }));
      for (int n = 0; n != 300; ++n) act(dice, unique, duplicate, wrong, inside.get());
      for (const pid p : made) exit(p, exit_reason::kill);
    }
    for (int k = 0; k != keys; ++k) {
      unique.unregister_self(key_of(k));
      duplicate.unregister_self(key_of(k));
    }
  };
  std::vector<std::thread> threads;
  for (unsigned t = 1; t != 4; ++t) threads.emplace_back(worker, t);
  for (std::thread& t : threads) t.join();
  CHECK(eventually([&] { return unique.count() + duplicate.count() == 0; }));
  CHECK(unique.select().empty());
  CHECK(wrong == 0);
}

TEST_CASE("EX-89 a registry that is killed again and again ends all who got in") {
  const quiet nothing_said;
  world w;
  for (int round = 0; round != rounds(100, 5'000); ++round) {
    registry<int> r({.partitions = 2});
    std::vector<monitored> made;
    for (int p = 0; p != 6; ++p)
      made.push_back(spawn_monitor([&r, p] {
        for (int n = 0; n != 20; ++n)
          if (r.try_register_self(p * 100 + n)) {
            if (n == 10) receive([](message&) {});           // waits for the end of the registry
          } else {
            return;
          }
      }));
    exit(r.id(), exit_reason("killed by the test"));
    for (const monitored& m : made) receive(when([&](const down& d) { return d.ref == m.ref; }, [](down) {}));
    CHECK(r.count() == 0);
  }
}
