// SPDX-License-Identifier: Apache-2.0
#include "process/class_counts.hpp"

namespace coppice::internal {

namespace {

// Open addressing; a class's place is found once and is its own for good. Classes are types of the program: no stranger makes them.
constexpr std::size_t places = 512;
class_counts table[places];

constexpr std::string_view others_name = "(others)";
class_counts others;

/// The messages since the last one that was measured, up to the `n`th.
unsigned stands_for(std::uint16_t n) noexcept {
  if (n == first_measured) return first_measured;
  if (n != 0 && n <= measured_first) return 1;
  return n == measured_each ? measured_each - measured_first : measured_each;
}

}  // namespace

class_counts& counts_of(std::uint64_t key, const std::string_view& name) noexcept {
  if (key == 0) return others;
  for (std::size_t i = 0; i != places; ++i) {
    class_counts& at = table[(key + i) % places];
    std::uint64_t there = at.key.get();
    if (there == 0) there = at.key.claim(key);
    if (there != key) continue;
    if (at.name.get() == nullptr) at.name.set(&name);
    return at;
  }
  return others;
}

void for_each_class(void (*visit)(void* context, const class_counts& of), void* context) {
  for (const class_counts& c : table)
    if (c.name.get() != nullptr) visit(context, c);
  others.name.set(&others_name);
  if (others.ended.get() != 0 || others.handled.get() != 0) visit(context, others);
}

handler_time::handler_time(const slot& s) noexcept : of_(counts_of(*s.cls)), stands_for_(stands_for(s.handled.get())), since_(sync::now()) {
  if (s.handled.get() == 0) of_.handled.add_shared(std::uint64_t{1} << 16);
}

void count_end(slot& s, bool crashed) noexcept {
  class_counts& of = counts_of(*s.cls);
  of.handled.add_shared(s.handled.get());
  s.handled.set(0);
  of.ended.add_shared(1);
  if (crashed) of.crashed.add_shared(1);
}

}  // namespace coppice::internal
