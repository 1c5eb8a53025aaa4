// SPDX-License-Identifier: Apache-2.0
//
// Notes on servers: a client API that hides the messages, servers with names that users choose, work spread over tasks, and a
// new version that takes over while somebody waits.
#include <coppice/otp/gen_server.hpp>
#include <coppice/otp/registry.hpp>
#include <coppice/otp/request.hpp>
#include <coppice/otp/supervisor.hpp>
#include <coppice/otp/sys.hpp>
#include <coppice/otp/task.hpp>
#include <coppice/process/receive.hpp>

#include <cstdio>
#include <map>
#include <string>
#include <vector>

using namespace coppice;

// [names]
registry<std::string> buckets{supervised, {.name = "buckets", .longest_key = 200}};   // what strangers may use as a name
// [/names]

// [bucket]
/// A shopping list. Whoever uses it sees functions; the messages are nobody else's business and may change.
class bucket {
 public:
  static void open(const std::string& name) { start<bucket>({.name = via(buckets, name)}); }
  static void put(const std::string& name, std::string item, int count) { cast(of(name), add{std::move(item), count}); }
  static int get(const std::string& name, std::string item) { return call(of(name), how_many{std::move(item)}); }
  static void close(const std::string& name) { stop(of(name)); }

  struct add { std::string item; int count; };
  struct how_many { using reply = int; std::string item; };
  using protocol = messages<add, how_many>;

  std::map<std::string, int> items{};
  void handle_cast(add a) { items[a.item] += a.count; }
  int handle_call(how_many q) { return items[q.item]; }

 private:
  static named<bucket> of(const std::string& name) { return via(buckets, name); }
};
// [/bucket]

// [version]
/// The next version also counts how often something was asked for. Its state is made from the old one's.
struct bucket_2 {
  using protocol = bucket::protocol;
  std::map<std::string, int> items{};
  std::map<std::string, int> asked{};

  static bucket_2 upgrade(const bucket& old) { return {.items = old.items}; }
  void handle_cast(bucket::add a) { items[a.item] += a.count; }
  int handle_call(bucket::how_many q) { return ++asked[q.item], items[q.item]; }
};
// [/version]

bool expect(bool holds, const char* what) {
  std::printf("%s %s\n", holds ? "ok  " : "NOT ", what);
  return holds;
}

int slow_square(int n) {
  sleep_for(10ms);
  return n * n;
}

int main() {
  bool good = true;
  registry<std::string, int> visitors;                   // runs from here to the end of the scope

  // [visitors]
  visitors.register_self("ann", 1);
  const auto taken = visitors.try_register_self("ann", 2);
  good &= expect(!taken && taken.error().holder() == self(), taken.error().what());
  good &= expect(visitors.update_value("ann", [](int n) { return n + 1; }).now == 2, "a value of one's own");
  for (const auto& [who, times] : visitors.lookup("ann")) good &= expect(who == self() && times == 2, "who, with what");
  // [/visitors]

  const monitored program = spawn_monitor([&good] {
    const supervisor top = start_supervisor_link({.children = {buckets.child()}});
    good &= expect(bool(buckets.id()), "the registry runs");

    // [use]
    const std::string user = "жаба's \"list\"; DROP TABLE";   // any text: nothing of it stays when the bucket is closed
    bucket::open(user);
    bucket::put(user, "milk", 2);
    good &= expect(bucket::get(user, "milk") == 2, "a bucket by a user's name");
    // [/use]

    // [tasks]
    std::vector<task<int>> squares;
    for (int n = 1; n <= 4; ++n) squares.push_back(async([n] { return slow_square(n); }));
    int sum = 0;
    for (auto& square : squares) sum += square.await();        // all four waited at the same time
    good &= expect(sum == 30, "work spread over tasks");
    // [/tasks]

    // [upgrade]
    const auto old = server_cast<bucket>(buckets.whereis(user));
    sys::suspend(old);
    auto waits = send_request(old, bucket::how_many{"milk"});  // asked before, answered by the new version
    sys::resume(sys::upgrade<bucket_2>(old));
    good &= expect(wait_response(waits).value() == 2, "nobody was disconnected");
    // [/upgrade]
    stop(buckets.whereis(user));
    good &= expect(buckets.count() == 0, "and nothing stays");
  });
  receive([&](const down& d) { good &= expect(d.who == program.who && d.reason.is(exit_reason::normal), "done"); });
  return good ? 0 : 1;
}
