// SPDX-License-Identifier: Apache-2.0
#include "process/adopt.hpp"

#include "process/query.hpp"
#include "process/spawn.hpp"

namespace coppice::internal {

namespace {

struct adoption {
  pid parent;
  detail::lineage* line;               // of the parent's children; one of its holders is this adoption
};

}  // namespace

void adopt(pid child) {
  slot& me = detail::here();
  adoption a{detail::pid_of(me), share_lineage(me)};
  ask(child, [](slot* s, void* raw) {
    auto& given = *static_cast<adoption*>(raw);
    if (s == nullptr || detail::has(*s, detail::ending)) return;
    detail::extension& e = detail::ext_of(*s);
    e.parent = given.parent;
    drop(std::exchange(e.origin, std::exchange(given.line, nullptr)));
  }, &a);
  drop(a.line);
}

}  // namespace coppice::internal
