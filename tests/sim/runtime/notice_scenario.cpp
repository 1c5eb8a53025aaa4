// SPDX-License-Identifier: Apache-2.0
//
// A socket's owner, those who see that it can be read, and those who read it for the owner. The socket is a count of what has arrived;
// what was read early is plain data, so that an owner who is there too soon shows as a race.
#include "runtime/notice.hpp"
#include "sim/runtime/world.hpp"

namespace {

using namespace coppice;
using namespace coppice::testing;

class model {
 public:
  explicit model(int expected) : left_(expected) { told_.open(true); }

  /// Something arrives, and its event is handled: as poller::handle does.
  void arrive() noexcept {
    unread_.fetch_add(1, sync::acq_rel);
    if (told_.begin_reading()) {
      early_ = unread_.exchange(0, sync::acq_rel);
      told_.end_reading();
      tell();
    } else if (told_.raise()) {
      tell();
    }
  }
  /// A message that has nothing to do with the socket.
  void tell() noexcept {
    messages_.fetch_add(1, sync::acq_rel);
    sync::futex_wake(&messages_, 1);
  }
  /// Waits for messages and looks, until all has been read: as a connection does.
  void own() noexcept {
    for (std::uint32_t met = 0; left_ > 0;) {
      while (messages_.load(sync::acquire) == met) sync::futex_wait(messages_, met);
      ++met;
      look();
      told_.invite();
    }
    told_.end();
    sim::check(left_ == 0 && early_.get() == 0, "something was read twice");
  }

 private:
  void look() noexcept {
    const bool more = told_.clear();
    if (const int early = early_.get(); early != 0) {
      early_ = 0;
      left_ -= early;
      if (!more) return;
    }
    left_ -= unread_.exchange(0, sync::acq_rel);
  }

  internal::notice told_;
  sync::var<int> early_{0};
  sync::atomic<int> unread_{0, "unread"};
  sync::futex_word messages_{0, "messages"};
  int left_;   // the owner's
};

/// All that arrives is read, once, whoever reads it.
void all_is_read() {
  model m(4);
  const auto two = [&] {
    m.arrive();
    m.arrive();
  };
  runs one(two);
  runs other(two);
  m.own();
}

/// The owner is called for another reason while it is read for.
void owner_is_called() {
  model m(3);
  runs events([&] {
    for (int i = 0; i != 3; ++i) m.arrive();
  });
  runs caller([&] {
    m.tell();
    m.tell();
  });
  m.own();
}

const sim::scenario scenarios[] = {{"notice_all_is_read", &all_is_read}, {"notice_owner_is_called", &owner_is_called}};

}  // namespace
