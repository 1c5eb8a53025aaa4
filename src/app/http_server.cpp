// SPDX-License-Identifier: Apache-2.0
//
// http_server: starting, accepting, stopping. What one connection does is in http_connection.cpp.
//
// The listener is a process with a behaviour of its own, woken by `io_ready`: it accepts up to 64 connections, then queues
// itself behind the others. Out of descriptors, or above the limit of connections, it waits for a connection to close
// or for a tenth of a second, instead of asking the kernel a million times a second.
#include <coppice/app/http_server.hpp>

#include "app/http_core.hpp"
#include "app/port_holder.hpp"
#include "app/take_over.hpp"
#include "process/mailbox.hpp"
#include "process/signal.hpp"
#include "process/spawn.hpp"
#include "process/system.hpp"

#include <coppice/base/log_sink.hpp>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <new>
#include <system_error>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace coppice::internal {

namespace {

constexpr int accepted_at_once = 64;
constexpr int backlog = 4096;
constexpr std::int64_t retry_after = 100'000'000;  // ns, when the system is out of descriptors or memory
constexpr std::int64_t report_every = 60'000'000'000;

struct listener {
  explicit listener(http_core& c) noexcept : core(c) { core.hold(); }
  ~listener() {
    if (counted && !has_left && core.is_running()) hand_on();  // it was killed
    if (sock) ::close(sock.release());  // others may have this open file, too: then closing alone would not end the watching
    if (counted) core.leave();
    core.drop();
  }
  listener(const listener&) = delete;
  void hand_on() noexcept;
  http_core& core;
  stream_socket sock;
  std::int64_t reported = -report_every;
  bool counted = false;
  bool has_left = false;
};

/// Clients that connect meanwhile wait in the kernel's queue.
void listener::hand_on() noexcept {
  const std::string port = std::to_string(core.port);
  try {
    start_listener(core, sock.release());
    write_report({.level = log_level::warning,
                  .kind = "http",
                  .headline = "http_server on port " + port + ": its listener was ended, another one goes on with the socket"});
  } catch (const std::exception& e) {
    if (core.in.closing.load(sync::relaxed) != 0) return;  // all end
    write_report({.level = log_level::error,
                  .kind = "http",
                  .headline = "http_server on port " + port + ": its listener was ended, and no other one can be started",
                  .fields = {{"why", e.what()}}});
  }
}

bool is_shortage(int error) noexcept {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

void report_shortage(listener& l, int error) {
  const std::int64_t now = sync::now();
  if (now - l.reported < report_every) return;
  l.reported = now;
  write_report(
      {.level = log_level::warning,
       .kind = "http",
       .headline = "http_server on port " + std::to_string(l.core.port) + ": cannot accept connections, new ones wait",
       .fields = {{"why", std::system_category().message(error)},
                  {"open connections", std::to_string(l.core.open.load(sync::relaxed))}}});
}

/// Above the limit: true; the next connection that closes asks again.
bool is_full(http_core& core) noexcept {
  if (core.open.load(sync::relaxed) < core.options.max_connections) return false;
  core.accept_paused.store(1, sync::seq_cst);  // pairs with ~connection: it sees this, or we see the place
  return core.open.load(sync::seq_cst) >= core.options.max_connections;
}

/// Returns: false when there is nothing more to do, now or ever.
bool accept_some(listener& l) {
  http_core& core = l.core;
  core.accept_paused.store(0, sync::relaxed);
  for (int i = 0; i < accepted_at_once; ++i) {
    if (is_full(core)) return false;
    socket_peer peer;
    const int fd = l.sock.try_accept(peer);
    if (fd < 0) {
      if (!is_shortage(errno)) return false;
      report_shortage(l, errno);
      core.accept_paused.store(1, sync::seq_cst);
      l.sock.set_deadline(sync::now() + retry_after);
      return false;
    }
    try {
      start_connection(core, fd, peer);
    } catch (const std::exception&) {  // no process, no memory: this client is dropped
      report_shortage(l, ENOMEM);
    }
  }
  return true;
}

void handle(slot& self, node* n) noexcept {
  if (!take_io_ready(n)) return;
  auto& l = *static_cast<listener*>(detail::state_of(self));
  l.sock.clear_notice();
  if (l.core.takes_leave_of_listener()) {
    l.has_left = true;
    return end_process(self, exit_reason::normal);
  }
  const bool more = accept_some(l);
  if (more)
    l.sock.notify();
  else if (!l.core.is_running())  // who had connected in time has been taken in
    end_process(self, exit_reason::normal);
}

constexpr detail::behaviour listener_behaviour = socket_behaviour("http_listener", &handle);
constexpr detail::class_descriptor listener_class{
    .name = "http_listener",
    .key = type_hash<listener>(),
    .state_size = sizeof(listener),
    .state_align = alignof(listener),
    .flags = static_cast<std::uint32_t>(detail::class_flag::queued),
    .stack_bytes = 0,
    .destroy = [](void* p) noexcept { static_cast<listener*>(p)->~listener(); },
    .print = nullptr,
    .body = nullptr,
    .handles = &listener_behaviour,
    .table = nullptr};

}  // namespace

void start_listener(http_core& core, int fd) {
  slot* made = nullptr;
  try {
    made = &new_process(listener_class, core.in);
  } catch (...) {
    ::close(fd);
    throw;
  }
  slot& s = *made;
  auto& l = *::new (detail::state_of(s)) listener(core);
  detail::set(s, detail::started);
  const pid who = detail::pid_of(s);
  try {
    l.sock = stream_socket(core.in, fd, who);
  } catch (...) {
    end_process(s, exit_reason::normal);
    throw;
  }
  l.counted = true;
  core.living.fetch_add(1, sync::relaxed);
  {
    sync::lock_guard held(core.lock);
    core.listener = who;
  }
  leave(s);
  if (!core.is_running() || core.is_moving()) send_look(who);  // who began that meanwhile may have told another one
}

bool take_io_ready(node* n) noexcept {
  if (n->kind != detail::node_kind::info || n->type == nullptr || n->type->key != descriptor_of<io_ready>().key) {
    dispose(n, exit_reason::bad_request);  // whoever asks a socket something gets no for an answer
    return false;
  }
  detail::free_node(n);
  return true;
}

void send_look(pid who) noexcept {
  if (!who) return;
  node* n = allocate_node(sizeof(io_ready), alignof(io_ready));
  n->type = &descriptor_of<io_ready>();
  ::new (detail::payload_of(*n)) io_ready;
  deliver(who, n);
}

// --- stopping --------------------------------------------------------------------------------------------------------

void http_core::leave() noexcept {
  if (living.fetch_sub(1, sync::seq_cst) == 1) wake_waiters();
}

void http_core::wake_waiters() noexcept {
  sync::lock_guard held(lock);
  for (const stop_waiter& w : waiters) wake(*w.who, w.number);
}

void http_core::give_service(http_service& s) noexcept {
  if (s.holders.fetch_sub(1, sync::seq_cst) == 1) delete &s;
  if (awaited_services.load(sync::seq_cst) != 0) wake_waiters();  // pairs with service_end: it sees this, or we see it
}

end_waiter::end_waiter(http_core& c, slot& me) : core(c), who(me), number(begin_wait(me)) {
  sync::lock_guard held(core.lock);
  core.waiters.push_back({&who, number});
}
end_waiter::~end_waiter() {
  sync::lock_guard held(core.lock);
  std::erase_if(core.waiters, [this](const stop_waiter& w) { return w.who == &who; });
}

namespace {

bool wait_for(http_core& core, std::int64_t timeout, bool (*is_over)(void*), void* of) {
  slot& me = detail::here();
  const end_waiter mine(core, me);
  return wait_until(me, mine.number, wait_state::signals, timeout, is_over, of);
}

bool is_over(void* raw) { return static_cast<http_core*>(raw)->living.load(sync::seq_cst) == 0; }

/// Waits until nothing of the server lives. False: the time is up.
bool wait_for_end(http_core& core, std::int64_t timeout) { return wait_for(core, timeout, &is_over, &core); }

constexpr std::int64_t answer_time = 20'000'000;  // ns, for a request that was cut off to be answered with 503
constexpr int answer_rounds = 50;

/// An old service, held until whoever waits for its end gives up.
class service_end {
 public:
  service_end(http_core& core, http_service& s) noexcept : core_(core), service_(s) {
    core_.awaited_services.fetch_add(1, sync::seq_cst);
  }
  ~service_end() {
    core_.awaited_services.fetch_sub(1, sync::seq_cst);
    core_.give_service(service_);
  }
  service_end(const service_end&) = delete;
  bool wait(std::int64_t timeout) { return wait_for(core_, timeout, &is_alone, &service_); }
  /// Its requests have had their time.   Returns: how many those are.
  std::size_t cut_off() {
    const std::size_t left = service_.holders.load(sync::seq_cst) - 1;
    service_.is_over.store(1, sync::seq_cst);
    for (int round = 0; round < answer_rounds; ++round) {
      wake_connections(core_);
      if (wait(answer_time)) break;
    }
    return left;
  }

