// SPDX-License-Identifier: Apache-2.0
// expect: coppice: a timeout needs a unit
#include <coppice/otp/gen_server.hpp>

using namespace coppice;

struct want { using reply = int; };
struct ch3 {
  int handle_call(want) { return 1; }
};

int main() { return call(start<ch3>(), want{}, 5000); }
