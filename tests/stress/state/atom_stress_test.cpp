// SPDX-License-Identifier: Apache-2.0
//
// atom_stress: atoms of boxes under everything at once: threads and processes read, wait with views, keep snapshots, swap, reset,
// add and remove watches. No value is torn, none is freed while somebody looks, all are freed in the end.
#include "spec/state/state_test.hpp"

#include <random>

using namespace coppice;
using namespace coppice::testing;

TEST_CASE("atoms under everything at once") {
  CHECK(eventually([] { return internal::reclaim() == 0; }));
  const int before = big::alive;
  std::atomic<int> torn{0};
  {
    world w;
    constexpr int many = 4;
    atom<big> atoms[many];
    const int steps = rounds(4000, 400'000);
    const auto work = [&](unsigned seed, bool process) {
      std::minstd_rand dice(seed + 1);
      snapshot<big> kept;
      for (int i = 0; i < steps; ++i) {
        atom<big>& a = atoms[dice() % many];
        switch (dice() % 8) {
          case 0: a.reset(big(i)); break;
          case 1: kept = (*a).keep(); break;
          case 2: {
            const auto v = *a;
            const auto other = *atoms[dice() % many];
            if (process && dice() % 4 == 0) yield();
            if (!v->is_whole() || !other->is_whole()) ++torn;
            break;
          }
          case 3:
            if (i % 64 == 0) a.add_watch("w", [&](std::string_view, auto&, const big& old, const big& now) {
              if (!old.is_whole() || !now.is_whole()) ++torn;
            });
            else if (i % 64 == 32) a.remove_watch("w");
            break;
          case 4:
            if (kept && !kept->is_whole()) ++torn;
            if (kept) a.compare_and_set(kept, big(i));
            break;
          default:
            a.swap([&](const big& x) {
              if (process && dice() % 16 == 0) yield();
              return x + big(1);
            });
        }
      }
    };
    std::vector<reference> ends;
    for (unsigned p = 0; p < 4; ++p) ends.push_back(spawn_monitor([&work, p] { work(p, true); }).ref);
    in_threads(2, [&](int t) { work(static_cast<unsigned>(t) + 10, false); });
    for (const reference end : ends) CHECK(reason_of(end) == exit_reason::normal);
    CHECK(eventually([] { return internal::reclaim() == 0; }));
  }
  CHECK(torn == 0);
  CHECK(eventually([&] { return internal::reclaim() == 0 && big::alive == before; }));
}
