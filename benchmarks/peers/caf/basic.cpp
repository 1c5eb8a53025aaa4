// SPDX-License-Identifier: Apache-2.0
//
// Rows 1 to 3 and 8: call, cast, actors, delayed messages.
#include <unistd.h>

#include <fstream>
#include <vector>

#include "bench_peer.hpp"

namespace bench_peer {
namespace {

struct sum_state {
  std::int64_t sum = 0;
};

behavior sum_server(caf::stateful_actor<sum_state>* self) {
  return {
      [self](add_atom, std::int64_t n) { return self->state.sum += n; },
      [self](sum_atom) { return self->state.sum; },
  };
}

struct caller_state {
  int left = 0;
  actor waiter;
};

void next_call(caf::stateful_actor<caller_state>* self, const actor& server) {
  if (self->state.left-- == 0) {
    self->send(self->state.waiter, done_atom::value);
    return;
  }
  self->request(server, caf::infinite, add_atom::value, std::int64_t{1}).then([self, server](std::int64_t) {
    next_call(self, server);
  });
}

behavior caller(caf::stateful_actor<caller_state>* self, const actor& server, int calls, const actor& waiter) {
  self->state = {calls, waiter};
  return {[self, server](go_atom) { next_call(self, server); }};
}

behavior echo_client(caf::stateful_actor<caller_state>* self, const actor& server, int calls, const actor& waiter) {
  self->state = {calls, waiter};
  const auto next = [self, server] {
    if (self->state.left-- == 0) {
      self->send(self->state.waiter, done_atom::value);
    } else {
      self->send(server, 1);
    }
  };
  return {[next](go_atom) { next(); }, [next](int) { next(); }};
}

// Answers by a message of its own.
behavior echo_server(event_based_actor* self) {
  return {[self](int n) { self->send(caf::actor_cast<actor>(self->current_sender()), n); }};
}

struct counted_state {
  int left = 0;
};

behavior cast_sink(caf::stateful_actor<counted_state>* self, int total, const actor& waiter) {
  self->state.left = total;
  return {[self, waiter](add_atom, std::int64_t) {
    if (--self->state.left == 0) self->send(waiter, done_atom::value);
  }};
}

behavior producer(event_based_actor* self, const actor& sink, int messages) {
  return {[self, sink, messages](go_atom) {
    for (int i = 0; i < messages; ++i) self->send(sink, add_atom::value, std::int64_t{1});
    self->quit();
  }};
}

void wait_for_done(scoped_actor& self) {
  self->receive([](done_atom) {});
}

behavior short_lived(event_based_actor* self, const actor& parent) {
  self->send(parent, done_atom::value);
  return {};
}

behavior spawner(caf::stateful_actor<caller_state>* self, int count, const actor& waiter) {
  self->state = {count, waiter};
  const auto next = [self] {
    if (self->state.left-- == 0) {
      self->send(self->state.waiter, done_atom::value);
    } else {
      self->spawn(short_lived, caf::actor_cast<actor>(self));
    }
  };
  return {[next](go_atom) { next(); }, [next](done_atom) { next(); }};
}

behavior waiting(event_based_actor* self, const actor& parent) {
  return {[self, parent](stop_atom) {
    self->send(parent, done_atom::value);
    self->quit();
  }};
}

behavior mass_spawner(caf::stateful_actor<counted_state>* self, int count, const actor& waiter) {
  self->state.left = count;
  return {
      [self, count](go_atom) {
        std::vector<actor> all;
        all.reserve(static_cast<std::size_t>(count));
        for (int i = 0; i < count; ++i) all.push_back(self->spawn(waiting, caf::actor_cast<actor>(self)));
        for (const actor& one : all) self->send(one, stop_atom::value);
      },
      [self, waiter](done_atom) {
        if (--self->state.left == 0) self->send(waiter, done_atom::value);
      },
  };
}

behavior timer_owner(event_based_actor* self, int count, const actor& waiter) {
  return {
      [self, count, waiter](go_atom) {
        for (int i = 0; i < count; ++i)
          self->delayed_send(self, std::chrono::milliseconds(60'000 + i % 60'000), done_atom::value);
        self->send(waiter, done_atom::value);
      },
      [](done_atom) {},
  };
}

std::vector<actor> start_servers(actor_system& system, int count) {
  std::vector<actor> out;
  out.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) out.push_back(system.spawn(sum_server));
  return out;
}

double resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  double pages = 0;
  statm >> pages >> pages;
  return pages * static_cast<double>(sysconf(_SC_PAGESIZE));
}

// Starts `who` by a `go` and waits until it says that it is done.
template <class Actor>
auto started(scoped_actor& self, const Actor& who) {
  return [&self, who] {
    self->send(who, go_atom::value);
    wait_for_done(self);
  };
}

}  // namespace

double call(actor_system& system, int scale) {
  const int calls = 800'000 / scale;
  scoped_actor self{system};
  const actor server = system.spawn(sum_server);
  return each(calls, started(self, system.spawn(caller, server, calls, actor{self})));
}

double call_from_thread(actor_system& system, int scale) {
  const int calls = 20'000 / scale;
  scoped_actor self{system};
  const actor server = system.spawn(sum_server);
  return each(calls, [&] {
    for (int i = 0; i < calls; ++i) {
      self->request(server, caf::infinite, add_atom::value, std::int64_t{1})
          .receive([](std::int64_t) {}, [](caf::error&) { check(0, 1); });
    }
  });
}

double echo(actor_system& system, int scale) {
  const int calls = 1'000'000 / scale;
  scoped_actor self{system};
  const actor server = system.spawn(echo_server);
  return each(calls, started(self, system.spawn(echo_client, server, calls, actor{self})));
}

double cast(actor_system& system, int producers, int scale) {
  const int share = 2'400'000 / scale / producers;
  scoped_actor self{system};
  const actor sink = system.spawn(cast_sink, share * producers, actor{self});
  std::vector<actor> all;
  for (int i = 0; i < producers; ++i) all.push_back(system.spawn(producer, sink, share));
  return rate(share * producers, [&] {
    for (const actor& one : all) self->send(one, go_atom::value);
    wait_for_done(self);
  });
}

double spawn_in_turn(actor_system& system, int scale) {
  const int count = 250'000 / scale;
  scoped_actor self{system};
  return rate(count, started(self, system.spawn(spawner, count, actor{self})));
}

double spawn_alive(actor_system& system, int scale) {
  const int count = 1'000'000 / scale;
  scoped_actor self{system};
  return rate(count, started(self, system.spawn(mass_spawner, count, actor{self})));
}

double start_idle(actor_system& system, int scale) {
  const int count = 1'000'000 / scale;
  std::vector<actor> servers;
  return rate(count, [&] { servers = start_servers(system, count); });
}

double memory_server(actor_system& system, int scale) {
  const int count = 1'000'000 / scale;
  const double before = resident_bytes();
  const std::vector<actor> servers = start_servers(system, count);
  return (resident_bytes() - before) / static_cast<double>(servers.size());
}

double timer_start(actor_system& system, int scale) {
  const int count = 200'000 / scale;
  scoped_actor self{system};
  return each(count, started(self, system.spawn(timer_owner, count, actor{self})));
}

}  // namespace bench_peer
