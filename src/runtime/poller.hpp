// SPDX-License-Identifier: Apache-2.0
//
// poller: which sockets can be read or written. There is no thread for it: an idle worker sleeps in epoll_wait instead of on
// its futex, busy workers look now and then, and the monitor thread looks when nobody has (docs/internals/io.md).
//
// A socket is registered once, edge-triggered, for its whole life. What is known of it stands in its poll descriptor; who
// waits for it is named by an opaque pointer and a number that is never used twice, so that a late wake finds nobody.
// Readiness is a hint: whoever is woken tries, and a spurious hint costs one system call.
//
// The token: {free, polling, kicked, asleep + the sleeper's index}.
//   free -> polling by whoever looks; free -> polling -> asleep by an idle worker; asleep -> kicked by who has work for it;
//   polling | asleep | kicked -> free by its holder, before it handles the events.
//
// Together: sockets whose owners have gone away and invited it are read by who fetched their events, all by one call, and what their owners
// write is collected to be written by one call (socket_batch.hpp).
//
// Who may touch what: `fd`, open, close, clear_notice and set_deadline belong to the descriptor's owner; everything else
// is raced on by design.
//
// Invariants
//  1. At most one token holder; the token is never held while anything of the upper rooms runs.
//  2. A descriptor is closed by its owner only, once. Its memory is type-stable: an event of a batch that was fetched before the
//     close hits a descriptor, perhaps the next tenant's, and is a hint there.
//  3. The owner is asked for after `told` was set, so a notice is never counted for one tenant and sent to another.
//  4. Before its owner does anything else with a socket, what it has posted is sent, and nobody reads it early any more.
//  5. If a worker is parked and sockets are open, somebody is asleep in epoll_wait, or is awake and will look.
#pragma once

#include "runtime/kernel_poll.hpp"
#include "runtime/notice.hpp"
#include "runtime/scheduler.hpp"
#include "runtime/socket_batch.hpp"
#include "runtime/timer_wheel.hpp"

#include <cstdint>
#include <span>
#include <string_view>

namespace coppice::internal {

class poller;

/// One direction of a socket.
struct poll_side {
  static constexpr std::uint64_t unknown = 0;
  static constexpr std::uint64_t ready = 1;
  static constexpr std::uint64_t waiting = 2;  // | number << 2
  /// unknown -> ready by an event; ready -> unknown by who tries; unknown -> waiting by who found nothing;
  /// waiting -> ready by an event, which wakes; waiting -> unknown by the waiter that gives up.
  sync::atomic<std::uint64_t> state;
  sync::atomic<void*> waiter;
};

/// What the upper room does about readiness. Both may be called on any thread, with a waiter or owner that is gone.
struct poll_hooks {
  void (*wake)(void* waiter, std::uint64_t number) noexcept;
  void (*notify)(void* owner, std::uint64_t serial) noexcept;
};

/// Who is told that a socket can be read while nobody waits for it. None: nobody.
struct poll_owner {
  void* who = nullptr;
  std::uint64_t serial = 0;
};

struct poll_descriptor : timer_node {
  poll_descriptor() noexcept;

  sync::var<int> fd;                    // -1: free
  sync::atomic<std::uint32_t> hung_up;  // the other side has ended: a short read may hide that
  poll_side read;
  poll_side write;
  sync::atomic<void*> owner;
  sync::atomic<std::uint64_t> owner_serial;
  notice told;                          // the owner, that it has to look
  sync::var<early_read*> early;         // what was read for the owner before it was told; null: nothing
  sync::atomic<socket_batch*> posted;   // where bytes of the owner's wait to be written
  unsent_bytes unsent;                  // set by who flushes, before `posted` is null; the owner's after that
  sync::spinlock timer_lock;            // over the next three and the starting of the timer
  sync::var<std::int64_t> deadline;     // when the owner wants a notice in any case; sync::never
  sync::var<std::int64_t> armed_for;    // sync::never: the timer is off
  sync::var<bool> orphan;               // closed while its timer fired: the timer gives it back
  poller* of = nullptr;
  sync::var<poll_descriptor*> next_free;
};

class poller {
 public:
  /// `batches`: sockets may be read and written together, where the system grants that.
  /// Throws: std::system_error when the system grants no epoll descriptor.
  poller(scheduler& sched, const poll_hooks& hooks, bool batches);
  /// When no worker runs any more.
  ~poller();
  poller(const poller&) = delete;
  poller& operator=(const poller&) = delete;

