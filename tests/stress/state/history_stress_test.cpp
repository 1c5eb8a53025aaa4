// SPDX-License-Identifier: Apache-2.0
//
// history_stress: histories of transactions, agents and held sends, recorded under load and checked as a whole.
#include "spec/state/state_test.hpp"
#include "stress/state/history.hpp"

#include <coppice/otp/call.hpp>
#include <coppice/otp/gen_server.hpp>
#include <coppice/otp/start.hpp>
#include <coppice/state/agent.hpp>
#include <coppice/state/agent_ref.hpp>
#include <coppice/state/ref.hpp>

#include <map>
#include <memory>
#include <random>

using namespace coppice;
using namespace coppice::testing;

namespace {

using record = transaction_record;

/// Refs whose values are versions: every other one of words, of boxes.
class versions {
 public:
  explicit versions(int count) : words_(static_cast<std::size_t>(count)), boxes_(static_cast<std::size_t>(count)) {}

  void read(record& in, int which, bool ensure) {
    long long v = 0;
    if (which % 2 == 0) v = ensure ? word(which).ensure() : *word(which);
    else if (ensure) v = word_of(box(which).ensure());
    else v = word_of(*box(which));
    in.reads.push_back({which, v});
  }
  void write(record& in, int which, long long version) {
    long long from = 0;
    if (which % 2 == 0) word(which).alter([&](long long old) { from = old; return version; });
    else box(which).alter([&](const big& old) { from = word_of(old); return big(version); });
    in.reads.push_back({which, from});
    in.writes.push_back({which, from, version});
  }
  std::atomic<int> torn{0};

 private:
  ref<long long>& word(int which) { return words_[static_cast<std::size_t>(which)]; }
  ref<big>& box(int which) { return boxes_[static_cast<std::size_t>(which)]; }
  long long word_of(const big& b) {
    if (!b.is_whole()) ++torn;
    return b.n;
  }
  std::vector<ref<long long>> words_;
  std::vector<ref<big>> boxes_;
};

/// What one thread or process does; `ensured`: all that is looked at is protected.
class worker {
 public:
  worker(versions& refs, int count, std::atomic<long long>& clock, unsigned seed, bool ensured, bool is_process)
      : refs_(refs), count_(count), clock_(clock), dice_(seed + 1), next_((seed + 1LL) << 40), ensured_(ensured), is_process_(is_process) {}

  record step() {
    record r;
    const int reads = static_cast<int>(dice_() % 4), writes = static_cast<int>(dice_() % 3);
    std::vector<int> which;
    for (int i = 0; i < reads + writes; ++i) which.push_back(static_cast<int>(dice_() % static_cast<unsigned>(count_)));
    r.begin = clock_.fetch_add(1);
    transact([&] {
      r.reads.clear();
      r.writes.clear();
      std::map<int, bool> written;                 // a ref is written once: its own version is no read of another's
      for (int i = 0; i < reads + writes; ++i) {
        const int at = which[static_cast<std::size_t>(i)];
        if (is_process_ && dice_() % 16 == 0) yield();
        if (written.count(at) != 0) continue;
        if (i < reads) {
          refs_.read(r, at, ensured_);
        } else {
          written[at] = true;
          refs_.write(r, at, ++next_);
        }
      }
    });
    r.end = clock_.fetch_add(1);
    return r;
  }

