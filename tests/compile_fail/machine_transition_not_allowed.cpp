// SPDX-License-Identifier: Apache-2.0
// spec: SE-45
// expect: coppice: the handler goes where the machine's table of transitions (using allowed = transitions<...>) does not lead from this state
// expect: door
#include <coppice/otp/transitions.hpp>

using namespace coppice;

struct button {};
struct door {
  struct locked {};
  struct open {};
  using all = states<locked, open>;
  using allowed = transitions<edge<open, locked>>;
  next<open> handle(locked&, button) { return open{}; }
  void handle(open&, button) {}
};

int main() { cast(start<door>(), button{}); }
