// SPDX-License-Identifier: Apache-2.0
//
// A whole program: two applications, one needs the other; their configuration; an orderly end at SIGTERM. It sends itself one,
// so that it ends.
#include <coppice/otp/application.hpp>
#include <coppice/otp/gen_server.hpp>

#include <csignal>
#include <cstdio>
#include <set>
#include <string>

using namespace coppice;

// [servers]
struct store {
  struct size { using reply = int; };
  int channels;
  int handle_call(size) const { return channels; }
};

struct counter {
  static constexpr server_options options{.trap_exit = true};      // so that terminate runs at shutdown
  struct next { using reply = int; };
  int last = 0;
  int handle_call(next) { return ++last; }
  void terminate(const exit_reason& why) { std::printf("counter ends at %d: %s\n", last, to_text(why).c_str()); }
};
// [/servers]

// [needed]
const application storage{
    .name = "storage",
    .options = {{.key = "channels", .fallback = 8, .help = "how many there are", .least = 1}},
    .start = [](const config& c) {
      return supervisor_spec{.name = "storage", .children = {child<store>({.name = "store"}, c.get<int>("channels"))}};
    },
    .stop = [](const config&) { std::puts("storage has stopped"); },
};
// [/needed]

// [main]
int main(int argc, char** argv) {
  return run({.name = "shop",
              .options = {{.key = "greeting", .fallback = "hello", .help = "what it says"}},
              .needs = {storage},                                   // started first, stopped last
              .start = [](const config&) {
                return supervisor_spec{.name = "shop", .intensity = 3, .period = 5s,
                                       .children = {child<counter>({.name = "counter", .shutdown = 2s})}};
              },
              .started = [](const config& c) {                      // the tree stands
                std::printf("%s\n%s", c.get<std::string>("greeting").c_str(), to_text(tree(supervisor("shop"))).c_str());
                std::printf("%d of %d\n", call(named<counter>("counter"), counter::next{}), call(named<store>("store"), store::size{}));
                std::raise(SIGTERM);                                // as an operator would
              }},
             argc, argv);
}
// [/main]
