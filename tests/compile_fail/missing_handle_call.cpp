// SPDX-License-Identifier: Apache-2.0
// spec: GS-122 OL-25
// expect: coppice: the server has no handle_call(request) for this request
// expect: ch3
// expect: give_back
#include <coppice/otp/gen_server.hpp>

using namespace coppice;

struct want { using reply = int; };
struct give_back { using reply = void; int channel; };
struct ch3 {
  int handle_call(want) { return 1; }
};

int main() { call(start<ch3>(), give_back{3}); }
