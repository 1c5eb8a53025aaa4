// SPDX-License-Identifier: Apache-2.0
#include "app/take_over.hpp"

#include "process/mailbox.hpp"
#include "process/signal.hpp"
#include "process/system.hpp"

#include <coppice/base/log_sink.hpp>
#include <coppice/process/process.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string_view>
#include <system_error>
#include <utility>

namespace coppice::internal {

namespace {

void start_moved(http_core& core, owned_fd& socket, std::string_view bytes, std::unique_ptr<ws_handover> websocket) {
  const socket_peer peer = stream_socket::peer_of(socket.get());
  start_connection(core, socket.release(), peer, bytes, std::move(websocket));
}

constexpr std::string_view greeting = "coppice take-over 2";
constexpr std::string_view refused = "refused ";
constexpr std::string_view plain_listener_word = "listener";
constexpr std::string_view tls_listener_word = "listener tls";
std::string_view listener_word(const http_core& core) noexcept { return core.is_secure() ? tls_listener_word : plain_listener_word; }
constexpr std::string_view ready_word = "ready";
constexpr std::string_view connection_word = "connection ";
constexpr std::string_view websocket_word = "websocket ";
constexpr std::string_view done_word = "done";

constexpr std::int64_t look_every = 50'000'000;  // ns, whether the successor lives
constexpr std::size_t deep_stack = 256 * 1024;  // they write reports, which a log may format deeply
constexpr std::int64_t talk_time = 20'000'000'000;  // ns, for an answer that needs no work

std::string packed(const moved_connection& c) {
  return c.websocket == nullptr ? std::string(connection_word) + c.bytes : std::string(websocket_word) + packed(*c.websocket) + c.bytes;
}

std::int64_t ns(duration d) noexcept { return d == infinity ? sync::never : d.count(); }

http_server_error failed(const std::string& path, std::string_view why) {
  return {http_server_error::take_over_failed, "the server at " + path + " cannot be taken over: " + std::string(why)};
}

/// Where a file lies, to know it again.
struct file_identity {
  dev_t device = 0;
  ino_t number = 0;
  friend bool operator==(const file_identity&, const file_identity&) = default;
};
file_identity identity_of(const std::string& path) noexcept {
  struct stat is {};
  return ::lstat(path.c_str(), &is) == 0 ? file_identity{is.st_dev, is.st_ino} : file_identity{};
}

packet_socket door_at(http_core& core) {
  try {
    return packet_socket::listen(core.in, core.options.take_over);
  } catch (const std::system_error& e) {
    throw http_server_error(http_server_error::take_over_failed, std::string("no successor could take over: ") + e.what());
  }
}

/// The state of the process that waits for a successor.
class doorkeeper {
 public:
  doorkeeper(http_core& core, packet_socket at, owned_fd listener)
      : core_(core), at_(std::move(at)), listener_(std::move(listener)), file_(identity_of(core.options.take_over)) {
    core_.hold();
    core_.living.fetch_add(1, sync::relaxed);
  }
  ~doorkeeper() {
    if (identity_of(core_.options.take_over) == file_) ::unlink(core_.options.take_over.c_str());
    if (core_.is_moving() || !leaving_.empty()) take_back();  // it was killed in the middle, or there is no memory
    leave();
    core_.drop();
  }
  doorkeeper(const doorkeeper&) = delete;

  void stand() {
    for (;;) {
      packet_socket successor = at_.accept(core_.in);
      if (!is_ready(successor) || !move_all(successor)) {
        stand_again();
        continue;
      }
      leave();                                     // or the end would wait for us
      core_.taken_over.store(1, sync::seq_cst);
      stop_http(core_, duration{0});
      static_cast<void>(successor.send(done_word, -1, talk_time));
      exit(exit_reason::shutdown_because("taken over"));
    }
  }

 private:
  /// The successor that ended may have put its door in the place of ours.
  void stand_again() {
    if (identity_of(core_.options.take_over) == file_) return;
    try {
      at_ = door_at(core_);
      file_ = identity_of(core_.options.take_over);
    } catch (const std::exception& e) {
      report(log_level::error, e.what());
    }
  }
  void report(log_level level, const std::string& what) const {
    write_report({.level = level, .kind = "http", .headline = "http_server on port " + std::to_string(core_.port) + ": " + what});
  }

