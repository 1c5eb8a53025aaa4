// SPDX-License-Identifier: Apache-2.0
//
// thread_block: made at a thread's first use of the library, dropped at its end. See thread_block.hpp.
#include "runtime/thread_block.hpp"

#include "runtime/epoch.hpp"
#include "runtime/fault_handler.hpp"
#include "runtime/pools.hpp"

namespace coppice::internal {

namespace {

namespace sync = detail::sync;

constexpr std::uint64_t serial_range = 1 << 16;  // drawn at a time, so that the shared counter is touched rarely
pools* current_pools = nullptr;
sync::spinlock making_pools;

struct serial_source {
  sync::atomic<std::uint64_t> next{1};
};
serial_source serials;

}  // namespace

void (*retire_proxy)(thread_block&) noexcept = nullptr;

pools& program_pools() {
  sync::lock_guard held(making_pools);
  if (current_pools == nullptr) {
    current_pools = new pools(make_slot, make_reply, make_timer);
    watch_fibers(current_pools->fibers);       // a fault on one of their stacks names its process
  }
  return *current_pools;
}

void renew_program_pools() {
  ::new (&making_pools) sync::spinlock;        // whoever held it was abandoned with its run
  if (current_pools != nullptr) forget_fibers(current_pools->fibers);
  current_pools = nullptr;
  serials.next.store(1, sync::relaxed);
  renew_epochs();
  renew_thread_counts();
}

void drop_program_pools() {
  drop_retired();
  if (current_pools != nullptr) forget_fibers(current_pools->fibers);
  delete current_pools;
  current_pools = nullptr;
}

wheel_depot::~wheel_depot() {
  for (timer_wheel* wheel : spare_) delete wheel;
}

timer_wheel& wheel_depot::take() {
  timer_wheel* wheel = nullptr;
  {
    sync::lock_guard held(lock_);
    if (!spare_.empty()) {
      wheel = spare_.back();
      spare_.pop_back();
    }
  }
  if (wheel == nullptr) return *new timer_wheel;
  wheel->begin_anew();
  return *wheel;
}

void wheel_depot::give(timer_wheel& empty) {
  sync::lock_guard held(lock_);
  spare_.push_back(&empty);
}

construct_block make_slot = nullptr;
construct_block make_reply = nullptr;
construct_block make_timer = nullptr;

thread_block::thread_block()
    : fibers(program_pools().fibers), blocks(program_pools().nodes), slots(program_pools().slots), replies(program_pools().replies), timers(program_pools().timers) {
  random = (static_cast<std::uint64_t>(sync::now()) * 0x9E3779B97F4A7C15u) | 1;
}

thread_block::~thread_block() {
  if (keepsake != nullptr) drop_keepsake(keepsake);
  leave_epochs(*this);
  if (warm != nullptr) fibers.give(warm);
}

void thread_block::refill_serials() noexcept {
  next_serial = serials.next.fetch_add(serial_range, sync::relaxed);
  last_serial = next_serial + serial_range;
}

thread_block& make_block() {
  install_thread_alternate_stack();            // processes run on plain threads, too: an overflow there must be reported
  auto* block = new thread_block;
  sync::set_this_thread_block(block, [](void* raw) {
    auto* ending = static_cast<thread_block*>(raw);
    if (ending->proxy != nullptr && retire_proxy != nullptr) retire_proxy(*ending);
    delete ending;
  });
  return *block;
}

}  // namespace coppice::internal

coppice::detail::reader& coppice::detail::make_reader() noexcept { return internal::make_block(); }
