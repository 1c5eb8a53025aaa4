// SPDX-License-Identifier: Apache-2.0
// spec: EX-83
// expect: coppice: a registry's value is copied for whoever looks it up: it needs a copy constructor
#include <coppice/otp/registry.hpp>

#include <memory>

using namespace coppice;

int main() { registry<int, std::unique_ptr<int>> rooms; }
