// SPDX-License-Identifier: Apache-2.0
//
// Registries: readers beside those who come and go; holders and registries that end at just the wrong moment; locks.
#include <coppice/otp/registry.hpp>

#include "sim/runtime/world.hpp"

namespace {

/// A key whose slot is next to that of any other.
struct crowded {
  int n;
  friend bool operator==(crowded, crowded) = default;
};

}  // namespace

template <>
struct std::hash<crowded> {
  std::size_t operator()(crowded) const noexcept { return 7; }
};

namespace {

using namespace coppice;
using namespace coppice::testing;

struct go {};
struct number {
  sync::var<int> n;
  number(int i = 0) : n(i) {}
  number(const number& other) : n(other.n.get()) {}
  number& operator=(const number& other) { return n = other.n.get(), *this; }
};

/// One key goes from holder to holder while a reader looks; its neighbours stay, and are found all the time, behind it.
void passes_on() {
  world w;
  registry<crowded, number> r;
  const pid me = self();
  for (int k = 0; k != 5; ++k) r.register_self({k}, k);
  r.unregister_self({0});
  start_line line(2);
  runs reader([&] {
    w.enter();
    detail::here();
    line.pass();
    for (int i = 0; i != 2; ++i) {
      for (const auto& e : r.lookup({0})) sim::check(e.value.n == 100 || e.value.n == 101, "a value of nobody");
      for (int k = 1; k != 5; ++k) {
        const auto found = r.lookup({k});
        sim::check(found.size() == 1 && found[0].who == me && found[0].value.n == k, "a key that stays was not found");
      }
    }
  });
  line.pass();
  for (int i = 0; i != 2; ++i) {
    r.register_self({0}, 100);
    r.unregister_self({0});
    const pid other = spawn([&] { r.register_self({0}, 101); });
    await_end(other);
    sim::check(!r.whereis({0}), "the dead hold a key");
  }
  reader.join();
  sim::check(r.count() == 4, "what was registered is there, and nothing else");
}

/// The table grows under a reader.
void grows() {
  world w;
  registry<int> r;
  const pid me = self();
  for (int k = 0; k != 11; ++k) r.register_self(k);
  start_line line(2);
  runs reader([&] {
    w.enter();
    detail::here();
    line.pass();
    for (int k = 0; k != 11; ++k) sim::check(r.whereis(k) == me, "a key that stays was not found");
  });
  line.pass();
  for (int k = 11; k != 14; ++k) r.register_self(k);
  for (int k = 11; k != 14; ++k) r.unregister_self(k);
  reader.join();
}

/// Two processes want the key of a third one that is killed.
void death_against_register() {
  world w({.workers = 2});
  registry<int> r;
  const pid here = self();
  const pid holder = spawn([&] {
    r.register_self(1);
    send(here, go{});
    receive<std::string>();
  });
  receive<go>();
  sync::atomic<int> have{0, "have"};
  const auto want = [&, holder] {
    await_end(holder);                           // heard of: from here on the dead do not count
    if (r.try_register_self(1)) have.fetch_add(1, sync::relaxed);
    await_end(spawn([] {}));
    send(here, go{});
    receive<go>();
  };
  const pid a = spawn(want), b = spawn(want);
  exit(holder, exit_reason::kill);
  receive<go>();
  receive<go>();
  sim::check(have.load(sync::relaxed) == 1, "one of two has a key that is free");
  sim::check(r.whereis(1) == a || r.whereis(1) == b, "the key leads to who has it");
  const reference on_a = monitor(a), on_b = monitor(b);
  send(a, go{});
  send(b, go{});
  for (int i = 0; i != 2; ++i) receive([&](down d) { sim::check(d.ref == on_a || d.ref == on_b, "another DOWN"); });
  sim::check(r.count() == 0, "an entry of the dead");
}

/// The registry's process is killed while another one registers: who has got in is told, and nothing stays.
void end_against_register() {
  world w({.workers = 2});
  registry<int> r;
  const pid process = r.id();
  const reference end = monitor(process);
  const pid here = self();
  const pid other = spawn([&] {
    trap_exit(true);
    send(here, go{});
    for (int k = 0; k != 2; ++k)
      if (r.try_register_self(k)) {
        receive([&](exit_signal s) { sim::check(s.who == process, "told of another end"); });
        return;
      }
  });
  const reference on_other = monitor(other);
  receive<go>();
  exit(process, exit_reason::kill);
  for (int i = 0; i != 2; ++i) receive([&](down d) { sim::check(d.ref == end || d.ref == on_other, "another DOWN"); });
  sim::check(r.count() == 0 && !r.id(), "an ended registry is empty");
}

/// Three want a lock; one of them is killed while it waits or has it.
void lock_and_kill() {
  world w({.workers = 2});
  registry<int> r;
  sync::var<int> inside;                         // a race here: two are inside
  const auto body = [&] {
    for (int i = 0; i != 2; ++i)
      r.lock(1, [&] {
        inside = inside + 1;
        yield();
        inside = inside - 1;
      });
  };
  const pid a = spawn(body), b = spawn(body), c = spawn(body);
  const reference on_a = monitor(a), on_b = monitor(b), on_c = monitor(c);
  exit(b, exit_reason::kill);
  int ended = 0;
  while (ended++ != 3) receive([&](down d) { sim::check(d.ref == on_a || d.ref == on_b || d.ref == on_c, "another DOWN"); });
  sim::check(r.lock(1, [] { return true; }), "the lock is free");
}

const sim::scenario scenarios[] = {{"registry_passes_on", &passes_on, whole_program()},
                                   {"registry_grows", &grows, whole_program()},
                                   {"registry_death_against_register", &death_against_register, whole_program()},
                                   {"registry_end_against_register", &end_against_register, whole_program()},
                                   {"registry_lock_and_kill", &lock_and_kill, whole_program()}};

}  // namespace
