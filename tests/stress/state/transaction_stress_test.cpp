// SPDX-License-Identifier: Apache-2.0
//
// transaction_stress: transfers with alter, commute and ensure, nested ones, ones that throw, ones that wait, in threads and
// processes, over refs of words and of boxes; beside them readers. What is checked is the history and not only sums: each
// committed transfer writes down, in the same transaction, its number and what it saw; afterwards they must form one chain.
#include "spec/state/state_test.hpp"

#include <coppice/state/ref.hpp>

#include <algorithm>
#include <random>

using namespace coppice;
using namespace coppice::testing;

TEST_CASE("TX-2 TX-3 transactions under everything at once leave one chain of commits") {
  struct step { unsigned long long before, after; };
  CHECK(eventually([] { return internal::reclaim() == 0; }));
  const int alive_before = big::alive;
  std::atomic<int> wrong{0};
  std::mutex lock;
  std::vector<step> chain;
  {
    world w;
    constexpr int many = 6;
    ref<int> words[many];
    ref<big> boxes[many];
    ref<unsigned long long> ticket(0);
    ref<int> commuted(0);
    std::atomic<int> commutes{0};
    const int steps = rounds(400, 40'000);
    const auto work = [&](unsigned seed, bool process) {
      std::minstd_rand dice(seed + 1);
      std::vector<step> mine;
      for (int i = 0; i < steps; ++i) {
        const unsigned a = dice() % many, b = dice() % many;
        const unsigned kind = dice() % 8;
        try {
          if (kind == 0) {
            transact([&] { commuted.commute(inc); });
            ++commutes;
          } else if (kind == 1) {
            const long long sum = transact([&] {
              long long s = 0;
              for (ref<int>& r : words) s += *r;
              for (ref<big>& r : boxes) {
                const auto v = *r;
                if (process && dice() % 32 == 0) yield();
                if (!v->is_whole()) ++wrong;
                s += v->n;
              }
              return s;
            });
            if (sum != 0) ++wrong;
          } else {
            const step s = transact([&] {
              words[a].alter(plus, 1);
              if (process && dice() % 16 == 0) yield();
              if (kind == 2) words[b].ensure();
              boxes[b].alter(minus, big(1));
              if (kind == 3) throw oops();
              const unsigned long long n = *ticket;
              const unsigned long long next = transact([&] { return ticket.set(n * 1664525 + seed + 1); });
              return step{n, next};
            });
            mine.push_back(s);
          }
        } catch (const oops&) {
        }
      }
      std::lock_guard held(lock);
      chain.insert(chain.end(), mine.begin(), mine.end());
    };
    std::vector<reference> ends;
    for (unsigned p = 0; p < 4; ++p) ends.push_back(spawn_monitor([&work, p] { work(p, true); }).ref);
    in_threads(2, [&](int t) { work(static_cast<unsigned>(t) + 10, false); });
    for (const reference end : ends) CHECK(reason_of(end) == exit_reason::normal);
    long long sum = 0;
    for (ref<int>& r : words) sum += *r;
    for (ref<big>& r : boxes) sum += (*r)->n;
    CHECK(sum == 0);
    CHECK(*commuted == commutes);
    // Each commit saw what another, or the beginning, had left, and no two the same.
    std::vector<unsigned long long> befores, afters;
    for (const step& s : chain) {
      befores.push_back(s.before);
      afters.push_back(s.after);
    }
    afters.push_back(0);
    befores.push_back(*ticket);
    std::sort(befores.begin(), befores.end());
    std::sort(afters.begin(), afters.end());
    CHECK((befores == afters));
    CHECK(eventually([] { return internal::reclaim() == 0; }));
  }
  CHECK(wrong == 0);
  CHECK(eventually([&] { return internal::reclaim() == 0 && big::alive == alive_before; }));
}
