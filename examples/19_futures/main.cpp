// SPDX-License-Identifier: Apache-2.0
//
// Values that come later: futures, promises, delays, a map that runs ahead; and values that are bound in a scope.
#include <coppice/process/process.hpp>
#include <coppice/state/delay.hpp>
#include <coppice/state/future.hpp>
#include <coppice/state/parallel_map.hpp>
#include <coppice/state/promise.hpp>
#include <coppice/state/scoped_value.hpp>
#include <coppice/state/state_error.hpp>

#include <cstdio>
#include <optional>
#include <string>
#include <vector>

using namespace coppice;

static bool expect(bool good, const char* what) {
  std::printf("%s: %s\n", good ? "ok" : "NOT SO", what);
  return good;
}

int main() {
  bool good = true;

  // [future]
  const future sum([] { return 40 + 2; });         // runs at once, elsewhere
  good &= expect(sum.get() == 42, "whoever wants it waits for it, a process or a thread");
  const future endless([](const stop_token& stop) {
    while (!stop.wait_for(1s)) {}                  // asks whether it is still wanted
  });
  good &= expect(!endless.wait_for(1ms), "not there in time");
  endless.cancel();
  try {
    endless.get();
  } catch (const cancelled& e) {
    good &= expect(true, e.what());                // future: it was cancelled
  }
  // [/future]

  // [promise]
  promise<int> port;
  spawn([known = port.get_future()] { std::printf("listening on %d\n", known.get()); });
  good &= expect(port.deliver(8888) && !port.deliver(8889), "the first delivery counts");
  // [/promise]

  // [delay]
  const delay table([] { return std::vector<int>(1000, 7); });
  good &= expect(!table.is_realized() && table.get()->size() == 1000, "made when it is first asked for, once");
  // [/delay]

  // [map]
  const std::vector<std::string> words{"one", "three", "seven"};
  std::size_t letters = 0;
  for (const std::size_t n : parallel_map(words, [](const std::string& w) { return w.size(); })) letters += n;
  good &= expect(letters == 13, "several at a time, in order");
  // [/map]

  // [scope]
  scoped_value<std::string> tenant("nobody");
  std::optional<future<std::string>> who;
  {
    const value_scope as(tenant, "ann");
    who.emplace([&] { return *tenant; });
  }
  good &= expect(*who->get() == "ann" && *tenant == "nobody", "it goes along with what is started in its scope");
  // [/scope]
  return good ? 0 : 1;
}
