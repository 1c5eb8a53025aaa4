// SPDX-License-Identifier: Apache-2.0
//
// http_connection: one client. A process with a behaviour of its own: `io_ready` is the only message it knows. Between requests
// it has neither fiber nor buffer; it gets both when bytes arrive.
//
//   look: read until the socket is empty, run every complete request, send all answers at once, settle
//
// Each request runs in a process of its own (http_exchange.hpp). One that reads its body or writes its answer in pieces borrows
// the socket (http_loan.hpp): then the connection has no fiber either, until the loan is over.
//
// Invariants
//  1. `buffer` is null while the connection is idle; while it waits for the rest of a head it is just large enough.
//  2. While a request's process may run, the bytes of its head are neither moved nor given back.
//  3. The socket is closed by the connection's end, or, lent, by the end of the loan.
//  4. `loan` is set exactly while the phase is `lent`; `sock` and `buffer` are empty then.
#include "app/body_reader.hpp"
#include "app/http_core.hpp"
#include "app/http_counts.hpp"
#include "app/http_exchange.hpp"
#include "app/http_loan.hpp"
#include "app/http_parser.hpp"
#include "app/http_writer.hpp"
#include "app/quick_clock.hpp"
#include "app/read_buffer.hpp"
#include "app/thread_spare.hpp"
#include "process/mailbox.hpp"
#include "process/signal.hpp"
#include "process/spawn.hpp"
#include "process/system.hpp"

#include <coppice/base/log_sink.hpp>
#include <coppice/process/process.hpp>

#include <cerrno>
#include <cstring>
#include <new>

#include <fcntl.h>
#include <unistd.h>

namespace coppice::internal {

// --- the connection's state ------------------------------------------------------------------------------------------

struct connection {
  explicit connection(http_core& c) noexcept : core(c) { core.hold(); }
  ~connection();
  connection(const connection&) = delete;

  /// shaking_hands (only under TLS) -> idle; idle <-> in_head, lent; any -> lingering.
  enum phase_of : std::uint8_t { idle, shaking_hands, in_head, lent, lingering };

  http_core& core;
  transport sock;
  read_buffer* buffer = nullptr;
  connection* before = nullptr;  // in the core's list
  connection* next = nullptr;
  http_loan* loan = nullptr;          // changed under core.lock
  http_exchange* exchange = nullptr;  // of the request whose body is read in pieces
  std::unique_ptr<ws_handover> websocket;  // the next head in the buffer is that of one whose handshake is over
  std::uint64_t serial = 0;             // of its pid
  std::int64_t deadline = sync::never;  // of the phase
  const std::int64_t opened = sync::now();
  sync::atomic<std::uint64_t> requests;
  sync::atomic<std::int64_t> state_since;
  sync::atomic<std::uint32_t> state;  // an http_connection_state, for whoever asks; while lent, the loan knows better
  socket_peer peer{};
  std::uint32_t drained = 0;  // bytes thrown away while lingering
  phase_of phase = idle;
  bool listed = false;
  bool overdue = false;  // the borrower was told to end