 private:
  static bool is_alone(void* raw) { return static_cast<http_service*>(raw)->holders.load(sync::seq_cst) == 1; }
  http_core& core_;
  http_service& service_;
};

std::int64_t limit_of(duration d) noexcept { return d == infinity ? sync::never : std::max(d.count(), std::int64_t{0}); }

http_restart_result restart(http_core& core, http_handler&& handler, duration limit) {
  std::shared_ptr<const tls_context> certificates = core.load_tls();
  http_service& fresh = *new http_service(std::move(handler));
  service_end old(core, core.put_service(fresh, std::move(certificates)));
  hand_over_websockets(core);  // pairs with ws_session: it sees the new service, or we see that it may move
  http_restart_result result;
  if (!old.wait(limit_of(limit))) result.cut_off = old.cut_off();
  return result;
}

/// Answers with 503 what is under way.
void end_requests(http_core& core) {
  core.all_over.store(1, sync::seq_cst);
  wake_connections(core);
  wait_for_end(core, answer_time);
}

}  // namespace

http_stop_result stop_http(http_core& core, duration drain) {
  http_stop_result result;
  std::uint32_t running = http_core::running;
  core.phase.cas(running, http_core::draining, sync::seq_cst);
  pid door, heir;
  {
    sync::lock_guard held(core.lock);
    door = core.door;
    heir = core.heir;
  }
  if (door && door != detail::pid_of(detail::here())) send_exit(door, pid{}, exit_reason::kill);
  if (heir) send_exit(heir, pid{}, exit_reason::kill);
  if (is_over(&core)) return result;
  const std::int64_t limit = limit_of(drain);
  const std::int64_t grace = std::min(limit / 2, std::int64_t{250'000'000});
  send_look(core.listener_now());
  if (!wait_for_end(core, grace)) {
    core.phase.store(http_core::closing, sync::seq_cst);
    for (const pid who : connections_of(core)) send_look(who);
    if (!wait_for_end(core, limit == sync::never ? limit : limit - grace)) {
      result.cut_off = core.open.load(sync::relaxed);
      end_requests(core);
      for (int round = 0; round < 50 && !is_over(&core); ++round) {
        const std::vector<pid> left = connections_of(core);
        for (const pid who : left) send_exit(who, pid{}, exit_reason::kill);
        if (const pid listener = core.listener_now()) send_exit(listener, pid{}, exit_reason::kill);
        wait_for_end(core, 20'000'000);
      }
    }
  }
  result.idle_closed = core.idle_closed.load(sync::relaxed);
  return result;
}

namespace {

http_server_error explain(const std::system_error& e, const http_server_options& o) {
  const std::string place = o.address + ":" + std::to_string(o.port);
  switch (e.code().value()) {
    case EADDRINUSE: {
      const std::string holder = port_holder(static_cast<std::uint16_t>(o.port));
      return {http_server_error::port_in_use, "port " + std::to_string(o.port) + " is in use: " +
                                                  (holder.empty() ? "another program" : holder) + " listens on " + place};
    }
    case EACCES:
    case EPERM:
      return {http_server_error::not_permitted,
              "not permitted to listen on " + place + ": ports below 1024 need a privilege"};
    case EADDRNOTAVAIL:
    case EINVAL:
      return {http_server_error::bad_address, "\"" + o.address + "\" is not an IPv4 address of this machine"};
    default:
      return {http_server_error::no_resources, "cannot listen on " + place + ": " + e.what()};
  }
}

std::uint16_t port_of(int fd) {
  sockaddr_in a{};
  socklen_t size = sizeof a;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&a), &size) != 0)
    throw std::system_error(errno, std::generic_category(), "getsockname");
  return ntohs(a.sin_port);
}

