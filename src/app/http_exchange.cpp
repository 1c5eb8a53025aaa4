// SPDX-License-Identifier: Apache-2.0
#include "app/http_exchange.hpp"

#include "process/mailbox.hpp"
#include "process/signal.hpp"
#include "process/spawn.hpp"
#include "process/system.hpp"

#include <coppice/process/process.hpp>

#include <string>
#include <utility>

namespace coppice::internal {

namespace {

/// The state of a request's process: its end, however it comes, wakes the connection.
struct request_job {
  explicit request_job(http_exchange& x) noexcept : shared(&x) { x.holders.fetch_add(1, sync::relaxed); }
  request_job(request_job&& other) noexcept : shared(std::exchange(other.shared, nullptr)) {}
  ~request_job();
  void operator()();
  http_exchange* shared;
};

request_job::~request_job() {
  if (shared == nullptr) return;
  slot& waiter = shared->waiter;
  const std::uint64_t number = shared->number;
  shared->done.store(1, sync::seq_cst);  // pairs with wait's ask: it sees this, or we find it waiting
  shared->drop();
  wake(waiter, number);
}

void request_job::operator()() {
  const http_request request(shared->parser.parts());
  try {
    shared->response = shared->core.handler(request);
    shared->answered = true;
  } catch (const detail::unwind&) {
    throw;
  } catch (...) {  // the crash report says what was asked
    label(std::string(request.method_text()) + ' ' + std::string(request.target().substr(0, 200)));
    throw;
  }
}

using job_body = detail::body_of<request_job>;
constexpr detail::class_descriptor request_class{.name = "http_request",
                                                 .key = 0,
                                                 .state_size = sizeof(request_job),
                                                 .state_align = alignof(request_job),
                                                 .flags = 0,
                                                 .stack_bytes = 0,
                                                 .destroy = &job_body::destroy,
                                                 .print = nullptr,
                                                 .body = &job_body::run,
                                                 .handles = nullptr,
                                                 .table = nullptr};

bool is_done(void* raw) { return static_cast<http_exchange*>(raw)->done.load(sync::seq_cst) != 0; }

}  // namespace

http_exchange::http_exchange(http_core& c, detail::slot& w)
    : core(c), waiter(w), parser(parser_limits{c.options.max_body_bytes}) {
  core.hold();
}

http_exchange::~http_exchange() {
  drop_buffer(kept);
  core.drop();
}

own_exchange::~own_exchange() {
  if (process_ && !is_done(x_)) {
    x_->kept = std::exchange(buffer_, nullptr);
    send_exit(process_, pid{}, exit_reason::kill);
  }
  x_->drop();
}

/// Not by spawn: that would note the connection as an ancestor, for which each would keep a few hundred bytes.
bool own_exchange::start() {
  request_job job(*x_);
  x_->number = begin_wait(x_->waiter);
  slot* s = nullptr;
  try {
    s = &new_process(request_class, x_->core.in);
  } catch (const exit_error&) {
    return false;
  }
  job_body::construct(detail::state_of(*s), &job);
  detail::set(*s, detail::started);
  process_ = detail::pid_of(*s);
  schedule(*s);
  return true;
}

bool own_exchange::wait(std::int64_t timeout) {
  return wait_until(x_->waiter, x_->number, wait_state::signals, timeout, &is_done, x_);
}

}  // namespace coppice::internal
