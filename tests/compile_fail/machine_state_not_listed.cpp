// SPDX-License-Identifier: Apache-2.0
// spec: SE-3
// expect: coppice: the handler goes to something that is not in the machine's list of states
// expect: door
#include <coppice/otp/gen_statem.hpp>

using namespace coppice;

struct button {};
struct door {
  struct locked {};
  struct open {};
  struct jammed {};
  using all = states<locked, open>;
  next<jammed> handle(locked&, button) { return jammed{}; }
  void handle(open&, button) {}
};

int main() { cast(start<door>(), button{}); }
