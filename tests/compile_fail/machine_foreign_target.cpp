// SPDX-License-Identifier: Apache-2.0
// spec: SE-3
// expect: coppice: the handler may not go there: this is none of the states in the list of its next<...>
// expect: locked
#include <coppice/otp/gen_statem.hpp>

using namespace coppice;

struct button {};
struct door {
  struct locked {};
  struct open {};
  using all = states<locked, open>;
  next<open> handle(locked&, button) { return locked{}; }
  void handle(open&, button) {}
};

int main() { cast(start<door>(), button{}); }
