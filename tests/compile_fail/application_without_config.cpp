// SPDX-License-Identifier: Apache-2.0
// expect: a function of an application takes (const config&)
#include <coppice/otp/application.hpp>

int main(int argc, char** argv) {
  return coppice::run({.name = "shop", .start = [] { return coppice::supervisor_spec{}; }}, argc, argv);
}
