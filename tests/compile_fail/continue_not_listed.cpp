// SPDX-License-Identifier: Apache-2.0
// spec: GS-98
// expect: outcome
// expect: load
#include <coppice/otp/gen_server.hpp>

using namespace coppice;

struct load {};
struct want { using reply = int; };
struct ch3 {
  outcome<int> handle_call(want) { return reply(1, continue_with(load{})); }
  void handle_continue(load) {}
};

int main() { return call(start<ch3>(), want{}); }
