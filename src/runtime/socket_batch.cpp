// SPDX-License-Identifier: Apache-2.0
#include "runtime/socket_batch.hpp"

#include "runtime/poller.hpp"

#include <cerrno>
#include <cstring>
#include <new>

#include <sys/socket.h>

namespace coppice::internal {

void socket_batch::run_ring(std::uint32_t calls, std::int32_t* results) noexcept {
  ring_.run(results);
  count(counted::batches);
  count(counted::batched_calls, calls);
}

// --- posting ---------------------------------------------------------------------------------------------------------

bool socket_batch::post(poll_descriptor& pd, std::string_view bytes) noexcept {
  sync::lock_guard held(lock_);
  const std::uint32_t n = count_.load(sync::relaxed);
  if (n == enough) return false;
  if (n == 0) {
    used_ = 0;
    since_ = here().clock;
  }
  std::memcpy(bytes_ + used_, bytes.data(), bytes.size());
  posts_[n] = {.of = &pd, .begin = used_, .count = static_cast<std::uint32_t>(bytes.size())};
  used_ += static_cast<std::uint32_t>(bytes.size());
  pd.posted.store(this, sync::relaxed);   // whoever owns the socket next has it from us
  count_.store(n + 1, sync::relaxed);
  return true;
}

bool socket_batch::is_due() const noexcept {
  return count_.load(sync::relaxed) == enough || here().clock - since_ >= patience;
}

void socket_batch::flush() noexcept {
  poll_descriptor* to_tell[enough];
  unsigned told = 0;
  {
    sync::lock_guard held(lock_);
    const std::uint32_t n = count_.load(sync::relaxed);
    if (n == 0) return;
    for (std::uint32_t i = 0; i < n; ++i) ring_.write(posts_[i].of->fd, bytes_ + posts_[i].begin, posts_[i].count);
    std::int32_t written[enough];
    run_ring(n, written);
    for (std::uint32_t i = 0; i < n; ++i)
      if (poll_descriptor* pd = settle(posts_[i], written[i])) to_tell[told++] = pd;
    count_.store(0, sync::relaxed);
    flushes_.store(flushes_.load(sync::relaxed) + 1, sync::relaxed);
  }
  for (unsigned i = 0; i < told; ++i) to_tell[i]->of->notify(*to_tell[i]);
}

/// Returns: the socket, if its owner has to look after it.
poll_descriptor* socket_batch::settle(const posted_bytes& p, std::int32_t written) noexcept {
  poll_descriptor& pd = *p.of;
  const bool failed = written < 0 && written != -EAGAIN;
  const std::uint32_t done = written > 0 ? static_cast<std::uint32_t>(written) : 0;
  if (!failed) count(counted::bytes_written, done);
  bool to_tell = failed;                  // its next read says what is wrong
  if (!failed && done < p.count) {
    to_tell = true;
    const std::uint32_t left = p.count - done;
    char* kept = ::new (std::nothrow) char[left];
    if (kept != nullptr) {
      std::memcpy(kept, bytes_ + p.begin + done, left);
      pd.unsent.bytes.reset(kept);
      pd.unsent.end = left;
    } else {
      ::shutdown(pd.fd, SHUT_RDWR);       // half an answer must not be followed by another
    }
  }
  pd.posted.store(nullptr, sync::release);  // pairs with finish_posted
  return to_tell ? &pd : nullptr;
}

void socket_batch::flush_if_stale() noexcept {
  if (!has_posted()) return;
  const std::uint64_t flushes = flushes_.load(sync::relaxed) + 1;
  if (flushes == flushes_met_) flush();
  flushes_met_ = flushes;
}

// --- early -----------------------------------------------------------------------------------------------------------

bool socket_batch::add_early(poll_descriptor& pd) noexcept {
  early_read& into = early_[next_early_ % call_ring::capacity];
  if (early_count_ == call_ring::capacity || into.taken.load(sync::acquire) != 0) return false;
  ++next_early_;
  into.taken.store(1, sync::relaxed);
  early_of_[early_count_] = &pd;
  early_into_[early_count_++] = &into;
  return true;
}

void socket_batch::read_early() noexcept {
  std::int32_t got[call_ring::capacity];
  {
    sync::lock_guard held(lock_);
    for (unsigned i = 0; i < early_count_; ++i) ring_.read(early_of_[i]->fd, early_into_[i]->bytes, early_read::room);
    run_ring(early_count_, got);
  }
  for (unsigned i = 0; i < early_count_; ++i) {
    early_read& e = *early_into_[i];
    if (got[i] <= 0) {                    // the owner's own read says why
      e.give_back();
      continue;
    }
    e.begin = 0;
    e.end = static_cast<std::uint32_t>(got[i]);
    e.may_have_more = e.end == early_read::room;
    early_of_[i]->early = &e;
  }
}

}  // namespace coppice::internal
