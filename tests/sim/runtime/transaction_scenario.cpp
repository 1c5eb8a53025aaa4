// SPDX-License-Identifier: Apache-2.0
//
// Transactions: transfers, opposite orders, killing, readers beside commits, bodies that catch everything.
#include <coppice/state/arithmetic.hpp>
#include <coppice/state/ref.hpp>

#include "runtime/epoch.hpp"
#include "sim/runtime/world.hpp"
#include "state/transaction.hpp"

#include <utility>

namespace {

using namespace coppice;
using namespace coppice::testing;

void begin() {
  whole_program().before();
  internal::renew_transactions();
  internal::limits_of_epochs = {.boxes = 2, .batches = 2};
  internal::limits_of_transactions = {.spins = 1, .wait = 3000, .barge = 300};
}
void finish() {
  internal::drop_transactions();
  internal::drop_program_state();
}
void begin_hastily() {
  begin();
  internal::limits_of_transactions.barge = 0;
}
sim::scenario_options with_refs() {
  sim::scenario_options o = whole_program();
  o.before = &begin;
  o.finish = &finish;
  return o;
}

/// Who is older does not wait for a ref, but kills at once.
sim::scenario_options with_haste() {
  sim::scenario_options o = with_refs();
  o.before = &begin_hastily;
  return o;
}

void transfer_one(ref<int>& from, ref<int>& to) {
  transact([&] {
    to.alter(plus, 1);
    from.alter(minus, 1);
  });
}

/// Two who transfer, one who looks, in a transaction and outside.
void transfers() {
  ref<int> a(0), b(0);
  start_line line(3);
  const auto transfer = [&] {
    detail::here();
    line.pass();
    for (int i = 0; i != 2; ++i)
      transfer_one(b, a);
  };
  runs one(transfer);
  runs two([&] {
    detail::here();
    line.pass();
    for (int i = 0; i != 2; ++i) {
      const int sum = transact([&] { return *a + *b; });
      sim::check(sum == 0, "a sum over a snapshot is wrong");
    }
    const int first = *a;                        // outside: who has seen one half of a commit sees the other
    sim::check(*b <= -first, "half of a commit");
  });
  transfer();
  one.join();
  two.join();
  sim::check(*a == 4 && *b == -4, "an update was lost");
  internal::reclaim();
}

/// One who changes, one who looks and looks.
void looks() {
  ref<int> a(0), b(0);
  start_line line(2);
  runs writer([&] {
    detail::here();
    line.pass();
    for (int i = 0; i != 2; ++i)
      transfer_one(b, a);
  });
  detail::here();
  line.pass();
  for (int i = 0; i != 6; ++i) {
    const int sum = transact([&] { return *b + *a; });
    sim::check(sum == 0, "a sum over a snapshot is wrong");
  }
  writer.join();
  internal::reclaim();
}

/// Values that are no words.
void boxed() {
  struct amount {
    sync::var<int> n;
    amount(int value) : n(value) {}
    amount(const amount& other) : n(other.n.get()) {}
  };
  ref<amount> a(amount(0)), b(amount(0));
  start_line line(2);
  const auto add = [](const amount& to, int n) { return amount(to.n.get() + n); };
  runs other([&] {
    detail::here();
    line.pass();
    for (int i = 0; i != 2; ++i) {
      const int sum = transact([&] { return (*a)->n.get() + (*b)->n.get(); });
      sim::check(sum == 0, "a sum over a snapshot is wrong");
    }
    transact([&] {
      const int before = (*b)->n.get();
      sim::check(a.alter(add, 1)->n.get() == 1 - before, "what is altered is not of the snapshot");
      b.alter(add, -1);
    });
  });
  detail::here();
  line.pass();
  for (int i = 0; i != 3; ++i)
    transact([&] {
      a.alter(add, 1);
      b.alter(add, -1);
    });
  other.join();
  sim::check((*a)->n.get() == 4 && (*b)->n.get() == -4, "an update was lost");
  internal::reclaim();
}

/// Both write both, in opposite orders, having looked before: they wait for, or kill, one another.
void opposite_orders() {
  ref<int> a(0), b(0), seen(7);
  start_line line(2);
  const auto work = [&](ref<int>& first, ref<int>& second) {
    detail::here();
    line.pass();
    for (int i = 0; i != 2; ++i)
      transact([&] {
        static_cast<void>(*seen);
        first.alter(plus, 1);
        second.alter(plus, 1);
      });
  };
  runs one([&] { work(b, a); });
  work(a, b);
  one.join();
  sim::check(*a == 4 && *b == 4, "an update was lost");
  internal::reclaim();
}

/// One writer is older and impatient, the other slow: the word is taken while its owner may be about to commit.
void barging() {
  ref<int> a(0), b(0), other(0);
  start_line line(3);
  const auto work = [&] {
    detail::here();
    line.pass();
    transact([&] {
      const int before = *other;
      a.alter(plus, 1);
      sync::relax();
      b.alter(plus, 1 + 0 * before);
    });
  };
  runs one(work), two(work);
  detail::here();
  line.pass();
  transact([&] { other.alter(plus, 1); });
  one.join();
  two.join();
  sim::check(*a == 2 && *b == 2, "an update was lost");
  internal::reclaim();
}

/// The older one wants what the younger ones are about to commit, or to give back.
void killing() {
  ref<int> a(0), b(0), seen(7), first(0);
  signpost begun, moved;
  const auto change = [&](ref<int>& one, ref<int>& other) {
    one.alter(plus, 1);
    other.alter(plus, 1);
  };
  const auto be_younger = [&](ref<int>& one, ref<int>& other) {
    transact([&] {
      static_cast<void>(*seen);
      change(one, other);
    });
  };
  runs younger([&] {
    detail::here();
    begun.wait();
    transact([&] { seen.alter(inc); });          // the clock moves on: the ages differ
    moved.set();
    be_younger(a, b);
  });
  runs another([&] {
    detail::here();
    moved.wait();
    be_younger(b, a);
  });
  detail::here();
  bool is_first = true;
  transact([&] {
    static_cast<void>(*first);
    if (std::exchange(is_first, false)) {
      begun.set();
      moved.wait();
    }
    change(a, b);
  });
  younger.join();
  another.join();
  sim::check(*a == 3 && *b == 3, "an update was lost");
  internal::reclaim();
}

/// Who is killed before it has been given anything, and takes its snapshot anew, sees nothing that does not belong together.
void killed_at_first() {
  ref<int> a(0), b(0), other(0);
  signpost begun, moved;
  runs younger([&] {
    detail::here();
    begun.wait();
    transact([&] { other.alter(inc); });         // the clock moves on: the ages differ
    moved.set();
    for (int i = 0; i != 2; ++i)
      transact([&] {
        const int before = a.alter(plus, 1) - 1;
        sim::check(*b == before, "two values of different moments");
        b.alter(plus, 1);
      });
  });
  detail::here();
  ref<int> first(0);
  bool is_first = true;
  transact([&] {
    static_cast<void>(*first);
    if (std::exchange(is_first, false)) {
      begun.set();
      moved.wait();
    }
    a.alter(plus, 1);
    b.alter(plus, 1);
  });
  younger.join();
  sim::check(*a == 3 && *b == 3, "an update was lost");
  internal::reclaim();
}

/// A body that catches everything, beside one that commits.
void catching() {
  ref<int> a(0), b(0);
  start_line line(2);
  runs one([&] {
    detail::here();
    line.pass();
    transact([&] { a.set(100); });
  });
  detail::here();
  line.pass();
  transact([&] {
    int seen = 0;
    try {
      seen = *b;
      seen = *a;
      b.alter(plus, 1);
      a.set(seen + 1);
    } catch (const detail::begin_anew&) {
    }
    try {
      b.alter(plus, 1);
    } catch (const detail::begin_anew&) {
    }
  });
  one.join();
  sim::check(*b == 2, "a doomed body was committed");
  sim::check(*a == 101 || *a == 100, "a lost update");
  internal::reclaim();
}

/// Ensured refs, commutes and history.
void ensuring() {
  ref<int> a(1, {.min_history = 1}), b(1, {.min_history = 1}), count(0);
  start_line line(2);
  const auto withdraw = [&](ref<int>& mine, ref<int>& other) {
    detail::here();
    line.pass();
    transact([&] {
      const int sum = *mine + other.ensure();
      if (sum >= 2) mine.alter(dec);
      count.commute(inc);
    });
  };
  runs one([&] { withdraw(b, a); });
  withdraw(a, b);
  one.join();
  sim::check(*a + *b == 1, "write skew in spite of ensure");
  sim::check(*count == 2, "a commute was lost");
  internal::reclaim();
}

const sim::scenario scenarios[] = {{"transaction_transfers", &transfers, with_refs()},
                                   {"transaction_looks", &looks, with_refs()},
                                   {"transaction_boxed", &boxed, with_refs()},
                                   {"transaction_opposite_orders", &opposite_orders, with_refs()},
                                   {"transaction_barging", &barging, with_refs()},
                                   {"transaction_killing", &killing, with_haste()},
                                   {"transaction_killed_at_first", &killed_at_first, with_haste()},
                                   {"transaction_catching", &catching, with_refs()},
                                   {"transaction_ensuring", &ensuring, with_refs()}};

}  // namespace
