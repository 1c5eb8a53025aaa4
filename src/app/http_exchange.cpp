// SPDX-License-Identifier: Apache-2.0
#include "app/http_exchange.hpp"

#include "app/body_reader.hpp"
#include "app/http_counts.hpp"
#include "app/http_sender.hpp"
#include "app/thread_spare.hpp"
#include "process/mailbox.hpp"
#include "process/signal.hpp"
#include "process/spawn.hpp"
#include "process/system.hpp"

#include <coppice/app/response_writer.hpp>
#include <coppice/process/process.hpp>

#include <string>
#include <utility>

namespace coppice::internal {

namespace {

/// The body of a request for the handler that reads it in pieces.
class piece_source final : public detail::body_source {
 public:
  piece_source(http_exchange& x, http_loan& loan) noexcept
      : x_(x), loan_(loan), reader_(x.parser, loan.sock, loan.buffer, x.core.options) {}
  std::string_view next() override;

 private:
  [[noreturn]] void fail(const refusal& why);
  http_exchange& x_;
  http_loan& loan_;
  body_reader reader_;
  refusal failed_;
};

std::string_view piece_source::next() {
  if (failed_) fail(failed_);
  for (;;) {
    if (x_.parser.is_complete()) return {};
    if (const refusal why = reader_.parse()) fail(why);
    if (!x_.parser.body().empty()) return x_.parser.take_piece();
    if (x_.parser.is_complete()) return {};
    loan_.progress.store(sync::never, sync::relaxed);
    const refusal why = reader_.read(true);
    loan_.progress.store(sync::now(), sync::relaxed);
    if (why) fail(why);
  }
}

void piece_source::fail(const refusal& why) {
  failed_ = why.status > 0 ? why : refusal{400, "the client has gone"};
  throw http_error(failed_.status, std::string(failed_.why));
}

/// The state of a request's process: its end, however it comes, wakes the connection.
struct request_job {
  request_job(http_exchange& x, http_loan* l) noexcept : shared(&x), loan(l) {
    if (loan != nullptr) loan->hold();
  }
  request_job(request_job&& other) noexcept
      : shared(std::exchange(other.shared, nullptr)), loan(std::exchange(other.loan, nullptr)) {}
  ~request_job();
  void operator()();

