// SPDX-License-Identifier: Apache-2.0
//
// http_connection: one client. A process with a behaviour of its own: `io_ready` is the only message it knows. Between requests
// it has neither fiber nor buffer; it gets both when bytes arrive.
//
//   look: read until the socket is empty, run every complete request, send all answers at once, settle
//
// Each request runs in a process of its own (http_exchange.hpp).
//
// Invariants
//  1. `buffer` is null while the connection is idle; while it waits for the rest of a head it is just large enough.
//  2. While a request's process may run, the bytes of its head are neither moved nor given back.
//  3. The socket is closed by the connection's end and nowhere else.
#include "app/http_core.hpp"
#include "app/http_exchange.hpp"
#include "app/http_parser.hpp"
#include "app/http_writer.hpp"
#include "app/read_buffer.hpp"
#include "process/mailbox.hpp"
#include "process/signal.hpp"
#include "process/spawn.hpp"
#include "process/system.hpp"

#include <coppice/base/log_sink.hpp>
#include <coppice/process/process.hpp>

#include <cerrno>
#include <new>

#include <unistd.h>

namespace coppice::internal {

// --- the connection's state ------------------------------------------------------------------------------------------

struct connection {
  explicit connection(http_core& c) noexcept : core(c) { core.hold(); }
  ~connection();
  connection(const connection&) = delete;

  enum phase_of : std::uint8_t { idle, in_head, lingering };

  http_core& core;
  stream_socket sock;
  read_buffer* buffer = nullptr;
  connection* before = nullptr;  // in the core's list
  connection* next = nullptr;
  pid me{};
  std::int64_t deadline = sync::never;  // of the phase
  phase_of phase = idle;
  bool listed = false;
  std::uint32_t drained = 0;  // bytes thrown away while lingering
};

connection::~connection() {
  drop_buffer(buffer);
  sock.close();
  if (listed) {
    {
      sync::lock_guard held(core.lock);
      (before != nullptr ? before->next : core.first) = next;
      if (next != nullptr) next->before = before;
    }
    core.open.fetch_sub(1, sync::seq_cst);  // pairs with the listener's pause: it sees this, or we see it paused
    core.leave();
    if (core.accept_paused.load(sync::seq_cst) != 0) send_look(core.listener);
  }
  core.drop();
}

std::vector<pid> connections_of(http_core& core) {
  std::vector<pid> all;
  all.reserve(core.open.load(sync::relaxed) + 64);
  sync::lock_guard held(core.lock);
  for (const connection* c = core.first; c != nullptr && all.size() < all.capacity(); c = c->next) all.push_back(c->me);
  return all;
}

namespace {

http_response plain_answer(int status, std::string_view why = {}) {
  std::string body = std::to_string(status);
  body += ' ';
  body += status_phrase(status);
  if (!why.empty()) (body += ": ") += why;
  return text(body + '\n', status);
}

http_response last_answer(int status, std::string_view why) {
  http_response r = plain_answer(status, why);
  r.close = true;
  return r;
}

/// One look at the socket, from the first byte read to the answers sent.
class look {
 public:
  look(connection& c, slot& self) noexcept : c_(c), self_(self) {}
  /// False: the connection is over.
  bool run();
  /// The head took too long.
  void time_out() { refuse({408, "the head took too long"}); }

 private:
  enum class step { more, next_request, over };

  step fill();
  step run_complete();
  step run_one(std::string_view head);
  refusal take_body(own_exchange& x);
  http_response run_handler(own_exchange& x);
  void answer(const http_response& r, const answer_form& form);
  step refuse(const refusal& why);
  step close_softly();
  void begin_lingering();
  void flush();
  void flush_some();
  bool settle();
  refusal judge_unfinished(std::string_view bytes) const;

