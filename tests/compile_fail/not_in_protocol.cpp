// SPDX-License-Identifier: Apache-2.0
// spec: PR-61
// expect: coppice: the request is not in the protocol
#include <coppice/otp/gen_server.hpp>

using namespace coppice;

struct want { using reply = int; };
struct give_back { using reply = void; };

int main() { call(server_cast<messages<want>>(pid{}), give_back{}); }
