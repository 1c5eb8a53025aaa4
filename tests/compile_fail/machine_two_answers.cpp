// SPDX-License-Identifier: Apache-2.0
// spec: SE-40
// expect: coppice: a call has one answer: put one reply(v) among the actions, or postpone
#include <coppice/otp/gen_statem.hpp>

using namespace coppice;

struct where { using reply = int; };
struct door {
  struct locked {};
  struct open {};
  using all = states<locked, open>;
  replies<int, open> handle(locked&, where) { return {open{}, state_timeout{1s}}; }
  int handle(open&, where) { return 1; }
};

int main() { return call(start<door>(), where{}); }
