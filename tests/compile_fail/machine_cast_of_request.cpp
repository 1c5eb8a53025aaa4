// SPDX-License-Identifier: Apache-2.0
// spec: SE-2
// expect: coppice: this event is a request
// expect: where
#include <coppice/otp/gen_statem.hpp>

using namespace coppice;

struct where { using reply = int; };
struct door {
  struct locked {};
  using all = states<locked>;
  int handle(locked&, where) { return 1; }
};

int main() { cast(start<door>(), where{}); }
