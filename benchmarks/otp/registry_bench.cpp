// SPDX-License-Identifier: Apache-2.0
//
// Row 7, keyed registries: look-up, registering, and what a name by via costs a call.
#include <coppice/otp/gen_server.hpp>
#include <coppice/otp/registry.hpp>

#include <string>
#include <vector>

#include "otp/rows.hpp"
#include "support/plain.hpp"

using namespace coppice;

namespace {

struct adder {
  struct add { using reply = std::uint64_t; std::uint64_t n; };
  std::uint64_t sum = 0;
  std::uint64_t handle_call(add a) { return sum += a.n; }
};

class full_registry {
 public:
  explicit full_registry(std::size_t keys) {
    for (std::size_t i = 0; i != keys; ++i) keys_.push_back("name_of_a_server_" + std::to_string(i));
    for (const std::string& key : keys_) registry_.register_self(key);
  }
  void look_all_up(std::uint64_t lookups) const {
    std::size_t i = 0, found = 0;
    for (std::uint64_t n = 0; n != lookups; ++n) {
      found += registry_.lookup(keys_[i]).size();
      if (++i == keys_.size()) i = 0;
    }
    otp_bench::check(found, lookups);
  }

 private:
  registry<std::string> registry_;
  std::vector<std::string> keys_;
};

double look_up(bench::state& s) {
  return otp_bench::in_process([&] {
    const full_registry r(10'000);
    return s.time([&](std::uint64_t n) { r.look_all_up(n); });
  });
}

double look_up_in_two_threads(bench::state& s) {
  const full_registry r(10'000);
  const std::uint64_t each = s.count(2'000'000);
  return bench::in_threads(2, [&](int) { r.look_all_up(each); }) / static_cast<double>(2 * each);
}

double register_and_unregister(bench::state& s) {
  return otp_bench::in_process([&] {
    registry<std::string> r;
    return s.time([&](std::uint64_t n) {
      while (n--) {
        r.register_self("a name");
        r.unregister_self("a name");
      }
    });
  });
}

double call_by_pid(bench::state& s) {
  return otp_bench::in_process([&] {
    const auto server = start<adder>();
    const double ns = s.time([&](std::uint64_t n) { while (n--) bench::keep(call(server, adder::add{1})); });
    stop(server);
    return ns;
  });
}

double call_by_via(bench::state& s) {
  return otp_bench::in_process([&] {
    registry<std::string> r;
    const std::string key = "a name";
    const named<adder> server(via(r, key));
    start<adder>({.name = via(r, key)});
    const double ns = s.time([&](std::uint64_t n) { while (n--) bench::keep(call(server, adder::add{1})); });
    stop(server);
    return ns;
  });
}

/// Both in turn, so that a slow spell of the machine hits both.
double extra_cost_of_via(bench::state& s) {
  double extra = 0;
  for (int i = 0; i != 3; ++i) extra += call_by_via(s) - call_by_pid(s);
  return extra / 3;
}

}  // namespace

void otp_bench::add_registry_rows(bench::suite& suite) {
  suite.group("7 registry");
  suite.row("shared_mutex + map, find 10,000 keys", {.run = [](bench::state& s) { return bench::plain::whereis(s, 10'000); }});
  suite.row("shared_mutex + map, 2 threads", {.two_cores = true, .run = [](bench::state& s) { return bench::plain::whereis_two_threads(s, 10'000); }});
  suite.row("shared_mutex + map, insert + erase", {.run = [](bench::state& s) { return bench::plain::register_and_unregister(s); }});
  suite.row("lookup, 10,000 keys", {.reference = "shared_mutex + map, find 10,000 keys", .max = 20, .peers = "registry-lookup", .run = look_up});
  suite.row("lookup, 10,000 keys, 2 threads",
            {.reference = "shared_mutex + map, 2 threads", .max = 12, .two_cores = true, .run = look_up_in_two_threads});
  suite.row("register + unregister", {.reference = "shared_mutex + map, insert + erase", .max = 150, .peers = "registry-register",
                                      .run = register_and_unregister});
  suite.row("call by pid", {.peers = "call", .run = call_by_pid});
  suite.row("call by via", {.reference = "call by pid", .peers = "via-call", .run = call_by_via});
  suite.row("extra cost of a name by via", {.max = 20, .peers = "via-extra", .run = extra_cost_of_via});
}
