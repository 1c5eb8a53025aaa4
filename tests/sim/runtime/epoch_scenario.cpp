// SPDX-License-Identifier: Apache-2.0
//
// Epochs: readers look at boxes that others replace, retire and free. A box that is freed too early shows as a race between
// the reader and the destructor, whatever the interleaving, since the value is plain data.
#include <coppice/state/atom.hpp>

#include "runtime/epoch.hpp"
#include "sim/runtime/world.hpp"

namespace {

using namespace coppice;
using namespace coppice::testing;

/// A number in two parts, plain data.
struct pair {
  sync::var<int> a, b;
  pair(int n) : a(n), b(-n) {}
  pair(const pair& other) : a(other.a.get()), b(other.b.get()) {}
  int number() const {
    const int n = a.get();
    sim::check(b.get() == -n, "a torn value");
    return n;
  }
};

void begin_small(std::size_t batches) {
  internal::limits_of_epochs = {.boxes = 1, .batches = batches};
}


/// Two readers that come back, one who replaces. Batches move on only as everybody announces.
void read_against_reset() {
  begin_small(1000);
  atom<pair> a(pair(1));
  atom<pair> b(pair(1));
  start_line line(3);
  const auto reader = [&] {
    detail::here();
    line.pass();
    int last = 0;
    for (int i = 0; i != 3; ++i) {
      const auto v = *a;
      const auto w = *b;
      const int n = v->number();
      sim::check(n >= last, "a reader saw the past");
      w->number();
      last = v->number();
    }
  };
  runs one(reader), two(reader);
  detail::here();
  line.pass();
  for (int i = 2; i != 7; ++i) {
    a.reset(pair(i));
    b.reset(pair(i));
  }
  one.join();
  two.join();
}

/// One who has looked before looks once more, while all moves on.
void one_look(std::size_t batches) {
  begin_small(batches);
  atom<pair> a(pair(1));
  start_line line(2);
  runs one([&] {
    detail::here();
    { (*a)->number(); }
    line.pass();
    const auto v = *a;
    for (int i = 0; i != 4; ++i) v->number();
  });
  detail::here();
  { (*a)->number(); }
  line.pass();
  for (int i = 2; i != 6; ++i) a.reset(pair(i));
  one.join();
  internal::reclaim();
}
/// … as everybody announces, …
void announced() { one_look(1000); }
/// … and by force.
void forced() { one_look(1); }

/// One who is away now and then: each time it comes back may be the moment in which it is taken for passive.
void come_and_go() {
  begin_small(1);
  atom<pair> a(pair(1));
  start_line line(2);
  runs reader([&] {
    detail::here();
    line.pass();
    for (int i = 0; i != 4; ++i) {
      const auto v = *a;
      for (int k = 0; k != 6; ++k) v->number();
    }
  });
  detail::here();
  line.pass();
  for (int i = 2; i != 14; ++i) a.reset(pair(i));
  reader.join();
  internal::reclaim();
}

/// A process waits with a view; what it shows is replaced and everything is reclaimed.
void view_over_wait() {
  begin_small(1);
  world w;
  atom<pair> a(pair(1));
  const pid reader = spawn([&] {
    const auto v = *a;
    const int n = v->number();
    receive<int>();
    sim::check(v->number() == n, "a view changed while its process waited");
  });
  const reference end = monitor(reader);
  for (int i = 2; i != 6; ++i) a.reset(pair(i));
  internal::reclaim();
  send(reader, 0);
  await_end(end);
  internal::reclaim();
}

/// Swaps of a word and of a box in two threads: no change is lost, each is seen by the watch as one step.
void swaps() {
  begin_small(1);
  atom<int> word(0);
  atom<pair> boxed(pair(0));
  sync::atomic<std::uint32_t> seen{0, "seen"};
  word.add_watch("w", [&](std::string_view, atom<int>&, int old, int now) {
    sim::check(now == old + 1, "a change of the word is not one step");
    seen.fetch_add(1U << old, sync::relaxed);
  });
  const auto add = [&] {
    detail::here();
    for (int i = 0; i != 2; ++i) {
      word.swap([](int x) { return x + 1; });
      boxed.swap([](const pair& p) { return pair(p.number() + 1); });
    }
  };
  runs one(add);
  add();
  one.join();
  sim::check(*word == 4 && seen.load(sync::relaxed) == 15, "a change of the word was lost");
  sim::check((*boxed)->number() == 4, "a change of the box was lost");
}

const sim::scenario scenarios[] = {{"epoch_read_against_reset", &read_against_reset, whole_program()},
                                   {"epoch_announced", &announced, whole_program()},
                                   {"epoch_forced", &forced, whole_program()},
                                   {"epoch_come_and_go", &come_and_go, whole_program()},
                                   {"epoch_view_over_wait", &view_over_wait, whole_program()},
                                   {"epoch_swap", &swaps, whole_program()}};

}  // namespace