  /// What its process is called. The process's slot lies in front of its state.
  pid me() const noexcept {
    const auto* place = reinterpret_cast<const char*>(this) - sizeof(detail::slot);
    return pid::of(reinterpret_cast<detail::slot*>(const_cast<char*>(place)), serial);
  }
  void show(http_connection_state s) noexcept {
    state.store(static_cast<std::uint32_t>(s), sync::relaxed);
    state_since.store(here().clock, sync::relaxed);
  }
  /// Only the connection itself counts.
  void count_request() noexcept { requests.store(requests.load(sync::relaxed) + 1, sync::relaxed); }
  http_connection describe(std::int64_t now) const noexcept;
};

static_assert(sizeof(detail::slot) + sizeof(connection) <= 256, "a connection would take a slot of the next size");

connection::~connection() {
  if (listed) {
    sync::lock_guard held(core.lock);
    (before != nullptr ? before->next : core.first) = next;
    if (next != nullptr) next->before = before;
  }
  if (loan != nullptr) {
    if (!loan->is_over()) send_exit(loan->borrower, pid{}, exit_reason::kill);
    loan->drop();
  }
  if (exchange != nullptr) exchange->leave();
  drop_buffer(buffer);
  sock.close();
  if (listed) {
    all_http.open.add_shared(-1);
    core.open.fetch_sub(1, sync::seq_cst);  // pairs with the listener's pause: it sees this, or we see it paused
    core.leave();
    if (core.accept_paused.load(sync::seq_cst) != 0) send_look(core.listener_now());
  }
  core.drop();
}

namespace {

/// What `make` makes of the connections that are `wanted`. Room for them is made before the lock is taken; if they have become more
/// meanwhile, once more.
template <class T, class Wanted, class Make>
std::vector<T> collect(http_core& core, Wanted wanted, Make make) {
  for (std::vector<T> all;;) {
    all.reserve(core.open.load(sync::relaxed) + all.capacity() / 4 + 64);
    sync::lock_guard held(core.lock);
    const connection* c = core.first;
    for (; c != nullptr && all.size() < all.capacity(); c = c->next)
      if (wanted(*c)) all.push_back(make(*c));
    if (c == nullptr) return all;
    all.clear();
  }
}

bool always(const connection&) noexcept { return true; }

}  // namespace

std::vector<pid> connections_of(http_core& core) {
  return collect<pid>(core, &always, [](const connection& c) { return c.me(); });
}

http_connection connection::describe(std::int64_t now) const noexcept {
  static constexpr http_connection_state of_loan[] = {http_connection_state::request, http_connection_state::streaming,
                                                      http_connection_state::events, http_connection_state::websocket};
  const auto shown =
      loan != nullptr ? of_loan[loan->used_for()] : static_cast<http_connection_state>(state.load(sync::relaxed));
  const std::int64_t since = state_since.load(sync::relaxed);
  return {.who = me(),
          .peer = {peer.address, peer.port},
          .state = shown,
          .in_state = duration(now > since ? now - since : 0),
          .open_for = duration(now > opened ? now - opened : 0),
          .requests = requests.load(sync::relaxed)};
}

std::vector<http_connection> list_connections(http_core& core) {
  return collect<http_connection>(core, &always, [now = sync::now()](const connection& c) { return c.describe(now); });
}

void hand_over_websockets(http_core& core) {
  const auto may_move = [](const connection& c) { return c.loan != nullptr && c.loan->may_move.load(sync::seq_cst) != 0; };
  for (const pid who : collect<pid>(core, may_move, [](const connection& c) { return c.me(); })) send_look(who);
}

void wake_connections(http_core& core) {
  for (const pid who : connections_of(core)) send_look(who);  // those whose socket is lent
  sync::lock_guard held(core.lock);
  for (const connection* c = core.first; c != nullptr; c = c->next) {
    slot& s = *c->me().where();
    wake(s, wait_number(s.wait.load(sync::seq_cst)));
  }
}

namespace {

http_response last_answer(int status, std::string_view why) {
  http_response r = plain_answer(status, why);
  r.close = true;
  return r;
}

/// One look at the socket, from the first byte read to the answers sent.
class look {
 public:
  look(connection& c, slot& self) : c_(c), self_(self) {}
  look(const look&) = delete;
  /// False: the connection is over.
  bool run();
  /// The loan is over: deals with how it went, then goes on as run does.
  bool take_back();
  /// The head took too long.
  void time_out() { refuse({408, "the head took too long"}); }

 private:
  enum class step { more, next_request, lent, over };

  step shake_hands();
  step fill();
  bool fill_early();
  step run_complete();
  step run_one(std::string_view head);
  refusal take_body(own_exchange& x);
  step lend_for_body(own_exchange& x);
  void lend(http_loan& loan, std::int64_t deadline);
  bool grant(own_exchange& x);
  void reclaim(http_loan& loan);
  step run_handler(own_exchange& x);
  step finish(const http_exchange& x, const http_response& r, std::int64_t now = sync::now());
  step end_loan();
  http_response failed(http_response r);
  void answer(const http_response& r, const answer_form& form, std::int64_t now);
  step refuse(const refusal& why);
  step end_websocket();
  step close_softly();
  void begin_lingering();
  void flush();
  void flush_soon();
  bool flush_posted();
  void flush_some();
  bool settle();
  bool move();
  refusal judge_unfinished(std::string_view bytes) const;

