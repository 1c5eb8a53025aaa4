// SPDX-License-Identifier: Apache-2.0
// expect: coppice: the request does not say what its reply is
// expect: want
#include <coppice/otp/gen_server.hpp>

using namespace coppice;

struct want {};
struct ch3 {
  int handle_call(want) { return 1; }
};

int main() { call(start<ch3>(), want{}); }
