// SPDX-License-Identifier: Apache-2.0
// expect: coppice: the server's class is not complete here
// expect: ch3
#include <coppice/otp/gen_server.hpp>

using namespace coppice;

struct want { using reply = int; };
struct ch3;

int main() { return call(server_cast<ch3>(pid{}), want{}); }
