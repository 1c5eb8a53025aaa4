// SPDX-License-Identifier: Apache-2.0
// spec: PR-61
// expect: coppice: the protocol lists a message for which the server has no handler
// expect: ch3
#include <coppice/otp/gen_server.hpp>

using namespace coppice;

struct want { using reply = int; };
struct give_back {};
struct ch3 {
  using protocol = messages<want, give_back>;
  int handle_call(want) { return 1; }
};

int main() { start<ch3>(); }
