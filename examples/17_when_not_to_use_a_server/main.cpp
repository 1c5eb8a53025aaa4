// SPDX-License-Identifier: Apache-2.0
//
// When not to use a server: the same thing as a value, and what a server would have cost.
#include <coppice/otp/gen_server.hpp>

#include <cstdio>
#include <map>
#include <string>
#include <thread>
#include <vector>

using namespace coppice;

bool expect(bool holds, const char* what) {
  std::printf("%s %s\n", holds ? "ok  " : "NOT ", what);
  return holds;
}

// [as_a_server]
// Not so: code in the shape of a process. Every caller waits for every other one, and nothing is gained.
struct price_server {
  struct total { using reply = int; std::vector<int> prices; int percent_off; };
  int handle_call(total t) const {
    int sum = 0;
    for (const int p : t.prices) sum += p;
    return sum * (100 - t.percent_off) / 100;
  }
};
// [/as_a_server]

// [as_a_function]
// So: it has no state, it cannot fail by itself, nobody shares it. A function does.
int total(const std::vector<int>& prices, int percent_off) {
  int sum = 0;
  for (const int p : prices) sum += p;
  return sum * (100 - percent_off) / 100;
}
// [/as_a_function]

// [as_a_value]
// State that one caller has needs no process either: a struct, which its owner holds.
struct basket {
  std::map<std::string, int> items;
  void put(const std::string& what, int price) { items[what] = price; }
  int sum() const {
    int all = 0;
    for (const auto& [what, price] : items) all += price;
    return all;
  }
};
// [/as_a_value]

// [as_a_runtime_property]
// A process when there is something that happens by itself: many callers that share one thing, time, a failure that must
// not spread.
struct till {
  struct pay { using reply = int; int amount; };
  int balance = 0;
  int handle_call(pay p) { return balance += p.amount; }
};
// [/as_a_runtime_property]

int main() {
  bool good = true;
  const auto server = start<price_server>();
  good &= expect(call(server, price_server::total{{100, 100}, 10}) == total({100, 100}, 10), "the same, without a queue");
  basket b;
  b.put("bread", 3);
  good &= expect(b.sum() == 3, "a value");
  const auto shared = start<till>();
  std::vector<std::thread> customers;
  for (int i = 0; i < 4; ++i) customers.emplace_back([&] { (void)call(shared, till::pay{5}); });
  for (std::thread& c : customers) c.join();
  good &= expect(call(shared, till::pay{0}) == 20, "shared by many");
  return good ? 0 : 1;
}
