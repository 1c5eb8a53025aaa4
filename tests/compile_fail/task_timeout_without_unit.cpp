// SPDX-License-Identifier: Apache-2.0
// spec: EX-3
// expect: coppice: a timeout needs a unit
#include <coppice/otp/task.hpp>

using namespace coppice;

int main() { return async([] { return 1; }).await(5000); }
