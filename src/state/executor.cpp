// SPDX-License-Identifier: Apache-2.0
//
// executor: thread pools with one queue each, and which executor is the default where.
//
// The threads are thread_pool.cpp's. The program's own pools are never destroyed: their threads sleep while the program ends.
#include <coppice/state/executor.hpp>

#include <coppice/base/detail/sync.hpp>
#include <coppice/process/process.hpp>

#include "state/activity.hpp"
#include "state/thread_pool.hpp"

#include <new>

namespace coppice {

namespace sync = detail::sync;
using internal::activity;
using internal::inside;

namespace {

constexpr std::int64_t idle_seconds = 60;
constexpr unsigned many_threads = 4096;

struct defaults {
  fixed_executor fixed{sync::cores() + 2};
  growing_executor growing;
  sync::atomic<executor*> send{&fixed};
  sync::atomic<executor*> send_off{&growing};
};
/// Never destroyed: threads may still run in it when the program ends.
defaults& program_defaults() {
  static auto* d = new defaults;
  return *d;
}

}  // namespace

fixed_executor::fixed_executor(unsigned threads) : pool_(new detail::thread_pool(threads != 0 ? threads : 1, sync::never)) {}
fixed_executor::~fixed_executor() {
  pool_->drain();
  delete pool_;
}
bool fixed_executor::execute(job t) { return pool_->execute(t); }
bool fixed_executor::requeue(job t) { return pool_->requeue(t); }
bool fixed_executor::linger(job t) { return pool_->linger(t); }
bool fixed_executor::execute_soon(job t) { return pool_->execute_soon(t); }
bool fixed_executor::withdraw(job t) { return pool_->withdraw(t); }
bool fixed_executor::is_accepting() const noexcept { return pool_->is_accepting(); }
bool fixed_executor::has_waiting() const noexcept { return pool_->has_waiting(); }
void fixed_executor::shutdown() noexcept { pool_->close(); }

growing_executor::growing_executor() : pool_(new detail::thread_pool(many_threads, idle_seconds * 1'000'000'000)) {}
growing_executor::~growing_executor() {
  pool_->drain();
  delete pool_;
}
bool growing_executor::execute(job t) { return pool_->execute(t); }
bool growing_executor::requeue(job t) { return pool_->requeue(t); }
bool growing_executor::linger(job t) { return pool_->linger(t); }
bool growing_executor::execute_soon(job t) { return pool_->execute_soon(t); }
bool growing_executor::withdraw(job t) { return pool_->withdraw(t); }
bool growing_executor::is_accepting() const noexcept { return pool_->is_accepting(); }
bool growing_executor::has_waiting() const noexcept { return pool_->has_waiting(); }
void growing_executor::shutdown() noexcept { pool_->close(); }

bool scheduler_executor::execute(job t) {
  try {
    spawn([t] { t.run(t.context); }, {.label = "action"});
    return true;
  } catch (const exit_error&) {                  // the runtime stops
    return false;
  }
}

executor& send_executor() noexcept {
  const activity* a = internal::current_activity();
  return a != nullptr && a->send != nullptr ? *a->send : *program_defaults().send.load(sync::acquire);
}
executor& send_off_executor() noexcept {
  const activity* a = internal::current_activity();
  return a != nullptr && a->send_off != nullptr ? *a->send_off : *program_defaults().send_off.load(sync::acquire);
}
void set_send_executor(executor& e) noexcept { program_defaults().send.store(&e, sync::release); }
void set_send_off_executor(executor& e) noexcept { program_defaults().send_off.store(&e, sync::release); }

static_assert(sizeof(inside) <= sizeof(executor_scope));
executor_scope::executor_scope(executor& for_send) noexcept {
  ::new (static_cast<void*>(place_)) inside([&](activity& a) { a.send = &for_send; });
}
executor_scope::executor_scope(executor& for_send, executor& for_send_off) noexcept {
  ::new (static_cast<void*>(place_)) inside([&](activity& a) {
    a.send = &for_send;
    a.send_off = &for_send_off;
  });
}
executor_scope::~executor_scope() { std::launder(reinterpret_cast<inside*>(place_))->~inside(); }

void shutdown_agents() noexcept {
  send_executor().shutdown();
  send_off_executor().shutdown();
}

}  // namespace coppice