  connection& c_;
  slot& self_;
  std::string out_;
  bool empty_ = false;     // nothing more to read just now
  bool ended_ = false;     // the client will send no more
  bool broken_ = false;    // nothing can be sent any more
  bool heard_ = false;     // something was read
  bool answered_ = false;  // a request was dealt with
};

constexpr int longest_look = 16;  // buffers read before others get their turn
constexpr std::size_t most_held_back = 64 * 1024;
constexpr std::int64_t patience = 1'000'000;  // ns: answers wait so long for the next one of a pipeline
constexpr std::int64_t linger_time = 1'000'000'000;
constexpr std::uint32_t linger_bytes = 1 << 20;
constexpr std::size_t largest_head = 15 * 1024;

std::int64_t ns(duration d) noexcept { return d == infinity ? sync::never : d.count(); }
std::int64_t from_now(duration d) noexcept { return d == infinity ? sync::never : here().clock + d.count(); }

bool look::run() {
  if (c_.buffer == nullptr || c_.buffer->capacity != read_buffer::large) {
    c_.buffer = c_.buffer == nullptr ? make_buffer(read_buffer::large) : resized(c_.buffer, read_buffer::large);
  }
  for (int i = 0;; ++i) {
    if (fill() == step::over) return false;
    const step s = run_complete();
    if (out_.size() > most_held_back || s == step::over || ended_ || empty_) flush();
    if (broken_) return false;
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
  empty_ = got.bytes < into.size() && !c_.sock.hung_up();
  b.end += static_cast<std::uint32_t>(got.bytes);
  return step::more;
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
    if (run_one(bytes.substr(0, end + 4)) == step::over) return step::over;
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
  if (const refusal why = x->parser.take_head(head)) return refuse(why);
  c_.buffer->begin += static_cast<std::uint32_t>(head.size());
  if (!x->parser.is_complete())
    if (const refusal why = take_body(x)) return why.status < 0 ? step::over : refuse(why);
  const http_response response = run_handler(x);
  const http_request::parts asked = x->parser.parts();
  const answer_form form{.head_only = asked.method == http_method::head,
                         .close = !x->parser.keeps_alive() || response.close || !c_.core.is_running(),
                         .old_client = asked.version < 11};
  answer(response, form);
  return form.close ? close_softly() : step::next_request;
}

/// Reads the body behind the head, whose bytes stay where they are. A status below 0: the client has gone.
refusal look::take_body(own_exchange& x) {
  constexpr refusal gone{-1, {}};
  const std::int64_t limit = ns(c_.core.options.body_timeout);
  const std::int64_t deadline = limit == sync::never ? sync::never : sync::now() + limit;
  const std::uint32_t start = c_.buffer->begin;
  bool invited = !x->parser.expects_continue();
  for (;;) {
    read_buffer& b = *c_.buffer;
    std::size_t taken = 0;
    if (!b.is_empty()) {
      invited = true;  // it has begun to send without waiting
      if (const refusal why = x->parser.take_body(b.rest(), taken)) return why;
      b.begin += static_cast<std::uint32_t>(taken);
      if (x->parser.is_complete()) return {};
    }
    if (b.end == b.capacity) b.move_rest_to(start);
    if (b.room().empty()) return {413, "a chunk's head is too large"};
    if (ended_) return {400, "the body ends too early"};
    if (!invited) out_ += "HTTP/1.1 100 Continue\r\n\r\n";
    invited = true;
    flush();
    if (broken_) return gone;
    const std::int64_t left = deadline == sync::never ? sync::never : deadline - sync::now();
    const io_result got = left <= 0 ? io_result{0, ETIMEDOUT} : c_.sock.read_some(b.room(), left);
    if (got.error == ETIMEDOUT) return {408, "the body took too long"};
    if (got.error != 0) return gone;
    ended_ = got.ended();
    empty_ = false;
    b.end += static_cast<std::uint32_t>(got.bytes);
  }
}

/// Lets the handler answer, in a process of its own. Returns: an answer, however that ends.
http_response look::run_handler(own_exchange& x) {
  if (!x.start()) return last_answer(503, "no more requests are taken");
  bool done = false;
  if (!out_.empty()) {  // the answers before this one do not wait for a slow handler
    done = x.wait(patience);
    if (!done) flush_some();
  }
  if (!done) done = x.wait(ns(c_.core.options.handler_timeout));
  if (done && x->answered) return std::move(x->response);
  c_.core.failed.fetch_add(1, sync::relaxed);
  return done ? plain_answer(500) : last_answer(503, "the answer took too long");
}

// --- answers ---------------------------------------------------------------------------------------------------------

void look::answer(const http_response& r, const answer_form& form) {
  answered_ = true;
  c_.core.requests.fetch_add(1, sync::relaxed);
  if (append_response(out_, r, form)) return;
  c_.core.failed.fetch_add(1, sync::relaxed);
  write_report(
      {.level = log_level::error,
       .kind = "http",
       .headline = "http_server: a response with a line break in a header, or without a proper status, became a 500"});
  append_response(out_, plain_answer(500), form);
}

/// The request cannot be understood, or not be taken: one last answer.
look::step look::refuse(const refusal& why) {
  answer(plain_answer(why.status, why.why), {.close = true});
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
  c_.phase = connection::lingering;
  c_.deadline = here().clock + linger_time;
  c_.sock.set_deadline(c_.deadline);
}

void look::flush() {
  if (out_.empty() || broken_) return;
  broken_ = c_.sock.write_all(out_, ns(c_.core.options.write_timeout)).error != 0;
  out_.clear();
}

void look::flush_some() {
  const io_result put = c_.sock.try_write(out_);
  out_.erase(0, put.bytes);
}

/// Gives back what an idle connection does not need. False: it is not wanted any more.
bool look::settle() {
  if (c_.buffer->is_empty()) {
    drop_buffer(std::exchange(c_.buffer, nullptr));
    if (c_.core.phase.load(sync::acquire) == http_core::closing) {
      c_.core.idle_closed.fetch_add(1, sync::relaxed);
      return false;
    }
    if (heard_ || c_.phase != connection::idle) c_.deadline = from_now(c_.core.options.idle_timeout);
    c_.phase = connection::idle;
  } else {
    c_.buffer = resized(c_.buffer, c_.buffer->rest().size());
    if (c_.phase != connection::in_head || answered_) c_.deadline = from_now(c_.core.options.head_timeout);
    c_.phase = connection::in_head;
  }
  c_.sock.set_deadline(c_.deadline);
  return true;
}

/// Throws away what still comes. False: it is over.
bool linger(connection& c) {
  drop_buffer(std::exchange(c.buffer, nullptr));
  char dropped[4096];
  while (c.drained < linger_bytes) {
    const io_result got = c.sock.try_read(dropped);
    if (got.error == EAGAIN) return here().clock < c.deadline;
    if (got.bytes == 0) return false;
    c.drained += static_cast<std::uint32_t>(got.bytes);
  }
  return false;
}

// --- the process -----------------------------------------------------------------------------------------------------

/// Returns: false when the connection is over.
bool serve(connection& c, slot& self) {
  c.sock.clear_notice();
  here().clock = sync::now();
  const bool late = here().clock >= c.deadline;
  if (c.phase == connection::lingering) return linger(c);
  look now(c, self);
  if (!now.run()) return false;
  if (c.phase == connection::lingering) return linger(c);
  if (!late || here().clock < c.deadline) return true;
  if (c.phase == connection::idle) return false;
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

void start_connection(http_core& core, int fd) {
  slot* s = nullptr;
  try {
    s = &new_process(connection_class, core.in);
  } catch (...) {
    ::close(fd);
    throw;
  }
  auto& c = *::new (detail::state_of(*s)) connection(core);
  detail::set(*s, detail::started);
  c.me = detail::pid_of(*s);
  try {
    c.sock = stream_socket(core.in, fd, c.me);
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
  core.open.fetch_add(1, sync::relaxed);
  core.living.fetch_add(1, sync::relaxed);
  c.deadline = from_now(core.options.idle_timeout);
  c.sock.set_deadline(c.deadline);
  leave(*s);  // idle from here on, or queued if its first bytes are there already
}

}  // namespace coppice::internal