/// The socket that was given to us, as one that we would have made.
owned_fd given_listener(int fd) {
  int listens = 0;
  socklen_t size = sizeof listens;
  if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0)
    throw http_server_error(http_server_error::bad_address, "descriptor " + std::to_string(fd) + " is not a socket that listens");
  ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
  return owned_fd(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

owned_fd listener_for(http_core& core, const std::optional<inheritance>& from) {
  const http_server_options& o = core.options;
  if (!from && o.listen_fd >= 0) return given_listener(o.listen_fd);
  if (!from)
    return owned_fd(stream_socket::listen(core.in, o.address.c_str(), static_cast<std::uint16_t>(o.port), backlog).release());
  const int port = port_of(from->listener.get());
  if (o.port != 0 && o.port != port)
    throw http_server_error(http_server_error::take_over_failed, "the server at " + o.take_over + " listens on port " +
                                                                     std::to_string(port) + ", not on " + std::to_string(o.port));
  return owned_fd(::fcntl(from->listener.get(), F_DUPFD_CLOEXEC, 0));
}

/// Throws: std::system_error, http_server_error, exit_error, std::bad_alloc.
void begin_listening(http_core& core) {
  core.put_tls(core.load_tls());
  const bool has_door = !core.options.take_over.empty();
  std::optional<inheritance> from;
  if (has_door) from = inherit(core);
  owned_fd fd = listener_for(core, from);
  core.port = port_of(fd.get());
  owned_fd for_successor(has_door ? ::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0) : -1);
  start_listener(core, fd.release());
  if (from) core.inheriting.store(1, sync::seq_cst);
  // Before the predecessor hears that we are ready: as it ends, it must find our door in the place of its own.
  if (has_door) open_door(core, std::move(for_successor));
  if (from) take_connections(core, std::move(from->from));
  if (!from && core.options.listen_fd >= 0) ::close(core.options.listen_fd);  // not before: if this fails it is the caller's
}

}  // namespace

}  // namespace coppice::internal

