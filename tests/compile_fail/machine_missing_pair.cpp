// SPDX-License-Identifier: Apache-2.0
// spec: SE-2
// expect: coppice: the machine has no handle(state&, event) for this event in one of its states
// expect: door
// expect: open
// expect: button
#include <coppice/otp/gen_statem.hpp>

using namespace coppice;

struct button {};
struct door {
  struct locked {};
  struct open {};
  using all = states<locked, open>;
  next<open> handle(locked&, button) { return open{}; }
};

int main() { cast(start<door>(), button{}); }
