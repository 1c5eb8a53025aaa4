// SPDX-License-Identifier: Apache-2.0
// spec: GS-46
// expect: coppice: a handle_call that takes `from` answers through it
// expect: ch3
// expect: want
#include <coppice/otp/gen_server.hpp>

using namespace coppice;

struct want { using reply = int; };
struct ch3 {
  int handle_call(want, from<int>) { return 1; }
};

int main() { return call(start<ch3>(), want{}); }
