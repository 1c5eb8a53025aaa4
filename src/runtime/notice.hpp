// SPDX-License-Identifier: Apache-2.0
//
// notice: what passes between a socket's owner and those who see that it can be read. The owner looks, goes away, and wants to be told once.
//
//   quiet      the owner is looking, or has gone without another word: whoever sees something sends it a notice
//   invited    it has gone, and the socket may be read for it
//   reading    that is being done, by one system call; a notice follows
//   under way  a notice is, or none is wanted
//   … again    and something has been seen since: what was read for the owner may not be all
//
//   quiet -> invited by the owner; invited -> reading -> under way | quiet by a reader; quiet, invited -> under way by whoever raises it, reading,
//   under way -> the same again; anything but reading -> quiet, under way by the owner, which waits until a read is over
//
// Thread: clear, invite and end are the owner's; the rest anybody's.
#pragma once

#include <coppice/base/detail/sync.hpp>

#include "runtime/planted.hpp"

#include <cstdint>

namespace coppice::internal {

namespace sync = detail::sync;

class notice {
 public:
  /// With the socket's owner; without one none is ever wanted.
  void open(bool wanted) noexcept { state_.store(wanted ? quiet : under_way, sync::release); }  // pairs with raise: it sees this owner
  /// The owner is about to look: whatever happens from now on is a new notice.
  /// Returns: whether something has happened after what the notice was sent for.
  bool clear() noexcept { return (put(quiet) & again) != 0; }
  /// The owner will do nothing with the socket before the next notice.
  void invite() noexcept {
    std::uint32_t before = quiet;
    state_.cas(before, invited, sync::release);   // pairs with begin_reading; else a notice is under way
  }
  /// None is wanted any more, and nobody reads the socket.
  void end() noexcept { put(under_way); }

  /// Something was seen. True: the caller has to send the notice.
  bool raise() noexcept {
    std::uint32_t before = quiet;
    for (;;) {
      const bool sends = before == quiet || before == invited;
      if (!sends && planted::is(planted::notice_not_again)) return false;
      if (state_.cas(before, sends ? under_way : before | again, sync::acq_rel)) return sends;   // pairs with open, put and invite
    }
  }

  /// False: the owner may be there.
  bool begin_reading() noexcept {
    std::uint32_t before = invited;
    if (state_.load(sync::relaxed) != before) return false;
    return state_.cas(before, reading, sync::acquire);
  }
  /// What was read is the owner's; the caller sends the notice.
  void end_reading() noexcept { state_.fetch_and(~(reading ^ under_way), sync::release); }   // pairs with put
  /// Nothing was read. The caller raises it, since others rely on a notice.
  void leave_reading() noexcept { state_.store(quiet, sync::release); }

 private:
  static constexpr std::uint32_t quiet = 0;
  static constexpr std::uint32_t under_way = 1;
  static constexpr std::uint32_t invited = 2;
  static constexpr std::uint32_t reading = 3;
  static constexpr std::uint32_t again = 4;      // beside under_way and reading

  /// In the place of anything but `reading`.   Returns: what was there.
  std::uint32_t put(std::uint32_t what) noexcept {
    if (planted::is(planted::notice_put_over_reading)) return state_.exchange(what, sync::seq_cst);
    std::uint32_t before = under_way;
    for (int looks = 0; !state_.cas(before, what, sync::seq_cst);) {
      if ((before & ~again) != reading) continue;
      before = under_way;
      sync::relax();
      if (++looks < 1'000) continue;
      sync::futex_word nobody;
      sync::futex_wait(nobody, 0, sync::now() + 50'000);   // the reader has lost its core
    }
    return before;
  }

  sync::atomic<std::uint32_t> state_{under_way, "notice"};
};

}  // namespace coppice::internal