namespace coppice {

result<http_server, http_server_error> try_run_server_core(http_handler&& handler, const http_server_options& options) {
  if (options.port < 0 || options.port > 65535)
    return error(http_server_error(http_server_error::port_out_of_range,
                                   "port " + std::to_string(options.port) + " is out of range: 0 to 65535"));
  internal::system& in = options.in != nullptr ? options.in->impl() : internal::current_system();
  auto* core = new internal::http_core(std::move(handler), options, in);
  http_server server(core);
  try {
    internal::begin_listening(*core);
  } catch (const http_server_error& e) {
    return error(e);
  } catch (const std::system_error& e) {
    return error(internal::explain(e, options));
  } catch (const exit_error& e) {
    return error(http_server_error(http_server_error::no_resources, e.what()));
  }
  return server;
}

http_server::http_server(const http_server& other) noexcept : core_(other.core_) {
  if (core_ == nullptr) return;
  core_->hold();
  core_->handles.fetch_add(1, internal::sync::relaxed);
}

http_server::~http_server() {
  if (core_ == nullptr) return;
  if (core_->handles.fetch_sub(1, internal::sync::acq_rel) == 1) {
    try {
      internal::stop_http(*core_, duration{0});
    } catch (...) {  // a process that ends may not wait: the connections close all the same
    }
  }
  core_->drop();
}

std::uint16_t http_server::port() const noexcept { return core_ != nullptr ? core_->port : std::uint16_t{0}; }

http_server_statistics http_server::statistics() const noexcept {
  if (core_ == nullptr) return {};
  return {.connections = core_->open.load(internal::sync::relaxed),
          .accepted = core_->accepted.load(internal::sync::relaxed),
          .requests = core_->requests.load(internal::sync::relaxed),
          .failed = core_->failed.load(internal::sync::relaxed),
          .failed_handshakes = core_->failed_handshakes.load(internal::sync::relaxed)};
}

std::vector<http_connection> http_server::connections() const {
  return core_ != nullptr ? internal::list_connections(*core_) : std::vector<http_connection>{};
}

http_stop_result http_server::stop(duration drain) const {
  return core_ != nullptr ? internal::stop_http(*core_, drain) : http_stop_result{};
}

http_restart_result http_server::restart_core(http_handler&& handler, duration limit) const {
  return internal::restart(*core_, std::move(handler), limit);
}

pid http_server::door() const noexcept {
  if (core_ == nullptr) return {};
  internal::sync::lock_guard held(core_->lock);
  return core_->door;
}

bool http_server::is_taken_over() const noexcept { return core_ != nullptr && core_->taken_over.load(internal::sync::seq_cst) != 0; }

bool http_server::is_answering_here() const noexcept { return core_ != nullptr && internal::is_in_request_of(*core_); }

int port_from(int argc, const char* const* argv, int otherwise) {
  const char* text = argc > 1 ? argv[1] : std::getenv("PORT");
  if (text == nullptr || *text == '\0') return otherwise;
  int port = -1;
  const char* end = text + std::strlen(text);
  const auto [stopped, problem] = std::from_chars(text, end, port);
  if (problem != std::errc{} || stopped != end || port < 0 || port > 65535)
    throw http_server_error(http_server_error::port_out_of_range,
                            std::string("\"") + text + "\" is not a port: expected a number from 0 to 65535");
  return port;
}

}  // namespace coppice
