// SPDX-License-Identifier: Apache-2.0
//
// story, the implementation. See story.hpp.
#include "sim/story.hpp"

#include <array>
#include <cinttypes>
#include <cstdio>

namespace coppice::internal::sim {

namespace {

const char* name_of(operation what) noexcept {
  constexpr std::array<const char*, static_cast<std::size_t>(operation::count)> names{
      "load",       "store", "exchange", "fetch_add", "fetch_sub", "fetch_or",   "fetch_and",      "cas",
      "cas failed", "read",  "write",    "sleep on",  "woken on",  "timeout on", "wake",           "now",
      "relax",      "fence", "switch",   "start",     "join",      "end",        "clock leaps to", "clock goes on to"};
  return names[static_cast<std::size_t>(what)];
}

const char* name_of_order(int order) noexcept {
  switch (order) {
    case __ATOMIC_RELAXED:
      return " relaxed";
    case __ATOMIC_ACQUIRE:
      return " acquire";
    case __ATOMIC_RELEASE:
      return " release";
    case __ATOMIC_ACQ_REL:
      return " acq_rel";
    case __ATOMIC_SEQ_CST:
      return " seq_cst";
    default:
      return "";
  }
}

/// Small numbers as they are, addresses in hexadecimal.
std::string value_text(std::uint64_t value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), value < 1'000'000 ? "%" PRIu64 : "0x%" PRIx64, value);
  return text.data();
}

}  // namespace

std::string tell(const story_line& l) {
  std::array<char, 64> head{};
  std::snprintf(head.data(), head.size(), "%6" PRIu64 " %u@%-4" PRIu32 " ", l.step, static_cast<unsigned>(l.thread),
                l.own_count);
  std::string line = head.data() + std::string(l.thread_name) + ": " + name_of(l.what);
  if (l.number != 0) {
    line += ' ';
    if (l.name != nullptr) line += l.name;
    line += " #" + std::to_string(l.number);
  }
  if (l.what == operation::clock_leap || l.what == operation::clock_moves || l.what == operation::now)
    line += ' ' + std::to_string(l.clock) + " ns";
  if (l.order >= 0 || l.what == operation::futex_wait) line += " = " + value_text(l.value);
  if (l.what == operation::futex_wake) line += " (" + value_text(l.value) + " woken)";
  line += name_of_order(l.order);
  if (l.age != 0) line += "  STALE by " + std::to_string(l.age);
  return line;
}

std::string tell(const std::vector<story_line>& story, std::size_t most) {
  std::string text;
  const std::size_t first = story.size() > most ? story.size() - most : 0;
  if (first != 0) text += "    (" + std::to_string(first) + " operations before)\n";
  for (std::size_t i = first; i < story.size(); ++i) text += "    " + tell(story[i]) + '\n';
  return text;
}

}  // namespace coppice::internal::sim
