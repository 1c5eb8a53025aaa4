// SPDX-License-Identifier: Apache-2.0
#include "process/query.hpp"

#include "process/signal.hpp"
#include "process/system.hpp"
#include "runtime/pools.hpp"

namespace coppice::internal {

namespace {

struct pending_query {
  detail::reply_slot* reply;
  std::uint64_t serial;
};

bool answered(void* raw) {
  const auto& q = *static_cast<pending_query*>(raw);
  return phase_of(*q.reply, q.serial) == reply_phase::done;
}

}  // namespace

void ask(pid who, void (*answer)(slot* target, void* context), void* context) {
  if (!who || !who.is_local() || who.where()->serial.load(sync::seq_cst) != who.serial()) {
    answer(nullptr, context);
    return;
  }
  slot& me = detail::here();
  if (who.where() == &me) {
    answer(&me, context);
    return;
  }
  const std::uint64_t number = begin_wait(me);
  pending_query q{};
  q.reply = take_reply_slot(me, number, context, q.serial);
  deliver(who, make_node(node_kind::query, detail::query_payload{answer, context, q.reply, q.serial}));
  if (!answered(&q)) {
    try {
      wait_until(me, number, wait_state::signals, sync::never, &answered, &q);
    } catch (...) {
      // `context` is on our stack: an answer under way must be over before we leave.
      while (!abandon(*q.reply, q.serial)) {
        if (answered(&q)) {
          close_reply(*q.reply, q.serial);
          break;
        }
        sync::relax();
      }
      throw;
    }
  }
  close_reply(*q.reply, q.serial);
}

// --- the hidden process of a plain thread ----------------------------------------------------------------------------

namespace {

constexpr detail::class_descriptor thread_class{
    .name = "thread", .key = 0, .state_size = 0, .state_align = 1, .flags = 0, .stack_bytes = 0,
    .destroy = nullptr, .print = nullptr, .body = nullptr, .handles = nullptr, .table = nullptr};

void retire(thread_block& block) noexcept {
  slot& s = *block.proxy;
  block.proxy = nullptr;
  detail::clear(s, detail::started);
  drain(s);
  end_process(s, exit_reason::normal);
}

[[gnu::constructor(101)]] void tell() { retire_proxy = &retire; }   // the library may be used before main

}  // namespace

slot& proxy_of(thread_block& block) {
  if (block.proxy != nullptr) return *block.proxy;
  slot& s = *static_cast<slot*>(program_pools().proxies.take_one());
  while (!claim(s)) sync::relax();
  s.home.store(0, sync::relaxed);                                  // of no runtime: it may use several
  s.cls = &thread_class;
  s.flags.store(std::uint32_t{detail::thread_proxy} | std::uint32_t{detail::trapping} | std::uint32_t{detail::started}, sync::relaxed);
  s.serial.store(block.serial(), sync::release);
  block.proxy = &s;
  return s;
}

}  // namespace coppice::internal
