// SPDX-License-Identifier: Apache-2.0
// spec: SE-62
// expect: coppice: this event is not in the list of the event manager
// expect: flood
#include <coppice/otp/gen_event.hpp>

using namespace coppice;

struct fire {};
struct flood {};

int main() { notify(start<event_manager<fire>>(), flood{}); }
