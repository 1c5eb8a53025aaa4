// SPDX-License-Identifier: Apache-2.0
// spec: GS-63 OL-12 EX-107
// expect: coppice: nobody waits for an answer to a cast
// expect: ch3
// expect: give_back
#include <coppice/otp/gen_server.hpp>

using namespace coppice;

struct give_back { int channel; };
struct ch3 {
  auto handle_cast(give_back g) { return reply(g.channel); }
};

int main() { cast(start<ch3>(), give_back{3}); }
