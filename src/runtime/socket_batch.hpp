// SPDX-License-Identifier: Apache-2.0
//
// socket_batch: what one worker reads from and writes to many sockets together. A system call costs 0.1 to 1 µs before it does anything, and a
// server under load makes two for each request; here they are one for each dozen.
//
//   posting   an answer is copied here instead of being written; a dozen of them go out by one call
//   early     sockets that became readable together are read together, before their owners ask
//
// Posted bytes wait until there is a dozen, or the first of them has waited for 50 µs while the worker serves on, or the worker has nothing else to
// do; where it is stuck, the monitor thread sends them. Whoever wants to do something with a socket that has posted bytes sends them first.
//
// Thread: `post`, `add_early` and `read_early` are its worker's; `flush` and `flush_if_stale` anybody's; an early_read belongs to whoever has
// taken it.
//
// Invariants
//  1. A socket has bytes in one batch at most, and only once; `poll_descriptor::posted` names it. Null again: they are with the kernel, or
//     what is left of them is in `unsent`.
//  2. The lock is not held while anything of the upper rooms runs.
#pragma once

#include <coppice/base/detail/sync.hpp>

#include "runtime/call_ring.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>

namespace coppice::internal {

namespace sync = detail::sync;

struct poll_descriptor;

/// What was read for a socket's owner before it asked: bytes from `begin` to `end`.
struct early_read {
  static constexpr std::uint32_t room = 2048;
  sync::atomic<std::uint32_t> taken;  // 1: somebody's; set by the batch's worker only
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  bool may_have_more = false;   // something has arrived since, or it was full
  char bytes[room];
  void give_back() noexcept { taken.store(0, sync::release); }  // pairs with add_early
};

/// The rest of what was posted, which the kernel did not take.
struct unsent_bytes {
  std::unique_ptr<char[]> bytes;
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
  bool is_empty() const noexcept { return begin == end; }
  std::string_view rest() const noexcept { return {bytes.get() + begin, end - begin}; }
};

class socket_batch {
 public:
  static constexpr std::size_t largest_post = 4096;

  socket_batch() noexcept = default;
  /// False: the system grants no io_uring, and nothing would be gained.
  bool is_of_use() const noexcept { return ring_.is_open(); }

  /// Copies `bytes`, to be written to the socket soon.   Returns: false when there is no room: flush first.
  bool post(poll_descriptor& pd, std::string_view bytes) noexcept;
  bool has_posted() const noexcept { return count_.load(sync::relaxed) != 0; }
  /// Whether it is time to send what there is.
  bool is_due() const noexcept;
  void flush() noexcept;
  /// The monitor thread: sends what it has met before.
  void flush_if_stale() noexcept;

  /// The socket will be read by the next read_early. False: there is no room.
  bool add_early(poll_descriptor& pd) noexcept;
  unsigned early_count() const noexcept { return early_count_; }
  /// Reads all that were added. Those that brought something have it in `poll_descriptor::early`.
  void read_early() noexcept;
  /// Behind that: each of them once more.
  template <class F>
  void take_early(F&& f) noexcept {
    for (unsigned i = 0, n = std::exchange(early_count_, 0); i < n; ++i) f(*early_of_[i]);
  }

 private:
  static constexpr unsigned enough = 16;  // posts
  static constexpr std::int64_t patience = 50'000;  // ns
  static constexpr std::size_t room = 64 * 1024;

  struct posted_bytes {
    poll_descriptor* of;
    std::uint32_t begin;
    std::uint32_t count;
  };
  void run_ring(std::uint32_t calls, std::int32_t* results) noexcept;
  poll_descriptor* settle(const posted_bytes& p, std::int32_t written) noexcept;

  sync::spinlock lock_;
  sync::atomic<std::uint32_t> count_;     // of posts; changed under the lock
  sync::atomic<std::uint64_t> flushes_;   // the monitor compares
  std::uint64_t flushes_met_ = 0;         // by the monitor thread, while something was posted
  std::int64_t since_ = 0;                // when the first of them was posted
  std::uint32_t used_ = 0;
  posted_bytes posts_[enough];
  call_ring ring_;
  unsigned early_count_ = 0;
  unsigned next_early_ = 0;
  poll_descriptor* early_of_[call_ring::capacity];
  early_read* early_into_[call_ring::capacity];
  char bytes_[room];
  early_read early_[call_ring::capacity];
};

}  // namespace coppice::internal
