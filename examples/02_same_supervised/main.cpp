// SPDX-License-Identifier: Apache-2.0
//
// The channel allocator of example 01 in a supervision tree: it traps exits, so that it can clean up; it is stopped, and it is
// started again when it fails.
#include <coppice/otp/gen_server.hpp>
#include <coppice/otp/supervisor.hpp>
#include <coppice/process/process.hpp>

#include <cstdio>
#include <set>

using namespace coppice;

// [server]
struct ch3 {
  static constexpr named<ch3> server{"ch3"};
  static constexpr server_options options{.trap_exit = true};    // else terminate does not run when the supervisor stops it
  static constexpr child_options child_defaults{.name = "ch3", .shutdown = 2s};
  static int  alloc()           { return call(server, want{}); }
  static void free(int channel) { cast(server, give_back{channel}); }
 private:
  struct want      { using reply = int; };
  struct give_back { int channel; };
 public:
  std::set<int> idle;
  void init(int channels) {
    for (int c = 1; c <= channels; ++c) idle.insert(c);
  }
  outcome<int> handle_call(want) {
    if (idle.empty()) return stop(exit_reason("no channel left"));
    return idle.extract(idle.begin()).value();
  }
  void handle_cast(give_back m) { idle.insert(m.channel); }
  void terminate(const exit_reason& why) { std::printf("ch3 cleans up: %s\n", to_text(why).c_str()); }
};
// [/server]

// [tree]
supervisor_spec channels(int how_many) {
  return {.name = "channels", .strategy = one_for_one, .intensity = 3, .period = 5s, .children = {child<ch3>({}, how_many)}};
}
// [/tree]

int main() {
  bool good = true;
  const auto expect = [&](bool is_so, const char* what) {
    if (!is_so) std::printf("NOT: %s\n", what);
    good &= is_so;
  };

  // [start]
  const supervisor top = start_supervisor(channels(2));          // returns when every child has started
  std::printf("%s", to_text(tree(top)).c_str());
  // [/start]

  // [crash]
  ch3::alloc();
  ch3::alloc();
  const pid before = top.which_child("ch3").who;
  try {
    ch3::alloc();                                                // none left: the server stops, which is no quiet end …
  } catch (const call_error& e) {
    std::printf("%s\n", e.what());
  }
  const pid now = top.which_child("ch3").who;                    // … so there is a new one, with all its channels
  // [/crash]
  expect(now && now != before, "the server was started again");
  expect(ch3::alloc() == 1, "the new one has its channels");

  // [by_hand]
  top.terminate_child("ch3");                                    // terminate runs; the spec stays
  expect(!whereis(ch3::server), "nobody has the name");
  top.restart_child("ch3");
  // [/by_hand]
  expect(ch3::alloc() == 1, "it is there again");

  stop(top.id(), exit_reason::shutdown);                         // the children first, newest first
  expect(!whereis(ch3::server), "all are gone");
  return good ? 0 : 1;
}
