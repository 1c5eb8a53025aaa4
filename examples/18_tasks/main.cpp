// SPDX-License-Identifier: Apache-2.0
//
// Work that goes on beside us: tasks, groups, streams, and tasks of servers that cannot wait.
#include <coppice/otp/async_stream.hpp>
#include <coppice/otp/gen_server.hpp>
#include <coppice/otp/task_group.hpp>
#include <coppice/otp/task_message.hpp>
#include <coppice/process/receive.hpp>

#include <cstdio>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

using namespace coppice;

int fetch_price(const std::string& article) {                     // stands for something that takes its time
  if (article == "unicorn") throw std::runtime_error("no price for " + article);
  sleep_for(1ms);
  return static_cast<int>(article.size()) * 100;
}

// [server]
struct shop {                                                     // answers when its task has: others are served meanwhile
  struct price { using reply = int; std::string article; };
  std::map<std::uint64_t, from<int>> asked{};

  void handle_call(price q, from<int> who) {
    const monitored t = async_message(this, [q] { return fetch_price(q.article); });
    asked.emplace(t.ref.number(), std::move(who));
  }
  void handle_info(task_reply<int> r) {                           // the value
    demonitor_and_flush(r.ref);
    answer(r.ref, r.value);
  }
  void handle_info(down d) { answer(d.ref, 0); }                  // it failed
  void answer(reference ref, int value) { std::move(asked.extract(ref.number()).mapped()).reply(value); }
};
// [/server]

bool expect(bool holds, const char* what) {
  std::printf("%s %s\n", holds ? "ok  " : "NOT ", what);
  return holds;
}

bool work() {
  bool good = true;

  // [one]
  auto tea = async([] { return fetch_price("tea"); });            // a process of its own, linked to this one
  auto bread = async([] { return fetch_price("bread"); });        // and another one, at the same time
  good &= expect(tea.await() + bread.await(10s) == 800, "two prices");
  // [/one]

  // [failure]
  auto risky = async_nolink([] { return fetch_price("unicorn"); });
  try {
    risky.await();
  } catch (const task_failed& e) {                                // task <0.7> failed: std::runtime_error: no price for unicorn
    good &= expect(e.reason().text() == "no price for unicorn", e.what());
  }
  // [/failure]

  // [yield]
  auto slow = async([] { return sleep_for(1h), 1; });
  auto r = slow.yield(2ms);                                       // nothing yet
  if (!r) r = slow.shutdown();                                    // a value that came in between would not be lost
  good &= expect(!r, "ended before it had a value");
  // [/yield]

  // [group]
  std::vector<int> prices(3);
  {
    task_group group;                                             // its tasks end before this scope does, however that is left
    for (std::size_t i = 0; i < prices.size(); ++i)
      (void)group.async([&prices, i] { prices[i] = fetch_price(std::string(i + 1, 'x')); });
    group.await_all(10s);
  }
  good &= expect(prices == std::vector{100, 200, 300}, "a scope of tasks");
  // [/group]

  // [stream]
  const std::vector<std::string> articles{"tea", "unicorn", "milk"};
  int sum = 0;
  for (auto& p : async_stream_nolink(articles, fetch_price, {.max_concurrency = 2, .zip_input_on_exit = true})) {
    if (p) sum += *p;
    else std::printf("     %s: %s\n", p.error().element()->c_str(), p.error().what());
  }
  good &= expect(sum == 700, "the sum of those that have a price");
  // [/stream]

  const auto s = start<shop>();
  good &= expect(call(s, shop::price{"bread"}) == 500, "a server that does not wait for its tasks");
  good &= expect(call(s, shop::price{"unicorn"}) == 0, "nor for those that fail");
  stop(s);
  return good;
}

int main() {
  const monitored m = spawn_monitor(work);                        // links need a process; all but them works in a thread, too
  bool good = false;
  receive([&](const down& d) { good = d.reason.is(exit_reason::normal); });
  (void)m;
  return good && work() ? 0 : 1;
}
