// SPDX-License-Identifier: Apache-2.0
// expect: coppice: the server has no handle_call(request) for this request (take it by value or const&)
// expect: ch3
// expect: want
#include <coppice/otp/gen_server.hpp>

using namespace coppice;

struct want { using reply = int; };
struct ch3 {
  int handle_call(want&) { return 1; }
};

int main() { return call(start<ch3>(), want{}); }
