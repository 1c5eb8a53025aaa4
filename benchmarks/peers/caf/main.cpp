// SPDX-License-Identifier: Apache-2.0
//
// CAF's side of the rows in ../README.md: `bench_peer <row> [quick]` measures one and prints its line.
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>

#include "bench_peer.hpp"

namespace bench_peer {
namespace {

struct row {
  const char* unit;
  std::function<double(actor_system&, int)> measure;
  /// CAF's default steals from the end of a singly linked queue, which it walks each time: with very many runnable actors
  /// nothing moves any more, so that row takes the other policy.
  const char* policy = "stealing";
};

const std::map<std::string, row> rows{
    {"call", {"ns", call}},
    {"call-thread", {"ns", call_from_thread}},
    {"echo", {"ns", echo}},
    {"cast-1", {"M/s", [](actor_system& system, int scale) { return cast(system, 1, scale); }}},
    {"cast-2", {"M/s", [](actor_system& system, int scale) { return cast(system, 2, scale); }}},
    {"cast-8", {"M/s", [](actor_system& system, int scale) { return cast(system, 8, scale); }}},
    {"spawn", {"M/s", spawn_in_turn}},
    {"spawn-alive", {"M/s", spawn_alive, "sharing"}},
    {"start-idle", {"M/s", start_idle}},
    {"memory-server", {"bytes", memory_server}},
    {"ring", {"M/s", ring}},
    {"counting", {"M/s", counting}},
    {"fork-join", {"M/s", fork_join}},
    {"chameneos", {"M/s", chameneos}},
    {"bank", {"M/s", bank}},
    {"big", {"M/s", big}},
    {"timer-start", {"ns", timer_start}},
};

int run(const std::string& name, int scale) {
  const auto chosen = rows.find(name);
  if (chosen == rows.end()) {
    std::fprintf(stderr, "no row %s\n", name.c_str());
    return 2;
  }
  caf::actor_system_config config;
  config.set("scheduler.max-threads", 2);
  config.set("scheduler.policy", caf::atom_from_string(chosen->second.policy));
  actor_system system{config};
  system.await_actors_before_shutdown(false);
  const double value = chosen->second.measure(system, scale);
  std::printf("%s\t%.3f\t%s\n", name.c_str(), value, chosen->second.unit);
  // A million idle actors are not taken down one by one: the value is out.
  std::fflush(stdout);
  std::_Exit(0);
}

}  // namespace

void check(std::int64_t got, std::int64_t wanted) {
  if (got != wanted)
    throw std::runtime_error("counted " + std::to_string(got) + " instead of " + std::to_string(wanted));
}

}  // namespace bench_peer

int main(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "";
  if (name == "list") {
    for (const auto& entry : bench_peer::rows) std::printf("caf\t%s\n", entry.first.c_str());
    return 0;
  }
  if (name == "version") {
    std::printf("CAF %d.%d.%d, 2 workers\n", CAF_MAJOR_VERSION, CAF_MINOR_VERSION, CAF_PATCH_VERSION);
    return 0;
  }
  const bool quick = argc > 2 && std::strcmp(argv[2], "quick") == 0;
  return bench_peer::run(name, quick ? 8 : 1);
}