  connection& c_;
  slot& self_;
  const reused_text room_;
  std::string& out_ = *room_;  // answers on their way
  bool empty_ = false;     // nothing more to read just now
  bool ended_ = false;     // the client will send no more
  bool broken_ = false;    // nothing can be sent any more
  bool heard_ = false;     // something was read
  bool answered_ = false;  // a request was dealt with
};

constexpr std::int64_t clock_slack = 1'000'000;  // ns, more than the quick clock may be wrong by
constexpr int longest_look = 16;  // buffers read before others get their turn
constexpr std::size_t most_held_back = 64 * 1024;
constexpr std::int64_t patience = 1'000'000;  // ns: answers wait so long for the next one of a pipeline
constexpr std::int64_t linger_time = 1'000'000'000;
constexpr std::int64_t goodbye_time = 500'000'000;  // for a WebSocket's handler to find out that its time is over
constexpr std::uint32_t linger_bytes = 1 << 20;
constexpr std::size_t largest_head = 15 * 1024;
constexpr int handshake_reductions = 1000;  // a third of a millisecond

std::int64_t ns(duration d) noexcept { return d == infinity ? sync::never : d.count(); }
std::int64_t from_now(duration d) noexcept { return d == infinity ? sync::never : here().clock + d.count(); }

bool look::run() {
  if (!flush_posted()) return false;
  if (c_.phase == connection::shaking_hands) {
    const step s = shake_hands();
    if (s != step::next_request) return s == step::more || c_.phase == connection::lingering;
  }
  if (c_.buffer == nullptr || c_.buffer->capacity != read_buffer::large) {
    c_.buffer = c_.buffer == nullptr ? make_buffer(read_buffer::large) : resized(c_.buffer, read_buffer::large);
  }
  for (int i = 0;; ++i) {
    if (fill() == step::over) return false;
    const step s = run_complete();
    if (out_.size() > most_held_back || s == step::over || ended_)
      flush();
    else if (empty_)
      flush_soon();
    if (broken_) return false;
    if (s == step::lent) return true;
    if (s == step::over) return c_.phase == connection::lingering;
    if (ended_) return false;  // what is left is half a request of a client that has gone
    if (empty_) return settle();
    if (i == longest_look) {
      flush();
      c_.sock.notify();
      return !broken_ && settle();
    }
  }
}

/// The beginning of TLS. Its deadline is that of the connection's first look. More: the client has to go on first.
look::step look::shake_hands() {
  if (!c_.sock.is_secure()) {
    if (c_.core.is_moving() && move()) return step::over;  // nothing was agreed upon yet
    c_.sock.begin_tls(c_.core.tls());
  }
  switch (c_.sock.shake_hands()) {
    case transport::handshake::done:
      here().budget -= handshake_reductions;
      heard_ = true;
      return step::next_request;
    case transport::handshake::waits:
      return c_.core.phase.load(sync::acquire) == http_core::closing ? step::over : step::more;
    case transport::handshake::met_text:
      c_.sock.speak_plainly();
      c_.core.failed_handshakes.fetch_add(1, sync::relaxed);
      return refuse({400, "this port speaks HTTPS"});
    case transport::handshake::failed:
      c_.core.failed_handshakes.fetch_add(1, sync::relaxed);
      begin_lingering();
      return step::over;
    case transport::handshake::gone:
      break;
  }
  return step::over;
}

/// Reads what is there.
look::step look::fill() {
  read_buffer& b = *c_.buffer;
  if (b.is_empty()) b.begin = b.end = 0;
  if (b.end == b.capacity) b.move_rest_to(0);
  const std::span<char> into = b.room();
  if (into.empty()) return step::more;  // a head of this size is refused before it fills the buffer
  const io_result got = c_.sock.try_read(into);
  if (got.error == EAGAIN) return empty_ = true, step::more;
  if (got.error != 0) return step::over;
  heard_ = true;
  ended_ = got.ended();
  empty_ = !c_.sock.may_have_more();
  b.end += static_cast<std::uint32_t>(got.bytes);
  return step::more;
}

/// Reads what was read for the connection while it was away, and not looked at since. False: it has no room.
bool look::fill_early() {
  if (!c_.sock.has_early()) return true;
  c_.buffer = resized(c_.buffer, read_buffer::large);
  fill();
  return !c_.sock.has_early();
}

look::step look::run_complete() {
  for (;;) {
    read_buffer& b = *c_.buffer;
    while (!b.is_empty() && (b.bytes()[b.begin] == '\r' || b.bytes()[b.begin] == '\n')) ++b.begin;  // RFC 9112, 2.2
    const std::string_view bytes = b.rest();
    if (bytes.empty()) return step::more;
    const std::size_t end = bytes.find("\r\n\r\n");
    if (end == std::string_view::npos || end + 4 > c_.core.options.max_head_bytes) {
      if (const refusal why = judge_unfinished(bytes)) return refuse(why);
      return step::more;
    }
    if (const step s = run_one(bytes.substr(0, end + 4)); s != step::next_request) return s;
    if (out_.size() > most_held_back) flush();
    if (broken_) return step::over;
  }
}

/// Whether a head that has no end yet, or too late, can still become one.
refusal look::judge_unfinished(std::string_view bytes) const {
  const std::size_t line = bytes.find('\n');
  if (line != std::string_view::npos && (line == 0 || bytes[line - 1] != '\r')) return {400, "lines end with CR LF"};
  const std::size_t most =
      c_.core.options.max_head_bytes < largest_head ? c_.core.options.max_head_bytes : largest_head;
  if (bytes.size() <= most) return {};
  if (line == std::string_view::npos || line > most) return {414, "the first line is too long"};
  return {431, "the head is too large"};
}

look::step look::run_one(std::string_view head) {
  own_exchange x(c_.core, self_, c_.buffer);
  x->peer = {c_.peer.address, c_.peer.port};
  x->is_secure = c_.sock.is_secure();
  x->goes_on = c_.websocket != nullptr;
  bool clock_is_fresh = !answered_;                   // serve has just looked at it
  if (const refusal why = x->parser.take_head(head)) return refuse(why);
  c_.buffer->begin += static_cast<std::uint32_t>(head.size());
  c_.show(http_connection_state::request);
  if (!x->parser.is_complete()) {
    const body_rule rule = x->service.handler.rule_for(http_request(x->parser.parts()));
    if (const refusal why = x->parser.limit_body(rule.max_bytes != 0 ? rule.max_bytes : c_.core.options.max_body_bytes))
      return refuse(why);
    if (rule.in_pieces) return lend_for_body(x);
    if (const refusal why = take_body(x)) return why.status < 0 ? step::over : refuse(why);
    clock_is_fresh = false;
  }
  x->since = clock_is_fresh ? here().clock : quick_now();
  return run_handler(x);
}

/// Reads the body behind the head, whose bytes stay where they are. A status below 0: the client has gone.
refusal look::take_body(own_exchange& x) {
  body_reader reader(x->parser, c_.sock, c_.buffer, c_.core.options);
  for (;;) {
    if (const refusal why = reader.parse()) return why;
    if (x->parser.is_complete()) return {};
    flush();
    if (broken_) return {-1, {}};
    if (const refusal why = reader.read(false)) return why;
    ended_ = reader.ended();
    empty_ = false;
  }
}

/// Lets the handler answer, in a process of its own.
look::step look::run_handler(own_exchange& x) {
  if (!x.start()) return finish(*x, last_answer(503, "no more requests are taken"));
  bool news = false;
  if (!out_.empty()) {  // the answers before this one do not wait for a slow handler
    news = x.wait(patience);
    if (!news) flush_some();
  }
  if (!news) news = x.wait(ns(c_.core.options.handler_timeout));
  if (!news) return finish(*x, failed(last_answer(503, "the answer took too long")));
  if (x.is_cut_off())
    return finish(*x, failed(last_answer(503, c_.core.is_running() ? "the server was restarted" : "the server stops")));
  if (grant(x)) return step::lent;
  if (broken_) return step::over;
  return x->answered ? finish(*x, *x->response, x->over) : finish(*x, failed(plain_answer(500)));
}

/// Sends the answer to the request of `x`.
look::step look::finish(const http_exchange& x, const http_response& r, std::int64_t now) {
  if (x.goes_on) return end_websocket();
  const answer_form form = form_for(x, r);
  answer(r, form, now);
  return form.close ? close_softly() : step::next_request;
}

http_response look::failed(http_response r) {
  c_.core.failed.fetch_add(1, sync::relaxed);
  return r;
}

// --- lending the socket ----------------------------------------------------------------------------------------------

/// The handler reads the body.
look::step look::lend_for_body(own_exchange& x) {
  flush();
  if (broken_) return step::over;
  auto* loan = new http_loan(c_.core, x->service, c_.me());
  x->since = sync::now();
  loan->progress.store(x->since, sync::relaxed);
  lend(*loan, from_now(c_.core.options.handler_timeout));
  x.start(loan);  // if it does not, the loan is over at once, as after a crash
  c_.exchange = x.release();
  return step::lent;
}

/// The handler has answered with a stream, and asks for the socket. False: it does not ask (any more).
bool look::grant(own_exchange& x) {
  if (x->state.load(sync::seq_cst) != http_exchange::asks) return false;
  flush();
  if (broken_) return false;
  auto* loan = new http_loan(c_.core, x->service, c_.me());
  loan->borrower = x.process();
  loan->hold();  // for the request's process
  // Its views of the request have ended with its handler: only what is behind the request is kept.
  if (c_.buffer->is_empty())
    drop_buffer(std::exchange(c_.buffer, nullptr));
  else
    c_.buffer = resized(c_.buffer, c_.buffer->rest().size());
  c_.count_request();
  loan->goes_on = x->goes_on;
  if (x->goes_on && x->service.is_over.load(sync::seq_cst) != 0) loan->passes_until = sync::now() + goodbye_time / 2;
  loan->handover = std::move(c_.websocket);
  lend(*loan, sync::never);
  x->loan = loan;
  slot& asking = *x->asking;
  const std::uint64_t number = x->asking_number;
  std::uint32_t asks = http_exchange::asks;
  if (!x->state.cas(asks, http_exchange::lent, sync::seq_cst)) {  // it was killed
    reclaim(*loan);
    c_.websocket = std::move(loan->handover);
    loan->drop();
    loan->drop();
    return false;
  }
  x.release();                                     // it is the request's process's now
  wake(asking, number);
  return true;
}

void look::lend(http_loan& loan, std::int64_t deadline) {
  loan.sock = std::move(c_.sock);
  loan.buffer = std::exchange(c_.buffer, nullptr);
  {
    sync::lock_guard held(c_.core.lock);
    c_.loan = &loan;
  }
  c_.phase = connection::lent;
  c_.overdue = false;
  c_.deadline = deadline;
  loan.sock.set_deadline(deadline);
}

void look::reclaim(http_loan& loan) {
  {
    sync::lock_guard held(c_.core.lock);
    c_.loan = nullptr;
  }
  c_.sock = std::move(loan.sock);
  c_.buffer = std::exchange(loan.buffer, nullptr);
  c_.phase = connection::idle;
  if (c_.buffer == nullptr) c_.buffer = make_buffer(read_buffer::large);
}

bool look::take_back() {
  heard_ = true;
  const step s = end_loan();
  if (s == step::over || broken_) return c_.phase == connection::lingering;
  if (c_.websocket != nullptr && c_.core.is_moving() && !c_.sock.is_secure()) {
    if (fill_early() && move()) return false;
    if (c_.core.is_moving()) return end_websocket(), !broken_;  // out of descriptors
  }
  return run();
}

look::step look::end_loan() {
  struct given_back {  // also if the last words cannot be sent any more
    ~given_back() {
      loan.drop();
      if (x != nullptr) x->leave();
    }
    http_loan& loan;
    http_exchange* x;
  };
  const given_back held{*c_.loan, std::exchange(c_.exchange, nullptr)};
  const auto& [loan, x] = held;
  reclaim(loan);
  const bool written = loan.used_for() != http_loan::handling;
  if (!written && x != nullptr) {
    if (loan.outcome == http_loan::unwritten) return finish(*x, *x->response);
    return finish(*x, failed(last_answer(c_.overdue ? 503 : 500, c_.overdue ? "the answer took too long" : "")));
  }
  switch (loan.outcome) {
    case http_loan::passed_on:
      c_.websocket = std::move(loan.handover);
      return step::next_request;
    case http_loan::kept:
      return step::next_request;
    case http_loan::last:
      return close_softly();
    case http_loan::gone:
      return step::over;
    case http_loan::cut:
    case http_loan::unwritten:
      break;
  }
  if (loan.used_for() == http_loan::events && loan.can_end_chunks) {  // it has no end of its own
    out_ = "0\r\n\r\n";
    return close_softly();
  }
  if (loan.used_for() == http_loan::streaming) failed({});
  if (loan.until_close) c_.sock.reset_at_close();
  return step::over;
}

/// Something has happened while the socket is lent. False: the connection is over.
bool watch_loan(connection& c) {
  http_loan& loan = *c.loan;
  const http_loan::use_of use = loan.used_for();
  const auto end_borrower = [&](std::string_view why) {
    send_exit(loan.borrower, c.me(), exit_reason::shutdown_because(why));
  };
  const auto kill_borrower = [&] {
    if (c.overdue) return;
    c.overdue = true;
    send_exit(loan.borrower, pid{}, exit_reason::kill);
    c.deadline = here().clock + linger_time;
    loan.sock.set_deadline(c.deadline);
  };
  const bool closing = c.core.phase.load(sync::acquire) == http_core::closing;
  const bool cut_off = loan.is_cut_off();
  if (loan.is_websocket()) {  // its process hears of everything else by itself
    if (closing || cut_off || loan.has_successor()) loan.sock.poke_reader();
    if (cut_off && c.deadline == sync::never) c.deadline = here().clock + goodbye_time;
    if (cut_off && here().clock >= c.deadline) kill_borrower();
    return true;
  }
  if (cut_off) {
    if (use == http_loan::events)
      end_borrower("the server was restarted");
    else
      kill_borrower();
  }
  if (use == http_loan::events && closing) end_borrower("the server stops");
  if (loan.sock.is_gone() || (use == http_loan::events && loan.sock.hung_up())) end_borrower("the client has gone");
  if (here().clock < c.deadline) return true;
  if (use == http_loan::handling) {
    const std::int64_t progress = loan.progress.load(sync::relaxed);
    c.deadline = from_now(c.core.options.handler_timeout);
    if (progress != sync::never) c.deadline -= here().clock - progress;
    if (here().clock < c.deadline) {
      loan.sock.set_deadline(c.deadline);
      return true;
    }
    if (c.overdue) return false;  // it does not even end: its socket closes when it does
    kill_borrower();
    return true;
  }
  c.deadline = sync::never;
  loan.sock.set_deadline(sync::never);
  return true;
}

// --- answers ---------------------------------------------------------------------------------------------------------

void look::answer(const http_response& r, const answer_form& form, std::int64_t now) {
  answered_ = true;
  c_.count_request();
  c_.core.requests.fetch_add(1, sync::relaxed);
  if (append_response(out_, r, form, now)) return;
  c_.core.failed.fetch_add(1, sync::relaxed);
  write_report(
      {.level = log_level::error,
       .kind = "http",
       .headline = "http_server: a response with a line break in a header, or without a proper status, became a 500"});
  append_response(out_, plain_answer(500), form, now);
}

/// The request cannot be understood, or not be taken: one last answer.
look::step look::refuse(const refusal& why) {
  if (c_.websocket != nullptr) return end_websocket();
  counts_of_refused().add(http_method::other, why.status, 0);
  answer(plain_answer(why.status, why.why), {.close = true}, sync::now());
  flush();
  begin_lingering();
  return step::over;
}

/// Nobody goes on with a WebSocket that was passed on: its client is told, in its own language.
look::step look::end_websocket() {
  c_.websocket.reset();
  out_ += c_.core.is_running() ? ws_restart_frame : ws_stop_frame;
  flush();
  begin_lingering();
  return step::over;
}

/// After the last answer. Bytes that nobody has read would make the kernel reset the connection, which may overtake the
/// answer: then the rest is read and dropped for a moment.
look::step look::close_softly() {
  flush();
  if (!c_.buffer->is_empty() || !(empty_ || ended_)) begin_lingering();
  return step::over;
}

void look::begin_lingering() {
  c_.sock.end_writing();
  c_.show(http_connection_state::closing);
  c_.phase = connection::lingering;
  c_.deadline = here().clock + linger_time;
  c_.sock.set_deadline(c_.deadline);
}

void look::flush() {
  if (out_.empty() || broken_) return;
  broken_ = c_.sock.write_all(out_, ns(c_.core.options.write_timeout)).error != 0;
  out_.clear();
}

/// Nothing more is to be answered for now: with the answers of others, where there are some.
void look::flush_soon() {
  if (out_.empty() || broken_) return;
  if (!c_.sock.post(out_)) return flush();
  out_.clear();
}

/// What the connection has left to be written together with others is written. False: it cannot be.
bool look::flush_posted() {
  return !c_.sock.has_posted() || c_.sock.write_posted(ns(c_.core.options.write_timeout)).error == 0;
}

void look::flush_some() {
  const io_result put = c_.sock.try_write(out_);
  out_.erase(0, put.bytes);
}

/// Gives back what an idle connection does not need. False: it is not wanted any more.
bool look::settle() {
  if (c_.core.is_moving() && !c_.sock.is_secure() && move()) return false;
  if (c_.buffer->is_empty()) {
    drop_buffer(std::exchange(c_.buffer, nullptr));
    if (c_.core.phase.load(sync::acquire) == http_core::closing) {
      flush_posted();
      c_.core.idle_closed.fetch_add(1, sync::relaxed);
      return false;
    }
    if (heard_ || c_.phase != connection::idle) c_.deadline = from_now(c_.core.options.idle_timeout);
    if (heard_ || c_.phase != connection::idle) c_.show(http_connection_state::idle);
    c_.phase = connection::idle;
  } else {
    c_.buffer = resized(c_.buffer, c_.buffer->rest().size());
    if (c_.phase != connection::in_head || answered_) c_.deadline = from_now(c_.core.options.head_timeout);
    if (answered_ || c_.phase != connection::in_head) c_.show(http_connection_state::head);
    c_.phase = connection::in_head;
  }
  c_.sock.set_deadline(c_.deadline);
  c_.sock.invite();
  return true;
}

/// Passes the connection on to another OS process, with what was read and not dealt with. False: it stays.
bool look::move() {
  if (!flush_posted()) return false;
  owned_fd socket(::fcntl(c_.sock.fd(), F_DUPFD_CLOEXEC, 0));
  if (!socket) return false;
  moved_list leaving;
  leaving.push_back({std::move(socket), c_.buffer != nullptr ? std::string(c_.buffer->rest()) : "", nullptr});
  leaving.front().websocket = std::move(c_.websocket);
  if (!c_.core.take_leave_of(leaving)) {
    c_.websocket = std::move(leaving.front().websocket);
    return false;
  }
  ::close(c_.sock.release());  // it lives on elsewhere: closing alone would not end the watching
  return true;
}

/// Throws away what still comes. False: it is over.
bool linger(connection& c) {
  drop_buffer(std::exchange(c.buffer, nullptr));
  char dropped[4096];
  while (c.drained < linger_bytes) {
    const io_result got = c.sock.read_to_drop(dropped);
    if (got.error == EAGAIN) return here().clock < c.deadline;
    if (got.bytes == 0) return false;
    c.drained += static_cast<std::uint32_t>(got.bytes);
  }
  return false;
}

// --- the process -----------------------------------------------------------------------------------------------------

/// Returns: false when the connection is over.
bool serve(connection& c, slot& self) {
  here().clock = quick_now();
  if (c.deadline - clock_slack <= here().clock) here().clock = sync::now();  // it may be time, and is not to be so by a little
  if (c.phase == connection::lent) {
    if (!c.loan->is_websocket())
      c.loan->sock.clear_notice();  // else: nothing that arrives is our business
    if (!c.loan->is_over()) return watch_loan(c);
    c.loan->sock.clear_notice();
    look now(c, self);
    return now.take_back() && (c.phase != connection::lingering || linger(c));
  }
  c.sock.clear_notice();
  const bool late = here().clock >= c.deadline;
  if (c.phase == connection::lingering) return linger(c);
  look now(c, self);
  if (!now.run()) return false;
  if (c.phase == connection::lingering) return linger(c);
  if (!late || here().clock < c.deadline) return true;
  if (c.phase == connection::idle || c.phase == connection::shaking_hands) return false;
  now.time_out();
  return linger(c);
}

void handle(slot& self, node* n) noexcept {
  if (!take_io_ready(n)) return;
  auto& c = *static_cast<connection*>(detail::state_of(self));
  try {
    if (!serve(c, self)) end_process(self, exit_reason::normal);
  } catch (const detail::unwind&) {
    end_process(self, detail::ext_of(self).pending);
  } catch (...) {
    end_process(self, exit_reason::from_current_exception());
  }
}

constexpr detail::behaviour connection_behaviour = socket_behaviour("http_connection", &handle);
constexpr detail::class_descriptor connection_class{
    .name = "http_connection",
    .key = type_hash<connection>(),
    .state_size = sizeof(connection),
    .state_align = alignof(connection),
    .flags = static_cast<std::uint32_t>(detail::class_flag::queued),
    .stack_bytes = 0,
    .destroy = [](void* p) noexcept { static_cast<connection*>(p)->~connection(); },
    .print = nullptr,
    .body = nullptr,
    .handles = &connection_behaviour,
    .table = nullptr};

}  // namespace

void start_connection(http_core& core, int fd, const socket_peer& peer, std::string_view bytes, std::unique_ptr<ws_handover> websocket) {
  slot* s = nullptr;
  try {
    s = &new_process(connection_class, core.in);
  } catch (...) {
    ::close(fd);
    throw;
  }
  auto& c = *::new (detail::state_of(*s)) connection(core);
  detail::set(*s, detail::started);
  c.serial = detail::pid_of(*s).serial();
  c.peer = peer;
  c.websocket = std::move(websocket);
  c.state_since.store(c.opened, sync::relaxed);
  try {
    c.sock = transport(stream_socket(core.in, fd, c.me()));
    if (!bytes.empty()) {
      c.buffer = make_buffer(bytes.size());
      std::memcpy(c.buffer->bytes(), bytes.data(), bytes.size());
      c.buffer->end = static_cast<std::uint32_t>(bytes.size());
    }
  } catch (...) {
    end_process(*s, exit_reason::normal);
    throw;
  }
  {
    sync::lock_guard held(core.lock);
    c.next = core.first;
    if (core.first != nullptr) core.first->before = &c;
    core.first = &c;
    c.listed = true;
  }
  core.accepted.fetch_add(1, sync::relaxed);
  all_http.accepted.add_shared(1);
  all_http.open.add_shared(1);
  core.open.fetch_add(1, sync::relaxed);
  core.living.fetch_add(1, sync::relaxed);
  if (core.is_secure()) {
    c.phase = connection::shaking_hands;
    c.state.store(static_cast<std::uint32_t>(http_connection_state::handshake), sync::relaxed);
  }
  c.deadline = from_now(core.is_secure() ? core.options.head_timeout : core.options.idle_timeout);
  c.sock.set_deadline(c.deadline);
  if (!bytes.empty() || core.is_moving() || !core.is_running()) c.sock.notify();
  leave(*s);  // idle from here on, or queued if its first bytes are there already
}

}  // namespace coppice::internal

namespace coppice {

std::string_view to_text(http_connection_state state) noexcept {
  switch (state) {
    case http_connection_state::idle:
      return "idle";
    case http_connection_state::handshake:
      return "handshake";
    case http_connection_state::head:
      return "head";
    case http_connection_state::request:
      return "request";
    case http_connection_state::streaming:
      return "streaming";
    case http_connection_state::events:
      return "events";
    case http_connection_state::websocket:
      return "websocket";
    case http_connection_state::closing:
      break;
  }
  return "closing";
}

}  // namespace coppice
