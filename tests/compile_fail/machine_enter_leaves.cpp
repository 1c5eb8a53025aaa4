// SPDX-License-Identifier: Apache-2.0
// spec: SE-20
// expect: coppice: enter returns nothing, an action, entered{actions...} or stop(why)
#include <coppice/otp/gen_statem.hpp>

using namespace coppice;

struct door {
  struct locked {};
  struct open {};
  using all = states<locked, open>;
  next<open> enter(locked&) { return open{}; }
};

int main() { start<door>(); }
