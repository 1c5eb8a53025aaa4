// SPDX-License-Identifier: Apache-2.0
// spec: SE-61
// expect: coppice: the handler can not be made from these arguments
// expect: printer
#include <coppice/otp/gen_event.hpp>

using namespace coppice;

struct fire {};
struct printer {
  int lines = 0;
  void handle_event(fire) {}
};

int main() { add_handler<printer>(start<event_manager<fire>>(), {}, "text"); }
