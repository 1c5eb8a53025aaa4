// SPDX-License-Identifier: Apache-2.0
//
// call_ring: many reads and writes of sockets by one system call. Io_uring serves as a list of calls and as nothing else: each call is one that
// does not wait, so all of them are over when `run` returns, and nothing of ours stays in the kernel.
//
// Where the kernel has no io_uring, or does not grant it (containers often do not), `is_open` is false. Under a sanitizer that has to see
// each call, the ring is open and makes them one by one.
//
// Thread: one at a time.
#pragma once

#include <cstddef>
#include <cstdint>

namespace coppice::internal {

class call_ring {
 public:
  static constexpr unsigned capacity = 64;

  call_ring() noexcept;
  ~call_ring();
  call_ring(const call_ring&) = delete;
  call_ring& operator=(const call_ring&) = delete;

  bool is_open() const noexcept { return is_open_; }

  /// At most `capacity` calls before each `run`. What they read into, or write from, stays where it is until then.
  void read(int fd, void* into, std::uint32_t bytes) noexcept;
  void write(int fd, const void* from, std::uint32_t bytes) noexcept;
  /// Makes the calls, in their order. `results`: for each of them how many bytes, or an errno value below zero.
  void run(std::int32_t* results) noexcept;

 private:
  struct call {
    int fd;
    std::uint32_t bytes;
    void* where;
    bool writes;
  };

  bool open() noexcept;
  void unmap() noexcept;
  void run_by_kernel(std::int32_t* results) noexcept;
  void collect(std::int32_t* results, unsigned count) noexcept;
  static std::int32_t run_alone(const call& c) noexcept;

  call calls_[capacity];
  unsigned count_ = 0;
  bool is_open_ = false;
  int fd_ = -1;  // -1: calls are made one by one
  // Shared with the kernel: the indices of the two queues, the queue of what is done, and the entries of what is to be done.
  void* queues_ = nullptr;
  std::size_t queues_bytes_ = 0;
  void* entries_ = nullptr;
  std::size_t entries_bytes_ = 0;
  std::uint32_t* submit_tail_ = nullptr;
  std::uint32_t submit_mask_ = 0;
  std::uint32_t* done_head_ = nullptr;
  std::uint32_t* done_tail_ = nullptr;
  std::uint32_t done_mask_ = 0;
  void* done_ = nullptr;
};

}  // namespace coppice::internal