  void answer();
  void borrow();
  void stream(const std::string& asked);
  std::string asked_for() const;
  http_exchange* shared;
  http_loan* loan;
};

request_job::~request_job() {
  if (shared != nullptr) {
    slot& waiter = shared->waiter;
    const std::uint64_t number = shared->number;
    if (http_loan* lent = shared->finish()) loan = lent;
    if (loan == nullptr) wake(waiter, number);
  }
  if (loan == nullptr) return;
  const pid lender = loan->lender;
  loan->over.store(1, sync::seq_cst);
  loan->drop();
  send_look(lender);
}

void request_job::operator()() {
  try {
    answer();
    const http_response& made = *shared->response;
    if (shared->goes_on && made.status != 101) return;
    if (!made.stream || !is_proper(made) || is_bodiless(made.status) || shared->parser.parts().method == http_method::head)
      return;
    const std::string asked = asked_for();  // its bytes may be gone when the socket has been borrowed
    if (loan == nullptr) borrow();
    stream(asked);
  } catch (const client_gone&) {}
}

std::string request_job::asked_for() const {
  const http_request::parts parts = shared->parser.parts();
  return std::string(parts.method_text) + ' ' + std::string(parts.target.substr(0, 200));
}

/// Becomes a response where that is to lie.
struct made_by_handler {
  const http_handler& handler;
  const http_request& request;
  operator http_response() const { return handler(request); }
};

/// Runs the handler.
void request_job::answer() {
  http_request::parts parts = shared->parser.parts();
  std::optional<piece_source> pieces;
  parts.peer = shared->peer;
  parts.is_secure = shared->is_secure;
  if (loan != nullptr) parts.source = &pieces.emplace(*shared, *loan);
  request_count counted(parts.method, shared->since, shared->over);
  parts.matched = &counted.route;
  const http_request request(parts);
  try {
    shared->response.emplace(made_by_handler{shared->service.handler, request});
    counted.status = shared->response->status;
  } catch (const detail::unwind&) {
    throw;
  } catch (const http_error& e) {
    shared->response.emplace(plain_answer(e.status(), e.what()));
    counted.status = e.status();
  } catch (...) {  // the crash report says what was asked
    counted.status = 500;
    label(asked_for());
    throw;
  }
  shared->answered = true;
  if (loan != nullptr) loan->outcome = http_loan::unwritten;
}

bool is_lent(void* raw) { return static_cast<http_exchange*>(raw)->state.load(sync::seq_cst) == http_exchange::lent; }

/// Asks the connection for its socket.
void request_job::borrow() {
  slot& me = detail::here();
  shared->answered = false;  // from here on it is the stream that answers
  shared->asking = &me;
  shared->asking_number = begin_wait(me);
  std::uint32_t running = http_exchange::running;
  shared->state.cas(running, http_exchange::asks, sync::seq_cst);  // else the connection has left, and our end is under way
  wake(shared->waiter, shared->number);
  wait_until(me, shared->asking_number, wait_state::signals, sync::never, &is_lent, shared);
  loan = shared->loan;
}

/// Sends what the response's stream writes. The request is gone by then: an idle stream keeps little.
void request_job::stream(const std::string& asked) {
  loan->outcome = http_loan::cut;
  loan->use.store(http_loan::streaming, sync::relaxed);
  http_core& core = loan->core;
  core.requests.fetch_add(1, sync::relaxed);
  http_response response = std::move(*shared->response);
  answer_form form = form_for(*shared, response);
  if ((form.old_client && !response.stream_length) || response.status == 101) form.close = true;
  std::exchange(shared, nullptr)->finish();
  http_sender sender(*loan, response, form);
  response_writer out(sender);
  try {
    response.stream(out);
    if (loan->outcome == http_loan::passed_on) return;
    if (response.status != 101 && sender.finish() != 0) return;
  } catch (const detail::unwind&) {
    throw;
  } catch (const client_gone&) {
    throw;
  } catch (...) {
    label(asked);
    throw;
  }
  loan->outcome = form.close ? http_loan::last : http_loan::kept;
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

bool is_done(void* raw) { return static_cast<http_exchange*>(raw)->state.load(sync::seq_cst) == http_exchange::done; }
bool has_news(void* raw) {
  const auto& x = *static_cast<http_exchange*>(raw);
  return x.state.load(sync::seq_cst) != http_exchange::running || x.is_out_of_time();
}

}  // namespace

answer_form form_for(const http_exchange& x, const http_response& r) {
  const http_request::parts asked = x.parser.parts();
  return {.head_only = asked.method == http_method::head,
          .close = !x.parser.keeps_alive() || !x.parser.is_complete() || asks_to_close(r) || !x.core.is_running() ||
                   (x.is_secure && x.core.is_moving()),  // it cannot move, and is not to stay
          .old_client = asked.version < 11};
}

http_exchange::http_exchange(http_core& c, detail::slot& w)
    : core(c), service(c.take_service()), waiter(w), parser(parser_limits{}) {}

http_exchange::~http_exchange() {
  drop_buffer(kept);
  core.give_service(service);
  if (holds_core) core.drop();
}

void* http_exchange::operator new(std::size_t bytes) {
  void* spare = take_spare(spare_kind::exchange);
  return spare != nullptr ? spare : ::operator new(bytes);
}
void http_exchange::operator delete(void* block) noexcept {
  if (!keep_spare(spare_kind::exchange, block)) ::operator delete(block);
}

void http_exchange::leave() noexcept {
  if (state.load(sync::acquire) != done) {
    core.hold();
    holds_core = true;
    if (state.exchange(left, sync::seq_cst) != done) return;
  }
  delete this;
}

http_loan* http_exchange::finish() noexcept {
  // Pairs with wait's ask: it sees this, or we find it waiting; and with the connection that lends, or leaves, at this moment.
  const std::uint32_t before = state.exchange(done, sync::seq_cst);
  if (before != lent && before != left) return nullptr;
  http_loan* granted = before == lent ? loan : nullptr;
  delete this;
  return granted;
}

own_exchange::~own_exchange() {
  if (x_ == nullptr) return;
  if (!process_) {
    delete x_;
    return;
  }
  if (!is_done(x_)) {
    x_->kept = std::exchange(buffer_, nullptr);
    send_exit(process_, pid{}, exit_reason::kill);
  }
  x_->leave();
}

/// Not by spawn: that would note the connection as an ancestor, for which each would keep a few hundred bytes.
bool own_exchange::start(http_loan* loan) {
  request_job job(*x_, loan);
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
  if (loan != nullptr) loan->borrower = process_;
  schedule(*s);
  return true;
}

bool own_exchange::wait(std::int64_t timeout) {
  return wait_until(x_->waiter, x_->number, wait_state::signals, timeout, &has_news, x_);
}

bool own_exchange::is_cut_off() const noexcept {
  return x_->is_out_of_time() && x_->state.load(sync::seq_cst) != http_exchange::done;
}

bool is_in_request_of(const http_core& core) noexcept {
  slot& s = detail::here();
  if (s.cls != &request_class) return false;
  const auto& job = *static_cast<request_job*>(detail::state_of(s));
  return &(job.shared != nullptr ? job.shared->core : job.loan->core) == &core;
}

}  // namespace coppice::internal
