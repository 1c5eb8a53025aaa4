// SPDX-License-Identifier: Apache-2.0
// spec: GS-98
// expect: coppice: handle_call returns continue_with(x)
// expect: ch3
// expect: want
#include <coppice/otp/gen_server.hpp>

using namespace coppice;

struct load {};
struct want { using reply = int; };
struct ch3 {
  auto handle_call(want) { return reply(1, continue_with(load{})); }
};

int main() { return call(start<ch3>(), want{}); }
