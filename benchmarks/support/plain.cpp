// SPDX-License-Identifier: Apache-2.0
#include "support/plain.hpp"

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <unordered_map>

namespace bench::plain {
namespace {

class inbox {
 public:
  void push(std::uint64_t message) {
    bool was_empty;
    {
      const std::lock_guard lock(mutex_);
      was_empty = waiting_.empty();
      waiting_.push_back(message);
    }
    if (was_empty) arrived_.notify_one();
  }

  void take_all(std::deque<std::uint64_t>& out) {
    std::unique_lock lock(mutex_);
    arrived_.wait(lock, [this] { return !waiting_.empty(); });
    out.swap(waiting_);
  }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<std::uint64_t> waiting_;
};

class name_map {
 public:
  explicit name_map(int names) {
    for (int i = 0; i < names; ++i) keys_.push_back("name_of_a_server_" + std::to_string(i));
    for (const std::string& key : keys_) add(key, 1);
  }
  [[nodiscard]] const std::string& key(std::uint64_t i) const { return keys_[i % keys_.size()]; }

  bool add(const std::string& key, std::uint64_t value) {
    const std::unique_lock lock(mutex_);
    return values_.try_emplace(key, value).second;
  }
  void remove(const std::string& key) {
    const std::unique_lock lock(mutex_);
    values_.erase(key);
  }
  [[nodiscard]] std::uint64_t find(const std::string& key) const {
    const std::shared_lock lock(mutex_);
    const auto found = values_.find(key);
    return found == values_.end() ? 0 : found->second;
  }

 private:
  mutable std::shared_mutex mutex_;
  std::unordered_map<std::string, std::uint64_t> values_;
  std::vector<std::string> keys_;
};

}  // namespace

double cast(state& s, int producers) {
  const auto senders = static_cast<std::uint64_t>(producers);
  const std::uint64_t each = s.count(4'000'000) / senders;
  inbox box;
  const double ns = in_threads(producers + 1, [&](int thread) {
    if (thread > 0) {
      for (std::uint64_t i = 0; i < each; ++i) box.push(i);
      return;
    }
    std::deque<std::uint64_t> batch;
    std::uint64_t sum = 0;
    for (std::uint64_t seen = 0; seen < each * senders;) {
      batch.clear();
      box.take_all(batch);
      for (const std::uint64_t message : batch) sum += message;
      seen += batch.size();
    }
    keep(sum);
  });
  return 1e3 * static_cast<double>(each * senders) / ns;
}

double whereis(state& s, int names) {
  const name_map map(names);
  return s.time([&](std::uint64_t n) {
    while (n--) keep(map.find(map.key(n)));
  });
}

double whereis_two_threads(state& s, int names) {
  const name_map map(names);
  const std::uint64_t each = s.count(2'000'000);
  return in_threads(2,
                    [&](int) {
                      for (std::uint64_t i = 0; i < each; ++i) keep(map.find(map.key(i)));
                    }) /
         static_cast<double>(2 * each);
}

double register_and_unregister(state& s) {
  name_map map(1);
  const std::string key = "name_that_comes_and_goes";
  return s.time([&](std::uint64_t n) {
    while (n--) {
      map.add(key, n);
      map.remove(key);
    }
  });
}

double timer_pair(state& s, int alive) {
  std::minstd_rand random(1);
  std::multimap<std::uint64_t, std::uint64_t> timers;
  for (int i = 0; i < alive; ++i) timers.emplace(random(), 0);
  return s.time([&](std::uint64_t n) {
    while (n--) timers.erase(timers.emplace(random(), n));
  });
}

double call_between_threads(state& s) {
  const std::uint64_t calls = s.count(10'000);
  std::mutex mutex;
  std::condition_variable changed;
  std::uint64_t turn = 0;
  return in_threads(2,
                    [&](int thread) {
                      for (std::uint64_t i = 0; i < calls; ++i) {
                        std::unique_lock lock(mutex);
                        changed.wait(lock, [&] { return turn == 2 * i + static_cast<std::uint64_t>(thread); });
                        ++turn;
                        changed.notify_one();
                      }
                    }) /
         static_cast<double>(calls);
}

void add_rows(suite& suite) {
  suite.group("0 plain C++, for comparison");
  suite.row("two threads, condition variable", {.two_cores = true, .run = call_between_threads});
  suite.row("mutex + deque, 1 producer",
            {.unit = "M/s", .two_cores = true, .run = [](state& s) { return cast(s, 1); }});
  suite.row("mutex + deque, 2 producers",
            {.unit = "M/s", .two_cores = true, .run = [](state& s) { return cast(s, 2); }});
  suite.row("mutex + deque, 8 producers",
            {.unit = "M/s", .two_cores = true, .run = [](state& s) { return cast(s, 8); }});
  suite.row("shared_mutex + map, find 1 name", {.run = [](state& s) { return whereis(s, 1); }});
  suite.row("shared_mutex + map, find 10000 names", {.run = [](state& s) { return whereis(s, 10'000); }});
  suite.row("shared_mutex + map, 2 threads",
            {.two_cores = true, .run = [](state& s) { return whereis_two_threads(s, 10'000); }});
  suite.row("shared_mutex + map, insert + erase", {.run = register_and_unregister});
  suite.row("multimap of 60000 timers, insert + erase", {.run = [](state& s) { return timer_pair(s, 60'000); }});
}

}  // namespace bench::plain
