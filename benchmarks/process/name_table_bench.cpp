// SPDX-License-Identifier: Apache-2.0
//
// ./bench names: the table of local names by itself.
#include "support/bench.hpp"

#include "process/name_table.hpp"

#include <atomic>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>
#include <unordered_map>

using namespace coppice::internal;

namespace {

int slot;
const name_holder me{&slot, 1};

std::vector<std::string> make_names(std::size_t count) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i != count; ++i) names.push_back("ch" + std::to_string(i));
  return names;
}

double find(bench::state& s, std::size_t count) {
  name_table table;
  const auto names = make_names(count);
  for (const std::string& name : names) bench::keep(table.insert(name, me));
  std::size_t i = 0;
  return s.time([&](std::uint64_t n) {
    while (n--) {
      bench::keep(table.find(names[i]));
      if (++i == count) i = 0;
    }
  });
}

double find_beside_another_reader(bench::state& s) {
  name_table table;
  bench::keep(table.insert("ch3", me));
  std::atomic<bool> over{false};
  std::thread other([&] {
    while (!over.load(std::memory_order_relaxed)) bench::keep(table.find("ch3"));
  });
  const double ns = s.time([&](std::uint64_t n) {
    while (n--) bench::keep(table.find("ch3"));
  });
  over = true;
  other.join();
  return ns;
}

double register_and_unregister(bench::state& s, std::size_t others) {
  name_table table;
  for (const std::string& name : make_names(others)) bench::keep(table.insert(name, me));
  return s.time([&](std::uint64_t n) {
    while (n--) {
      bench::keep(table.insert("allocator", me));
      bench::keep(table.erase("allocator", me));
    }
  });
}

double map_under_shared_mutex(bench::state& s, std::size_t count) {
  std::shared_mutex mutex;
  std::unordered_map<std::string, name_holder> map;
  const auto names = make_names(count);
  for (const std::string& name : names) map.emplace(name, me);
  std::size_t i = 0;
  return s.time([&](std::uint64_t n) {
    while (n--) {
      std::shared_lock lock(mutex);
      bench::keep(map.find(names[i])->second);
      if (++i == count) i = 0;
    }
  });
}

}  // namespace

int main(int argc, char** argv) {
  bench::suite suite{"names", argc, argv};
  suite.group("find");
  suite.row("unordered_map under a shared_mutex, 1 name",
            {.run = [](bench::state& s) { return map_under_shared_mutex(s, 1); }});
  suite.row("unordered_map under a shared_mutex, 10,000 names",
            {.run = [](bench::state& s) { return map_under_shared_mutex(s, 10'000); }});
  suite.row("1 name", {.max = 8, .run = [](bench::state& s) { return find(s, 1); }});
  suite.row("10,000 names", {.max = 15, .run = [](bench::state& s) { return find(s, 10'000); }});
  suite.row("1,000,000 names", {.run = [](bench::state& s) { return find(s, 1'000'000); }});
  suite.row("1 name, while another thread does the same", {.run = find_beside_another_reader});
  suite.group("register");
  suite.row("insert + erase", {.max = 45, .run = [](bench::state& s) { return register_and_unregister(s, 0); }});
  suite.row("insert + erase beside 10,000 names",
            {.max = 45, .run = [](bench::state& s) { return register_and_unregister(s, 10'000); }});
  return suite.run();
}
