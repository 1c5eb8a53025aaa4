// SPDX-License-Identifier: Apache-2.0
#include "runtime/call_ring.hpp"

#include <socket_calls.hpp>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace coppice::internal {

namespace {

constexpr std::int32_t missing = INT32_MIN;  // no result yet
constexpr int at_once = MSG_DONTWAIT;

/// The two queues lie in one mapping (Linux 5.4), and a call that finds nothing to do is not left to a thread of the kernel (5.7).
constexpr std::uint32_t needed = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_FAST_POLL;

void* map(int fd, std::size_t bytes, std::uint64_t what) noexcept {
  void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, static_cast<off_t>(what));
  return at == MAP_FAILED ? nullptr : at;
}

template <class T>
T* in(void* mapping, std::uint32_t offset) noexcept {
  return reinterpret_cast<T*>(static_cast<char*>(mapping) + offset);
}

}  // namespace

call_ring::call_ring() noexcept { is_open_ = !ring_is_understood || open(); }

call_ring::~call_ring() { unmap(); }

void call_ring::unmap() noexcept {
  if (entries_ != nullptr) ::munmap(entries_, entries_bytes_);
  if (queues_ != nullptr) ::munmap(queues_, queues_bytes_);
  if (fd_ >= 0) ::close(fd_);
  entries_ = queues_ = nullptr;
  fd_ = -1;
}

bool call_ring::open() noexcept {
  io_uring_params p{};
  fd_ = static_cast<int>(::syscall(SYS_io_uring_setup, capacity, &p));
  if (fd_ < 0) return false;
  if ((p.features & needed) == needed) {
    queues_bytes_ = std::max<std::size_t>(p.sq_off.array + p.sq_entries * sizeof(std::uint32_t), p.cq_off.cqes + p.cq_entries * sizeof(io_uring_cqe));
    queues_ = map(fd_, queues_bytes_, IORING_OFF_SQ_RING);
    entries_bytes_ = p.sq_entries * sizeof(io_uring_sqe);
    entries_ = map(fd_, entries_bytes_, IORING_OFF_SQES);
  }
  if (queues_ == nullptr || entries_ == nullptr) return unmap(), false;
  submit_tail_ = in<std::uint32_t>(queues_, p.sq_off.tail);
  submit_mask_ = p.sq_entries - 1;
  done_head_ = in<std::uint32_t>(queues_, p.cq_off.head);
  done_tail_ = in<std::uint32_t>(queues_, p.cq_off.tail);
  done_mask_ = p.cq_entries - 1;
  done_ = in<io_uring_cqe>(queues_, p.cq_off.cqes);
  auto* order = in<std::uint32_t>(queues_, p.sq_off.array);
  for (std::uint32_t i = 0; i < p.sq_entries; ++i) order[i] = i;
  return true;
}

void call_ring::read(int fd, void* into, std::uint32_t bytes) noexcept {
  calls_[count_++] = {.fd = fd, .bytes = bytes, .where = into, .writes = false};
}

void call_ring::write(int fd, const void* from, std::uint32_t bytes) noexcept {
  calls_[count_++] = {.fd = fd, .bytes = bytes, .where = const_cast<void*>(from), .writes = true};
}

std::int32_t call_ring::run_alone(const call& c) noexcept {
  for (;;) {
    const ssize_t n = c.writes ? send_now(c.fd, c.where, c.bytes, MSG_NOSIGNAL) : receive_now(c.fd, c.where, c.bytes);
    if (n >= 0) return static_cast<std::int32_t>(n);
    if (errno != EINTR) return -errno;
  }
}

void call_ring::run(std::int32_t* results) noexcept {
  std::fill_n(results, count_, missing);
  if (fd_ >= 0) run_by_kernel(results);
  for (unsigned i = 0; i < count_; ++i)
    if (results[i] == missing) results[i] = run_alone(calls_[i]);
  count_ = 0;
}

/// What the kernel does not take, for want of memory, say, has no result afterwards.
void call_ring::run_by_kernel(std::int32_t* results) noexcept {
  const std::uint32_t first = *submit_tail_;  // only we write it
  for (unsigned i = 0; i < count_; ++i) {
    auto& entry = static_cast<io_uring_sqe*>(entries_)[(first + i) & submit_mask_];
    std::memset(&entry, 0, sizeof entry);
    entry.opcode = calls_[i].writes ? IORING_OP_SEND : IORING_OP_RECV;
    entry.fd = calls_[i].fd;
    entry.addr = reinterpret_cast<std::uint64_t>(calls_[i].where);
    entry.len = calls_[i].bytes;
    entry.msg_flags = calls_[i].writes ? at_once | MSG_NOSIGNAL : at_once;
    entry.user_data = i;
  }
  __atomic_store_n(submit_tail_, first + count_, __ATOMIC_RELEASE);
  unsigned taken = 0;
  while (taken < count_) {
    const long n = ::syscall(SYS_io_uring_enter, fd_, count_ - taken, 0, 0, nullptr, 0);
    if (n > 0) taken += static_cast<unsigned>(n);
    else if (n == 0 || errno != EINTR) break;
  }
  if (taken < count_) __atomic_store_n(submit_tail_, first + taken, __ATOMIC_RELEASE);
  collect(results, taken);
}

/// The results of `count` calls, which are there already: none of the calls waits.
void call_ring::collect(std::int32_t* results, unsigned count) noexcept {
  for (unsigned done = 0;;) {
    const std::uint32_t end = __atomic_load_n(done_tail_, __ATOMIC_ACQUIRE);
    std::uint32_t at = *done_head_;              // only we write it
    for (; at != end; ++at, ++done) {
      const io_uring_cqe& c = static_cast<const io_uring_cqe*>(done_)[at & done_mask_];
      results[c.user_data] = c.res == -EINVAL || c.res == -EINTR ? missing : c.res;
    }
    __atomic_store_n(done_head_, at, __ATOMIC_RELEASE);
    if (done == count) return;
    ::syscall(SYS_io_uring_enter, fd_, 0, count - done, IORING_ENTER_GETEVENTS, nullptr, 0);
  }
}

}  // namespace coppice::internal