  /// Whether the other side listens, too.
  bool is_ready(packet_socket& successor) {
    const packet hello = successor.receive(talk_time);
    if (hello.error != 0 || hello.bytes.empty()) return false;  // somebody who only looked
    if (hello.bytes != greeting) {
      static_cast<void>(successor.send(std::string(refused) + "this one says \"" + std::string(greeting) + '"', -1, talk_time));
      return false;
    }
    if (successor.send(listener_word(core_), listener_.get(), talk_time) != 0) return false;
    const packet answer = successor.receive(ns(core_.options.take_over_timeout));
    if (answer.bytes == ready_word) return true;
    report(log_level::warning, answer.error == ETIMEDOUT ? "a successor was not ready in time: this one goes on"
                                                         : "a successor ended before it was ready: this one goes on");
    return false;
  }

  /// False: the other side has ended, and we go on.
  bool move_all(packet_socket& successor) {
    if (!core_.is_running()) wait_to_be_ended();
    core_.moving.store(1, sync::seq_cst);              // pairs with start_connection: it sees this, or we see it listed
    send_look(core_.listener_now());
    for (const pid who : connections_of(core_)) send_look(who);
    const std::int64_t limit = ns(core_.options.take_over_timeout);
    const std::int64_t deadline = limit == sync::never ? sync::never : sync::now() + limit;
    moved_ = 0;
    for (std::int64_t left = limit; left > 0 && core_.is_running(); left = deadline == sync::never ? sync::never : deadline - sync::now()) {
      wait_until_moved(left < look_every ? left : look_every);
      leaving_ = core_.take_moved();
      const bool none = leaving_.empty();
      if (!send_leaving(successor) || successor.hung_up()) return go_on(), false;
      if (none && core_.is_empty()) break;
    }
    if (!core_.is_running()) wait_to_be_ended();
    core_.end_moving(leaving_);                      // who comes from now on is too late, and is closed
    if (!send_leaving(successor)) return go_on(), false;
    report(log_level::notice, "taken over by another OS process: " + std::to_string(moved_) + " connections have moved, " +
                                  std::to_string(core_.open.load(sync::relaxed)) + " could not in time");
    return true;
  }

  /// The server is being stopped, and this is being ended for it.
  [[noreturn]] static void wait_to_be_ended() {
    for (;;) sleep_for(infinity);
  }
  /// False: the other side has ended; the rest is still here.
  bool send_leaving(packet_socket& successor) {
    for (; !leaving_.empty(); leaving_.pop_front(), ++moved_)
      if (successor.send(packed(leaving_.front()), leaving_.front().socket.get(), talk_time) != 0) return false;
    return true;
  }

  void wait_until_moved(std::int64_t limit) {
    slot& me = detail::here();
    const end_waiter mine(core_, me);
    wait_until(me, mine.number, wait_state::signals, limit, [](void* raw) {
      auto& core = *static_cast<http_core*>(raw);
      return core.has_moved() || core.is_empty();
    }, &core_);
  }

  void go_on() {
    const std::size_t back = take_back();
    report(log_level::error, "a successor ended while connections moved: this one goes on with " + std::to_string(back) + " of them, " +
                                 std::to_string(moved_) + " are lost");
  }
  /// Nobody moves any more: who has not gone over stays, and is closed if the server stops.   Returns: how many those are.
  std::size_t take_back() noexcept {
    const bool listens = core_.end_moving(leaving_);
    std::size_t back = 0;
    for (; !leaving_.empty(); leaving_.pop_front()) back += adopt(leaving_.front());
    if (listens || !core_.is_running()) return back;
    try {
      start_listener(core_, ::fcntl(listener_.get(), F_DUPFD_CLOEXEC, 0));
    } catch (const std::exception& e) {
      report_loss("no listener can be started", e);
    }
    return back;
  }
  bool adopt(moved_connection& c) noexcept {
    try {
      start_moved(core_, c.socket, c.bytes, std::move(c.websocket));
      return true;
    } catch (const std::exception& e) {
      report_loss("a connection is lost", e);
      return false;
    }
  }
  void report_loss(std::string_view what, const std::exception& why) const noexcept {
    if (core_.in.closing.load(sync::relaxed) != 0) return;  // all end
    try {
      report(log_level::error, std::string(what) + ": " + why.what());
    } catch (const std::bad_alloc&) {                // nor can it be said
    }
  }

