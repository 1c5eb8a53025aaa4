// SPDX-License-Identifier: Apache-2.0
// spec: GS-13
// expect: name
#include <coppice/otp/gen_server.hpp>

using namespace coppice;

struct ch3 {};

int main() { start<ch3>({.name = 42}); }