  /// Watches the non-blocking `fd`, which belongs to the descriptor from now on.
  /// Returns: null, with errno set, if the system refuses; then `fd` is still the caller's.
  poll_descriptor* open(int fd, const poll_owner& owner = {});
  /// Closes the socket and gives the descriptor back.
  void close(poll_descriptor& pd) noexcept;
  /// Ends the watching and gives the descriptor back.   Returns: the socket, open.
  int release(poll_descriptor& pd) noexcept;
  /// The owner is about to look at the socket: whatever arrives from now on sends a new notice.
  static void clear_notice(poll_descriptor& pd) noexcept {
    if (pd.told.clear() && pd.early != nullptr) pd.early->may_have_more = true;
  }
  /// The owner goes away until it gets a notice: meanwhile the socket may be read for it.
  static void invite(poll_descriptor& pd) noexcept { pd.told.invite(); }
  /// Copies `bytes` of the owner's, to be written soon, together with what others write. What cannot be written then is left in `unsent`, with
  /// a notice. False: they are the caller's to write; nobody else has anything to write, or there are too many of them.
  bool post(poll_descriptor& pd, std::string_view bytes) noexcept;
  /// What the owner has posted is with the kernel, or in `unsent`.
  static void finish_posted(poll_descriptor& pd) noexcept {
    if (pd.posted.load(sync::acquire) != nullptr) [[unlikely]] flush_posted(pd);  // pairs with settle: `unsent` is read behind it
  }
  /// A notice not later than `deadline`, unless it is moved before then. Moving it away costs a store.
  void set_deadline(poll_descriptor& pd, std::int64_t deadline) noexcept;
  /// Sends the owner a notice, whatever the socket does.
  void notify(poll_descriptor& pd) noexcept;

  /// Whoever waits for something to read tries. Any thread, while the descriptor is open.
  void poke_reader(poll_descriptor& pd) noexcept { make_ready(pd.read); }

  std::uint64_t open_descriptors() const noexcept { return open_.load(sync::relaxed); }
  /// How often anybody looked or slept here.
  std::uint64_t looks() const noexcept { return looks_.load(sync::relaxed); }

 private:
  struct chunk;
  struct events;

  friend poll_descriptor;
  static void expire(timer_node& raw) noexcept;

  bool sleep(worker& w, std::int64_t until) noexcept;
  bool kick(const worker& w) noexcept;
  const worker* sleeper() const noexcept;
  bool look() noexcept;
  void look_if_nobody_has() noexcept;
  void wait(events& got, std::int64_t until) noexcept;
  void handle(const events& got) noexcept;
  void make_ready(poll_side& side) noexcept;
  void make_readable(poll_descriptor& pd) noexcept;
  static void flush_posted(poll_descriptor& pd) noexcept;
  socket_batch* batch_of_this_worker() noexcept;
  static bool will_read_early(socket_batch& batch, poll_descriptor& pd) noexcept;
  void send_notice(const poll_descriptor& pd) noexcept;
  void read_early(socket_batch& batch) noexcept;
  bool flush(const worker& w, bool only_if_due) noexcept;
  int forget(poll_descriptor& pd) noexcept;
  void give_when_quiet(poll_descriptor& pd) noexcept;
  poll_descriptor* take();
  void give(poll_descriptor& pd) noexcept;

  scheduler& sched_;
  const poll_hooks hooks_;
  idle_source source_{};
  kernel_poll kernel_;
  sync::atomic<std::uint64_t> token_;
  sync::atomic<std::uint64_t> open_;
  sync::atomic<std::uint64_t> looks_;
  std::uint64_t looks_seen_ = 0;  // by the monitor thread
  sync::atomic<socket_batch*> batches_[scheduler::most_workers];  // by worker; made when there is something to read together
  sync::atomic<std::uint32_t> no_batches_;                        // 1: none are wanted, or the system grants none

  sync::spinlock pool_lock_;
  sync::var<poll_descriptor*> free_;
  sync::var<chunk*> chunks_;
};

}  // namespace coppice::internal
