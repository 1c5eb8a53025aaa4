// SPDX-License-Identifier: Apache-2.0
//
// Row 4: the Savina benchmarks.
#include <random>
#include <vector>

#include "bench_peer.hpp"

namespace bench_peer {
namespace {

using next_atom = caf::atom_constant<caf::atom("next")>;
using meet_atom = caf::atom_constant<caf::atom("meet")>;
using change_atom = caf::atom_constant<caf::atom("change")>;
using count_atom = caf::atom_constant<caf::atom("count")>;
using credit_atom = caf::atom_constant<caf::atom("credit")>;
using debit_atom = caf::atom_constant<caf::atom("debit")>;
using ping_atom = caf::atom_constant<caf::atom("ping")>;
using pong_atom = caf::atom_constant<caf::atom("pong")>;

// --- ring ---------------------------------------------------------------------------------------------------------------

struct ring_state {
  actor next;
};

behavior ring_member(caf::stateful_actor<ring_state>* self, const actor& waiter) {
  return {
      [self](next_atom, const actor& next) { self->state.next = next; },
      [self, waiter](int hops) {
        if (hops == 0) {
          self->send(waiter, done_atom::value);
        } else {
          self->send(self->state.next, hops - 1);
        }
      },
  };
}

// --- counting -----------------------------------------------------------------------------------------------------------

struct number_state {
  std::int64_t number = 0;
};

behavior counter(caf::stateful_actor<number_state>* self) {
  return {
      [self](add_atom) { ++self->state.number; },
      [self](sum_atom) { return self->state.number; },
  };
}

behavior counting_producer(event_based_actor* self, const actor& target, int count, const actor& waiter) {
  return {[self, target, count, waiter](go_atom) {
    for (int i = 0; i < count; ++i) self->send(target, add_atom::value);
    self->request(target, caf::infinite, sum_atom::value).then([self, waiter](std::int64_t sum) {
      self->send(waiter, sum);
    });
  }};
}

// --- fork-join ----------------------------------------------------------------------------------------------------------

behavior fork_worker(caf::stateful_actor<number_state>* self, int share, const actor& waiter) {
  return {[self, share, waiter](add_atom) {
    if (++self->state.number < share) return;
    self->send(waiter, done_atom::value);
    self->quit();
  }};
}

behavior fork_master(event_based_actor* self, const std::vector<actor>& workers, int share) {
  return {[self, workers, share](go_atom) {
    for (int i = 0; i < share; ++i) {
      for (const actor& worker : workers) self->send(worker, add_atom::value);
    }
  }};
}

// --- chameneos ----------------------------------------------------------------------------------------------------------

int complement(int a, int b) { return a == b ? a : 3 - a - b; }

struct mall_state {
  actor waiting;
  int left = 0;
  int creatures = 0;
  std::int64_t met = 0;
};

behavior mall(caf::stateful_actor<mall_state>* self, int meetings, int creatures, const actor& waiter) {
  self->state.left = meetings;
  self->state.creatures = creatures;
  return {
      [self](meet_atom, const actor& creature, int colour) {
        mall_state& s = self->state;
        if (s.left == 0) {
          self->send(creature, stop_atom::value);
        } else if (!s.waiting) {
          s.waiting = creature;
        } else {
          self->send(s.waiting, meet_atom::value, creature, colour);
          s.waiting = nullptr;
          --s.left;
        }
      },
      [self, waiter](count_atom, std::int64_t met) {
        self->state.met += met;
        if (--self->state.creatures == 0) self->send(waiter, self->state.met);
      },
  };
}

struct creature_state {
  int colour = 0;
  std::int64_t met = 0;
};

behavior creature(caf::stateful_actor<creature_state>* self, const actor& mall, int colour) {
  self->state.colour = colour;
  const auto again = [self, mall] {
    ++self->state.met;
    self->send(mall, meet_atom::value, caf::actor_cast<actor>(self), self->state.colour);
  };
  return {
      [self, mall](go_atom) { self->send(mall, meet_atom::value, caf::actor_cast<actor>(self), self->state.colour); },
      [self, again](meet_atom, const actor& other, int colour_of_other) {
        self->state.colour = complement(self->state.colour, colour_of_other);
        self->send(other, change_atom::value, self->state.colour);
        again();
      },
      [self, again](change_atom, int colour_from_other) {
        self->state.colour = colour_from_other;
        again();
      },
      [self, mall](stop_atom) {
        self->send(mall, count_atom::value, self->state.met);
        self->quit();
      },
  };
}

// --- bank ---------------------------------------------------------------------------------------------------------------

behavior account(caf::stateful_actor<number_state>* self) {
  return {
      [self](credit_atom, int amount, const actor& target, const actor& teller) {
        // await, not then: an account does nothing else until the other one has answered.
        self->request(target, caf::infinite, debit_atom::value, amount).await([self, amount, teller](done_atom) {
          self->state.number += amount;
          self->send(teller, done_atom::value);
        });
      },
      [self](debit_atom, int amount) {
        self->state.number -= amount;
        return done_atom::value;
      },
  };
}

// The target always comes after the source, so accounts that wait for one another cannot close a cycle.
behavior teller(caf::stateful_actor<number_state>* self, const std::vector<actor>& accounts, int count,
                const actor& waiter) {
  self->state.number = count;
  return {
      [self, accounts, count](go_atom) {
        std::minstd_rand random(42);
        const std::size_t all = accounts.size();
        for (int i = 0; i < count; ++i) {
          const std::size_t source = random() % (all / 10 * 8);
          const std::size_t target = source + 1 + random() % (all - source - 1);
          self->send(accounts[source], credit_atom::value, 10, accounts[target], caf::actor_cast<actor>(self));
        }
      },
      [self, waiter](done_atom) {
        if (--self->state.number == 0) self->send(waiter, done_atom::value);
      },
  };
}

// --- big ----------------------------------------------------------------------------------------------------------------

struct pinger_state {
  std::vector<actor> all;
  std::minstd_rand random;
  int left = 0;
};

behavior pinger(caf::stateful_actor<pinger_state>* self, int number, int share, const actor& waiter) {
  self->state.random.seed(static_cast<unsigned>(number + 1));
  self->state.left = share;
  const auto next = [self] {
    pinger_state& s = self->state;
    self->send(s.all[s.random() % s.all.size()], ping_atom::value, caf::actor_cast<actor>(self));
  };
  return {
      [self](next_atom, const std::vector<actor>& all) { self->state.all = all; },
      [next](go_atom) { next(); },
      [self](ping_atom, const actor& from) { self->send(from, pong_atom::value); },
      [self, next, waiter](pong_atom) {
        if (--self->state.left > 0) {
          next();
        } else {
          self->send(waiter, done_atom::value);
        }
      },
  };
}

template <class T>
T received(scoped_actor& self) {
  T out{};
  self->receive([&](T value) { out = value; });
  return out;
}

void receive_done(scoped_actor& self, int times) {
  for (int i = 0; i < times; ++i) self->receive([](done_atom) {});
}

}  // namespace

double ring(actor_system& system, int scale) {
  const int hops = 2'000'000 / scale;
  scoped_actor self{system};
  std::vector<actor> members;
  for (int i = 0; i < 503; ++i) members.push_back(system.spawn(ring_member, actor{self}));
  for (std::size_t i = 0; i < members.size(); ++i) {
    self->send(members[i], next_atom::value, members[(i + 1) % members.size()]);
  }
  return rate(hops, [&] {
    self->send(members[0], hops);
    receive_done(self, 1);
  });
}

double counting(actor_system& system, int scale) {
  const int count = 3'000'000 / scale;
  scoped_actor self{system};
  const actor target = system.spawn(counter);
  const actor source = system.spawn(counting_producer, target, count, actor{self});
  return rate(count, [&] {
    self->send(source, go_atom::value);
    check(received<std::int64_t>(self), count);
  });
}

double fork_join(actor_system& system, int scale) {
  constexpr int workers = 60;
  const int share = 40'000 / scale;
  scoped_actor self{system};
  std::vector<actor> all;
  for (int i = 0; i < workers; ++i) all.push_back(system.spawn(fork_worker, share, actor{self}));
  const actor master = system.spawn(fork_master, all, share);
  return rate(workers * share, [&] {
    self->send(master, go_atom::value);
    receive_done(self, workers);
  });
}

double chameneos(actor_system& system, int scale) {
  constexpr int creatures = 100;
  const int meetings = 600'000 / scale;
  scoped_actor self{system};
  const actor place = system.spawn(mall, meetings, creatures, actor{self});
  std::vector<actor> all;
  for (int i = 0; i < creatures; ++i) all.push_back(system.spawn(creature, place, i % 3));
  return rate(meetings, [&] {
    for (const actor& one : all) self->send(one, go_atom::value);
    check(received<std::int64_t>(self), 2 * std::int64_t{meetings});
  });
}

double bank(actor_system& system, int scale) {
  const int count = 400'000 / scale;
  scoped_actor self{system};
  std::vector<actor> accounts;
  for (int i = 0; i < 1000; ++i) accounts.push_back(system.spawn(account));
  const actor office = system.spawn(teller, accounts, count, actor{self});
  return rate(count, [&] {
    self->send(office, go_atom::value);
    receive_done(self, 1);
  });
}

double big(actor_system& system, int scale) {
  constexpr int pingers = 120;
  const int share = 10'000 / scale;
  scoped_actor self{system};
  std::vector<actor> all;
  for (int i = 0; i < pingers; ++i) all.push_back(system.spawn(pinger, i, share, actor{self}));
  for (const actor& one : all) self->send(one, next_atom::value, all);
  return rate(pingers * share, [&] {
    for (const actor& one : all) self->send(one, go_atom::value);
    receive_done(self, pingers);
  });
}

}  // namespace bench_peer
