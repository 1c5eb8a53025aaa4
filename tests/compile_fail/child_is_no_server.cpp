// SPDX-License-Identifier: Apache-2.0
// spec: EX-102
// expect: coppice: this is no server
#include <coppice/otp/child.hpp>

int main() { (void)coppice::child<int>(); }
