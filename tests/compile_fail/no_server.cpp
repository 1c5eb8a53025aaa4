// SPDX-License-Identifier: Apache-2.0
// spec: OL-26
// expect: coppice: this is no server
#include <coppice/otp/gen_server.hpp>

int main() { coppice::start<int>(); }
