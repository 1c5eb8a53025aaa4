// SPDX-License-Identifier: Apache-2.0
// spec: GS-63
// expect: coppice: handle_call must return the request's reply
// expect: to answer later, take `from`
// expect: ch3
#include <coppice/otp/gen_server.hpp>

using namespace coppice;

struct want { using reply = int; };
struct ch3 {
  void handle_call(want) {}
};

int main() { return call(start<ch3>(), want{}); }
