// SPDX-License-Identifier: Apache-2.0
// expect: coppice: a bare pid does not say what may be asked of it: use server_cast<Server>(pid)
#include <coppice/otp/gen_server.hpp>

using namespace coppice;

struct want { using reply = int; };

int main() { return call(pid{}, want{}); }
