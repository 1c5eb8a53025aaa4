// SPDX-License-Identifier: Apache-2.0
// spec: GS-85
// expect: multi_call
#include <coppice/otp/request.hpp>

#include <vector>

using namespace coppice;

struct want { using reply = int; };

int main() { multi_call(std::vector<int>{1, 2}, want{}); }
