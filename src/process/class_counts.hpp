// SPDX-License-Identifier: Apache-2.0
//
// class_counts: what the processes of each class have done: how many messages they have handled, and in what time; how many have ended,
// crashed, been started again. For statistics: nothing depends on it.
//
// It must cost a call less than a nanosecond. So a process counts in its own slot, in a line that a call writes anyway, and modulo
// 65,536; its class gets to hear of it when that is full, and when it ends. And no clock is read but for a few: a process's third
// message, which stands for the first two as well, and those up to its 64th, then every 256th, which stands for all since the last one that was
// measured. Not the first two: a server that is started, asked and stopped would pay half as much again for its life.
//
// Thread: counting: the process's owner. Everything else any.
#pragma once

#include "process/slot.hpp"

#include <bit>
#include <cstdint>
#include <string_view>

namespace coppice::internal {

using detail::slot;

/// How long handlers took. The bounds are 1.024 µs · 4^k.
struct time_histogram {
  static constexpr std::size_t buckets = 14;            // the last one has no bound
  static constexpr double bound_of(std::size_t bucket) noexcept { return static_cast<double>(std::int64_t{1024} << (2 * bucket)) * 1e-9; }
  static constexpr std::size_t bucket_of(std::int64_t ns) noexcept {
    const auto bits = static_cast<std::size_t>(std::bit_width(ns > 1 ? static_cast<std::uint64_t>(ns - 1) : 0));
    const std::size_t bucket = bits <= 10 ? 0 : (bits - 9) / 2;
    return bucket < buckets ? bucket : buckets - 1;
  }
  void add(std::int64_t ns, std::uint64_t times) noexcept {
    of[bucket_of(ns)].add_shared(times);
    sum.add_shared(static_cast<std::uint64_t>(ns > 0 ? ns : 0) * times);
  }
  sync::tally<std::uint64_t> of[buckets];
  sync::tally<std::uint64_t> sum;                       // ns
};

struct alignas(64) class_counts {
  sync::tally<std::uint64_t> key;                       // class_descriptor::key; 0: this place is free
  sync::tally<const std::string_view*> name;            // a constant's
  sync::tally<std::uint64_t> handled;                   // without what stands in slots
  sync::tally<std::uint64_t> ended;
  sync::tally<std::uint64_t> crashed;
  sync::tally<std::uint64_t> restarted;
  time_histogram time;
};

/// Of that class. When there are more than places for them, the rest share one.
class_counts& counts_of(std::uint64_t key, const std::string_view& name) noexcept;
inline class_counts& counts_of(const detail::class_descriptor& cls) noexcept { return counts_of(cls.key, cls.name); }
/// Calls `visit(context, counts)` for each class that has any.
void for_each_class(void (*visit)(void* context, const class_counts& of), void* context);

inline constexpr unsigned first_measured = 3;
inline constexpr unsigned measured_first = 64;
inline constexpr unsigned measured_each = 256;

/// One more message of `s`.   Returns: how many, modulo 65,536.
inline std::uint16_t count_message(slot& s) noexcept { return s.handled.add(1); }
/// Whether the time of the `n`th one is to be taken: by a handler_time, which carries over to the class, too.
constexpr bool is_measured(std::uint16_t n) noexcept {
  return static_cast<std::uint16_t>(n - first_measured) <= measured_first - first_measured || n % measured_each == 0;
}
/// The same of the one that comes next.
inline bool is_next_measured(const slot& s) noexcept { return is_measured(static_cast<std::uint16_t>(s.handled.get() + 1)); }
/// `s` is about to end; it still has its class.
void count_end(slot& s, bool crashed) noexcept;

/// Takes the time that it lives for, for the message that was counted last. Made by the owner of `s`.
class handler_time {
 public:
  explicit handler_time(const slot& s) noexcept;
  ~handler_time() { of_.time.add(sync::now() - since_, stands_for_); }
  handler_time(const handler_time&) = delete;

 private:
  class_counts& of_;
  const unsigned stands_for_;                           // messages
  const std::int64_t since_;
};

}  // namespace coppice::internal
