// SPDX-License-Identifier: Apache-2.0
// spec: SE-2 SE-40
// expect: coppice: a handler of a call answers
// expect: door
// expect: where
#include <coppice/otp/gen_statem.hpp>

using namespace coppice;

struct where { using reply = int; };
struct door {
  struct locked {};
  using all = states<locked>;
  next<> handle(locked&, where) { return keep; }
};

int main() { return call(start<door>(), where{}); }
