// SPDX-License-Identifier: Apache-2.0
//
// What decides whether code may go: everything that the core holds can be walked.
#include <doctest/doctest.h>

#include <coppice/process/process.hpp>
#include <coppice/process/receive.hpp>
#include <coppice/process/timer.hpp>

#include "process/mailbox.hpp"
#include "process/process_timer.hpp"

#include <algorithm>
#include <string>
#include <vector>

using namespace coppice;

namespace {

struct first { int n; };
struct second { int n; };
struct ring { int n; };

using names = std::vector<std::string>;
void note_name(void* context, const detail::node& n) { static_cast<names*>(context)->push_back(std::string(n.type->name)); }

names queued() {
  names found;
  internal::for_each_node(*detail::current_slot(), &note_name, &found);
  std::sort(found.begin(), found.end());
  return found;
}
names armed() {
  names found;
  internal::for_each_timer(&note_name, &found);
  std::erase_if(found, [](const std::string& s) { return s != "ring"; });
  return found;
}

}  // namespace

TEST_CASE("the nodes that wait for a process, in its inbox and in its fifo") {
  names before, inbox, both, empty_again;
  const auto p = spawn_monitor([&] {
    before = queued();
    send(self(), first{1});
    inbox = queued();
    receive(after(duration{0}, [] {}));                    // takes the inbox in
    send(self(), second{2});
    send(self(), second{3});
    both = queued();
    receive<first>();
    receive<second>();
    receive<second>();
    empty_again = queued();
  });
  receive([&](down d) { CHECK(d.ref == p.ref); });
  CHECK(before.empty());
  CHECK(inbox == names{"first"});
  CHECK(both == names{"first", "second", "second"});
  CHECK(empty_again.empty());
}

TEST_CASE("timers that are armed, and no others") {
  CHECK(armed().empty());
  const reference one = send_after(1h, self(), ring{1});
  const reference two = send_after(1h, self(), ring{2});
  CHECK(armed() == names{"ring", "ring"});
  cancel_timer(one);
  CHECK(armed() == names{"ring"});
  cancel_timer(two);
  CHECK(armed().empty());
}
