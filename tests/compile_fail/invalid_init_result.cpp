// SPDX-License-Identifier: Apache-2.0
// spec: GS-29 OL-3
// expect: coppice: init returns nothing, ok(...), ignore, fail(why), stop(why) or init_outcome
// expect: ch3
#include <coppice/otp/gen_server.hpp>

using namespace coppice;

struct ch3 {
  int init() { return 5; }
};

int main() { start<ch3>(); }
