// SPDX-License-Identifier: Apache-2.0
// spec: GS-63
// expect: coppice: handle_call must return the request's reply
// expect: ch3
// expect: want
#include <coppice/otp/gen_server.hpp>

#include <string>

using namespace coppice;

struct want { using reply = int; };
struct ch3 {
  std::string handle_call(want) { return "one"; }
};

int main() { return call(start<ch3>(), want{}); }
