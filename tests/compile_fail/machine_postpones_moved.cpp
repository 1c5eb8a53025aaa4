// SPDX-License-Identifier: Apache-2.0
// spec: SE-12
// expect: coppice: an event that its handler may postpone must stay intact: take it by const&
// expect: parcel
#include <coppice/otp/gen_statem.hpp>

#include <memory>

using namespace coppice;

struct parcel { std::unique_ptr<int> inside; };
struct door {
  struct locked {};
  using all = states<locked>;
  next<> handle(locked&, parcel) { return postpone; }
};

int main() { cast(start<door>(), parcel{}); }
