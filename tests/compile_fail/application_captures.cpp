// SPDX-License-Identifier: Apache-2.0
// expect: a function of an application captures nothing
#include <coppice/otp/application.hpp>

int main(int argc, char** argv) {
  int channels = 8;
  return coppice::run({.name = "shop", .started = [channels](const coppice::config&) { (void)channels; }}, argc, argv);
}
