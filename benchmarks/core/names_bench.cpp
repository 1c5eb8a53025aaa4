// SPDX-License-Identifier: Apache-2.0
//
// Row 7: local names.
#include <coppice/otp/gen_server.hpp>

#include <string>
#include <vector>

#include "core/rows.hpp"

using namespace coppice;

namespace {

struct idle_server {};

class named_servers {
 public:
  explicit named_servers(std::size_t count) {
    for (std::size_t i = 0; i != count; ++i) names_.push_back("name_of_a_server_" + std::to_string(i));
    for (const std::string& name : names_) servers_.push_back(start<idle_server>({.name = name}));
  }
  ~named_servers() {
    for (const auto& server : servers_) stop(server);
  }
  named_servers(const named_servers&) = delete;
  named_servers& operator=(const named_servers&) = delete;

  void find_all_in_turn(std::uint64_t lookups) const {
    std::size_t i = 0;
    while (lookups--) {
      bench::keep(whereis(names_[i]));
      if (++i == names_.size()) i = 0;
    }
  }

 private:
  std::vector<std::string> names_;
  std::vector<server_ref<idle_server>> servers_;
};

double find(bench::state& s, std::size_t names) {
  const named_servers servers(names);
  return core_bench::in_process([&] {
    return s.time([&](std::uint64_t n) { servers.find_all_in_turn(n); });
  });
}

double find_in_two_threads(bench::state& s) {
  const named_servers servers(10'000);
  const std::uint64_t each = s.count(2'000'000);
  return bench::in_threads(2, [&](int) { servers.find_all_in_turn(each); }) / static_cast<double>(2 * each);
}

double register_and_unregister(bench::state& s) {
  return core_bench::in_process([&] {
    return s.time([me = self()](std::uint64_t n) {
      while (n--) {
        register_name("name_that_comes_and_goes", me);
        unregister_name("name_that_comes_and_goes");
      }
    });
  });
}

}  // namespace

void core_bench::add_name_rows(bench::suite& suite) {
  suite.group("7 names");
  suite.row("whereis, 1 name", {.reference = "shared_mutex + map, find 1 name", .max = 8, .peers = "whereis-1",
                                .run = [](bench::state& s) { return find(s, 1); }});
  suite.row("whereis, 10,000 names", {.reference = "shared_mutex + map, find 10000 names", .max = 15, .peers = "whereis-10000",
                                      .run = [](bench::state& s) { return find(s, 10'000); }});
  suite.row("whereis, 10,000 names, 2 threads",
            {.reference = "shared_mutex + map, 2 threads", .max = 8, .two_cores = true, .run = find_in_two_threads});
  suite.row("register + unregister", {.reference = "shared_mutex + map, insert + erase", .max = 45, .peers = "register",
                                      .run = register_and_unregister});
}