 private:
  versions& refs_;
  int count_;
  std::atomic<long long>& clock_;
  std::minstd_rand dice_;
  long long next_;
  bool ensured_, is_process_;
};

/// A history of two threads and four processes.
std::vector<record> run_all(versions& refs, int count, bool ensured) {
  const world w;
  std::mutex lock;
  std::vector<record> all;
  std::atomic<long long> clock{1};
  const int steps = rounds(300, 20'000);
  const auto work = [&](unsigned seed, bool is_process) {
    worker me(refs, count, clock, seed, ensured, is_process);
    std::vector<record> mine;
    for (int i = 0; i < steps; ++i) mine.push_back(me.step());
    const std::lock_guard held(lock);
    all.insert(all.end(), mine.begin(), mine.end());
  };
  std::vector<reference> ends;
  for (unsigned p = 0; p < 4; ++p) ends.push_back(spawn_monitor([&work, p] { work(p, true); }).ref);
  in_threads(2, [&](int t) { work(static_cast<unsigned>(t) + 10, false); });
  for (const reference end : ends) CHECK(reason_of(end) == exit_reason::normal);
  return all;
}

std::string problem(std::vector<record> all, isolation wanted) { return history(std::move(all)).problem(wanted); }

}  // namespace

TEST_CASE("the checker of histories sees what it is to see") {
  // Two that one after the other is fine with.
  const record first{.reads = {{0, 0}}, .writes = {{0, 0, 1}}, .begin = 1, .end = 4};
  const record second{.reads = {{0, 1}, {1, 0}}, .writes = {{1, 0, 2}}, .begin = 2, .end = 5};
  CHECK(problem({first, second}, isolation::serial).empty());
  // Both replaced the same version.
  CHECK(problem({first, {.reads = {{0, 0}}, .writes = {{0, 0, 9}}, .begin = 2, .end = 5}}, isolation::snapshot).starts_with("lost update"));
  // A version that nobody committed.
  CHECK(problem({first, {.reads = {{0, 7}}, .begin = 2, .end = 5}}, isolation::snapshot).ends_with("never committed"));
  // One half of another's commit.
  const record both{.writes = {{0, 0, 1}, {1, 0, 2}}, .begin = 1, .end = 4};
  CHECK(problem({both, {.reads = {{0, 1}, {1, 0}}, .begin = 2, .end = 5}}, isolation::snapshot) == "a ring without two rw in a row");
  CHECK(problem({both, {.reads = {{0, 0}, {1, 0}}, .begin = 2, .end = 5}}, isolation::snapshot).empty());
  // An old snapshot, after the other was over.
  CHECK_FALSE(problem({both, {.reads = {{0, 0}}, .begin = 5, .end = 6}}, isolation::snapshot).empty());
  // A long fork: two readers who see two commits in two orders.
  CHECK_FALSE(problem({{.writes = {{0, 0, 1}}, .begin = 1, .end = 9},
                       {.writes = {{1, 0, 2}}, .begin = 1, .end = 9},
                       {.reads = {{0, 1}, {1, 0}}, .begin = 1, .end = 9},
                       {.reads = {{0, 0}, {1, 2}}, .begin = 1, .end = 9}}, isolation::snapshot).empty());
  // Write skew: a matter of taste.
  const std::vector<record> skew{{.reads = {{0, 0}, {1, 0}}, .writes = {{0, 0, 1}}, .begin = 1, .end = 4},
                                 {.reads = {{0, 0}, {1, 0}}, .writes = {{1, 0, 2}}, .begin = 2, .end = 5}};
  CHECK(problem(skew, isolation::snapshot).empty());
  CHECK(problem(skew, isolation::serial) == "a ring");
}

TEST_CASE("TX-1 TX-2 TX-3 TX-4 TX-8 histories under load are of snapshot isolation: no lost update, no read skew, no old snapshot") {
  int skewed = 0;
  for (const int count : {2, 6, 40}) {
    versions refs(count);
    const std::vector<record> all = run_all(refs, count, false);
    CHECK(problem(all, isolation::snapshot) == "");
    CHECK(refs.torn == 0);
    skewed += problem(all, isolation::serial).empty() ? 0 : 1;
  }
  MESSAGE("histories with write skew: ", skewed, " of 3");
}

TEST_CASE("TX-9 TX-10 where all that is looked at is ensured histories are of one after another: no write skew") {
  for (const int count : {2, 6, 40}) {
    versions refs(count);
    CHECK(problem(run_all(refs, count, true), isolation::serial) == "");
    CHECK(refs.torn == 0);
  }
}

TEST_CASE("TX-8 TX-9 write skew is there where it is allowed, and never with ensure") {
  const world w;
  for (const bool ensured : {false, true}) {
    int skewed = 0;
    for (int i = 0; i < rounds(200, 20'000); ++i) {
      ref<int> a(1), b(1);
      std::atomic<int> arrived{0};
      const auto take = [&](ref<int>& mine, ref<int>& other) {
        bool first = true;
        transact([&] {
          const int sum = *mine + (ensured ? other.ensure() : *other);
          if (std::exchange(first, false)) {       // both have looked before one writes
            ++arrived;
            while (arrived < 2) std::this_thread::yield();
          }
          if (sum >= 2) mine.alter(dec);
        });
      };
      std::thread one([&] { take(a, b); });
      take(b, a);
      one.join();
      const int left = *a + *b;
      if (left == 0) ++skewed;
      else CHECK(left == 1);
    }
    if (ensured) CHECK(skewed == 0);
    else CHECK(skewed > 0);
  }
}

TEST_CASE("RF-5 RF-6 TX-14 long readers beside writers do not starve, and see one moment") {
  const world w;
  constexpr int many = 100;
  std::vector<ref<long long>> refs(many);
  std::atomic<bool> over{false};
  std::atomic<long long> writes{0};
  std::vector<std::thread> writers;
  for (unsigned t = 0; t < 2; ++t)
    writers.emplace_back([&, t] {
      std::minstd_rand dice(t + 1);
      while (!over) {
        const unsigned a = dice() % many, b = dice() % many;
        transact([&] {
          refs[a].alter(plus, 1);
          refs[b].alter(minus, 1);
        });
        ++writes;
      }
    });
  int most = 0;
  std::uint32_t history_at_most = 0;
  const auto read_all = [&] {
    for (int i = 0; i < rounds(20, 2000); ++i) {
      int attempts = 0;
      const long long sum = transact([&] {
        ++attempts;
        long long s = 0;
        for (int r = 0; r < many; ++r) {
          s += *refs[static_cast<std::size_t>(r)];
          if (r % 25 == 0) {                       // while it looks others commit
            const long long before = writes;
            while (writes < before + 20) std::this_thread::yield();
          }
        }
        return s;
      }, {.attempts = 100});                       // else retry_limit is thrown
      CHECK(sum == 0);
      most = std::max(most, attempts);
    }
  };
  read_all();
  in_process(read_all);
  over = true;
  for (std::thread& t : writers) t.join();
  for (const ref<long long>& r : refs) history_at_most = std::max(history_at_most, r.history_count());
  CHECK(history_at_most <= 10);
  MESSAGE("attempts of a long reader: at most ", most, "; history: at most ", history_at_most, " versions; ", writes.load(), " commits beside it");
}

namespace {

/// Who received what, in which order. Written by one action at a time.
struct received {
  std::vector<std::pair<int, int>> all{};          // stream, number
};
struct note { int stream, number; };
struct fetch { using reply = std::vector<std::pair<int, int>>; };
struct collector {
  std::vector<std::pair<int, int>> all{};
  void handle_cast(note n) { all.emplace_back(n.stream, n.number); }
  std::vector<std::pair<int, int>> handle_call(fetch) { return all; }
};

/// Each of `expected` is there once, each stream in its order.
std::string problem_of(const std::vector<std::pair<int, int>>& got, std::vector<std::pair<int, int>> expected) {
  std::map<int, int> last;
  for (const auto& [stream, number] : got) {
    if (const auto before = last.find(stream); before != last.end() && before->second >= number)
      return "number " + std::to_string(number) + " of stream " + std::to_string(stream) + " after " + std::to_string(before->second);
    last[stream] = number;
  }
  std::vector<std::pair<int, int>> sorted = got;
  std::sort(sorted.begin(), sorted.end());
  std::sort(expected.begin(), expected.end());
  return sorted == expected ? "" : std::to_string(sorted.size()) + " arrived, " + std::to_string(expected.size()) + " were sent";
}

}  // namespace

TEST_CASE("AG-6 AG-13 AG-15 TX-27 TX-28 TX-30 TX-39 EX-61 actions run once and in order; held sends are never lost or doubled") {
  const world w;
  const auto server = start<collector>();
  const auto process = start_agent([] { return std::vector<std::pair<int, int>>(); });
  constexpr int senders = 6;
  const int steps = rounds(300, 30'000);
  received direct, by_action, by_transaction;      // what the three agents below were sent
  std::vector<std::pair<int, int>> expected_direct, expected_by_action, expected_by_transaction;
  std::mutex lock;
  {
    agent<int> target(0), second(0), third(0);
    agent<int> middle(0, {.mode = error_mode::go_on});
    ref<int> r(0), s(0);
    int middle_number = 0;
    std::vector<std::pair<int, int>> from_middle;  // written by middle's actions
    const auto work = [&](int me) {
      std::minstd_rand dice(static_cast<unsigned>(me) + 1);
      std::vector<std::pair<int, int>> sent, committed;
      for (int i = 0; i < steps; ++i) {
        switch (dice() % 4) {
          case 0: {                                // straight
            const auto action = [&direct, me, i](int n) {
              direct.all.emplace_back(me, i);
              return n + 1;
            };
            if (i % 2 == 0) target.send(action);
            else target.send_off(action);
            sent.emplace_back(me, i);
            break;
          }
          case 1: {                                // by way of an action that may fail after it has sent
            const bool fails = dice() % 3 == 0;
            middle.send([&, fails](int n) -> int {
              const int number = ++middle_number;
              second.send([&by_action, number](int x) {
                by_action.all.emplace_back(0, number);
                return x + 1;
              });
              if (fails) throw oops();
              from_middle.emplace_back(0, number);
              return n + 1;
            });
            break;
          }
          default: {                               // by way of a transaction that meets others, and may throw
            const bool throws = dice() % 4 == 0;
            try {
              transact([&] {
                third.send([&by_transaction, me, i](int x) {
                  by_transaction.all.emplace_back(me, i);
                  return x + 1;
                });
                cast(server, note{me, i});
                cast(process, [me, i](std::vector<std::pair<int, int>> all) {
                  all.emplace_back(me, i);
                  return all;
                });
                const int seen = *s;
                if (me % 2 == 0 && dice() % 8 == 0) yield();
                r.alter(plus, seen >= 0 ? 1 : 0);
                s.alter(inc);
                if (throws) throw oops();
              });
              committed.emplace_back(me, i);
            } catch (const oops&) {
            }
          }
        }
      }
      const std::lock_guard held(lock);
      expected_direct.insert(expected_direct.end(), sent.begin(), sent.end());
      expected_by_transaction.insert(expected_by_transaction.end(), committed.begin(), committed.end());
    };
    std::vector<reference> ends;
    for (int p = 0; p < senders; p += 2) ends.push_back(spawn_monitor([&work, p] { work(p); }).ref);
    in_threads(senders / 2, [&](int t) { work(2 * t + 1); });
    for (const reference end : ends) CHECK(reason_of(end) == exit_reason::normal);
    await(middle);
    await(target, second, third);
    expected_by_action = from_middle;
    CHECK(static_cast<std::size_t>(*r) == expected_by_transaction.size());
    CHECK(static_cast<std::size_t>(*third) == expected_by_transaction.size());
  }
  CHECK(problem_of(direct.all, expected_direct) == "");
  CHECK(problem_of(by_action.all, expected_by_action) == "");
  CHECK(problem_of(by_transaction.all, expected_by_transaction) == "");
  CHECK(problem_of(call(server, fetch{}), expected_by_transaction) == "");
  CHECK(problem_of(get(process, [](const auto& all) { return all; }, infinity), expected_by_transaction) == "");
  // It would be seen:
  CHECK(problem_of({{0, 1}, {0, 1}}, {{0, 1}}) != "");
  CHECK(problem_of({{0, 2}, {0, 1}}, {{0, 1}, {0, 2}}) != "");
  CHECK(problem_of({{0, 1}}, {{0, 1}, {0, 2}}) != "");
  stop(server);
  stop(process);
}