  void leave() noexcept {
    if (!std::exchange(counted_, false)) return;
    core_.leave();
  }

  http_core& core_;
  packet_socket at_;
  owned_fd listener_;
  file_identity file_;
  moved_list leaving_{};   // given up by their processes, and not sent yet
  std::size_t moved_ = 0;  // to this successor
  bool counted_ = true;
};

/// Serves what a predecessor passes on, until that is all.
struct heir {
  heir(http_core& c, packet_socket f) : core(c), from(std::move(f)) {
    core.hold();
    core.living.fetch_add(1, sync::relaxed);         // who stops the server ends this, and waits for it
  }
  ~heir() {
    core.inheriting.store(0, sync::seq_cst);
    core.wake_waiters();
    core.leave();
    core.drop();
  }
  heir(const heir&) = delete;
  void take() {
    std::size_t lost = 0;
    for (;;) {
      packet next = from.receive(sync::never);
      if (next.error != EMSGSIZE && (next.error != 0 || !is_connection(next.bytes))) break;
      try {
        if (next.error != 0 || !next.with || !start(next)) ++lost;    // there was no descriptor left for it
      } catch (const std::exception&) {            // no process, no memory
        ++lost;
      }
    }
    if (lost > 0)
      write_report({.level = log_level::error,
                    .kind = "http",
                    .headline = "http_server on port " + std::to_string(core.port) + ": " + std::to_string(lost) +
                                " connections could not be taken over: out of descriptors, processes or memory"});
  }
  static bool is_connection(std::string_view bytes) noexcept {
    return bytes.starts_with(connection_word) || bytes.starts_with(websocket_word);
  }
  /// False: what was said of it makes no sense.   Throws: std::exception.
  bool start(packet& next) {
    std::string_view rest = next.bytes;
    const bool is_websocket = rest.starts_with(websocket_word);
    rest.remove_prefix(is_websocket ? websocket_word.size() : connection_word.size());
    std::unique_ptr<ws_handover> websocket = is_websocket ? unpack_handover(rest) : nullptr;
    if (is_websocket && (websocket == nullptr || core.is_secure())) return false;
    start_moved(core, next.with, rest, std::move(websocket));
    return true;
  }
  http_core& core;
  packet_socket from;
};

}  // namespace

std::optional<inheritance> inherit(const http_core& core) {
  const std::string& path = core.options.take_over;
  inheritance got;
  try {
    got.from = packet_socket::connect(core.in, path);
  } catch (const std::system_error& e) {
    if (e.code().value() == ENOENT || e.code().value() == ECONNREFUSED) return std::nullopt;
    throw failed(path, e.what());
  }
  if (const int error = got.from.send(greeting, -1, talk_time); error != 0) throw failed(path, std::generic_category().message(error));
  packet answer = got.from.receive(talk_time);
  if (answer.error != 0) throw failed(path, std::generic_category().message(answer.error));
  if (answer.bytes.starts_with(refused)) throw failed(path, answer.bytes);
  if (answer.with && answer.bytes != listener_word(core) && (answer.bytes == plain_listener_word || answer.bytes == tls_listener_word))
    throw failed(path, core.is_secure() ? "it speaks plain HTTP, and this one TLS" : "it speaks TLS, and this one plain HTTP");
  if (answer.bytes != listener_word(core) || !answer.with) throw failed(path, "it does not speak \"" + std::string(greeting) + '"');
  got.listener = std::move(answer.with);
  return got;
}

void take_connections(http_core& core, packet_socket from) {
  static_cast<void>(from.send(ready_word, -1, talk_time));  // fails: it has ended just now, and all who knew it are ours alone
  auto state = std::make_unique<heir>(core, std::move(from));
  const pid who = spawn([state = std::move(state)] { state->take(); }, {.label = "http_heir", .stack_bytes = deep_stack, .in = core.options.in});
  sync::lock_guard held(core.lock);
  core.heir = who;
}

void open_door(http_core& core, owned_fd listener) {
  auto state = std::make_unique<doorkeeper>(core, door_at(core), std::move(listener));
  const pid who = spawn([state = std::move(state)] { state->stand(); }, {.label = "http_door", .stack_bytes = deep_stack, .in = core.options.in});
  sync::lock_guard held(core.lock);
  core.door = who;
}

}  // namespace coppice::internal
