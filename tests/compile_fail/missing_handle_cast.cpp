// SPDX-License-Identifier: Apache-2.0
// spec: GS-122 OL-7
// expect: coppice: the server has no handle_cast(message) for this message
// expect: ch3
// expect: give_back
#include <coppice/otp/gen_server.hpp>

using namespace coppice;

struct give_back { int channel; };
struct ch3 {};

int main() { cast(start<ch3>(), give_back{3}); }
