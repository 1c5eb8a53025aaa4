// SPDX-License-Identifier: Apache-2.0
#include "process/stream_socket.hpp"

#include <coppice/base/assert.hpp>
#include <coppice/process/message.hpp>

#include "base/pipe_signal.hpp"
#include "process/mailbox.hpp"
#include "process/system.hpp"

#include <socket_calls.hpp>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace coppice::internal {

namespace {

[[noreturn]] void fail(int error, const char* what) { throw std::system_error(error, std::generic_category(), what); }

void wake_waiter(void* waiter, std::uint64_t number) noexcept { wake(*static_cast<slot*>(waiter), number); }

void send_ready(void* owner, std::uint64_t serial) noexcept {
  node* n = allocate_node(sizeof(io_ready), alignof(io_ready));
  n->type = &descriptor_of<io_ready>();
  ::new (detail::payload_of(*n)) io_ready;
  deliver(pid::of(static_cast<slot*>(owner), serial), n);
}

constexpr poll_hooks process_hooks{.wake = &wake_waiter, .notify = &send_ready};

/// The wait of one process on one direction of a socket.
class side_wait {
 public:
  side_wait(poll_side& side, slot& who) noexcept
      : side_(side), me_(who), number_(begin_wait(who)), word_(number_ << 2 | poll_side::waiting) {}
  side_wait(const side_wait&) = delete;
  ~side_wait() {
    std::uint64_t mine = word_;
    side_.state.cas(mine, poll_side::unknown, sync::relaxed);  // the poller has it, or it is nobody's again
  }
  /// False: the time is up.
  bool wait(std::int64_t timeout) {
    return !announce() || wait_until(me_, number_, wait_state::signals, timeout, &is_over, this);
  }
  stream_socket::woken wait_or_mail(std::int64_t timeout, const mail_mark& seen) {
    seen_ = &seen;
    if (!announce()) return stream_socket::woken::readable;
    if (!wait_until(me_, number_, wait_state::any, timeout, &is_over_or_mail, this, true))
      return stream_socket::woken::time_up;
    return is_over(this) ? stream_socket::woken::readable : stream_socket::woken::mail;
  }

 private:
  /// False: it is ready already.
  bool announce() noexcept {
    side_.waiter.store(&me_, sync::relaxed);
    std::uint64_t before = poll_side::unknown;
    if (side_.state.cas(before, word_, sync::seq_cst))
      return true;  // pairs with make_ready's exchange: it sees us, or we see it
    COPPICE_ASSERT(before == poll_side::ready, "one process at a time waits on one direction of a socket");
    side_.state.exchange(poll_side::unknown, sync::acquire);
    return false;
  }
  static bool is_over_or_mail(void* raw) {
    const auto& self = *static_cast<side_wait*>(raw);
    return is_over(raw) || has_changed(self.me_, *self.seen_);
  }
  static bool is_over(void* raw) {
    const auto& self = *static_cast<side_wait*>(raw);
    return self.side_.state.load(sync::seq_cst) != self.word_;
  }
  poll_side& side_;
  slot& me_;
  const std::uint64_t number_;
  const std::uint64_t word_;
  const mail_mark* seen_ = nullptr;
};

bool wait_for(poll_side& side, std::int64_t timeout) {
  side_wait w(side, detail::here());
  return w.wait(timeout);
}

/// A non-blocking TCP socket. Throws.
struct raw_socket {
  raw_socket() : fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    if (fd < 0) fail(errno, "socket");
  }
  ~raw_socket() {
    if (fd >= 0) ::close(fd);
  }
  raw_socket(const raw_socket&) = delete;
  int release() noexcept { return std::exchange(fd, -1); }
  int fd;
};

sockaddr_in address_of(const char* text, std::uint16_t port) {
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(port);
  if (::inet_pton(AF_INET, text, &a.sin_addr) != 1) fail(EINVAL, "not an IPv4 address");
  return a;
}

void set_option(int fd, int level, int option) noexcept {
  const int on = 1;
  ::setsockopt(fd, level, option, &on, sizeof on);
}

io_result counted_as(counted what, ssize_t n) noexcept {
  count(what, static_cast<std::uint64_t>(n));
  return {static_cast<std::size_t>(n), 0};
}

ssize_t sendfile_without_signal(int to, int from, off_t at, std::size_t bytes) noexcept {
  pipe_signal_held held;
  const ssize_t n = ::sendfile(to, from, &at, bytes);
  if (n < 0 && errno == EPIPE) held.take();
  return n;
}

}  // namespace

poller& poller_of(system& in) {
  if (poller* p = in.io.load(sync::acquire)) return *p;
  sync::lock_guard held(in.making_io);
  if (poller* p = in.io.load(sync::relaxed)) return *p;
  auto* made = new poller(in.sched, process_hooks, in.options.batch_sockets);
  in.io.store(made, sync::release);
  return *made;
}

stream_socket::stream_socket(system& in, int fd, pid owner) {
  const poll_owner told{owner ? static_cast<void*>(owner.where()) : nullptr, owner ? owner.serial() : 0};
  try {
    pd_ = poller_of(in).open(fd, told);
  } catch (...) {
    ::close(fd);
    throw;
  }
  if (pd_ != nullptr) return;
  const int why = errno;
  ::close(fd);
  fail(why, "the socket cannot be watched");
}

stream_socket& stream_socket::operator=(stream_socket&& other) noexcept {
  if (this == &other) return *this;
  close();
  pd_ = std::exchange(other.pd_, nullptr);
  return *this;
}

void stream_socket::close() noexcept {
  if (poll_descriptor* pd = std::exchange(pd_, nullptr)) pd->of->close(*pd);
}

int stream_socket::release() noexcept {
  poll_descriptor* pd = std::exchange(pd_, nullptr);
  return pd->of->release(*pd);
}

stream_socket stream_socket::listen(system& in, const char* address, std::uint16_t port, int backlog, pid owner) {
  const sockaddr_in a = address_of(address, port);
  raw_socket s;
  set_option(s.fd, SOL_SOCKET, SO_REUSEADDR);
  if (::bind(s.fd, reinterpret_cast<const sockaddr*>(&a), sizeof a) != 0) fail(errno, "bind");
  if (::listen(s.fd, backlog) != 0) fail(errno, "listen");
  return stream_socket(in, s.release(), owner);
}

stream_socket stream_socket::connect(system& in, const char* address, std::uint16_t port, std::int64_t timeout) {
  const sockaddr_in a = address_of(address, port);
  raw_socket s;
  set_option(s.fd, IPPROTO_TCP, TCP_NODELAY);
  if (::connect(s.fd, reinterpret_cast<const sockaddr*>(&a), sizeof a) != 0 && errno != EINPROGRESS)
    fail(errno, "connect");
  stream_socket made(in, s.release());
  for (;;) {
    // An event may tell of the time before the connection was begun: only a peer's name says that there is one.
    sockaddr_in peer{};
    socklen_t size = sizeof peer;
    if (::getpeername(made.fd(), reinterpret_cast<sockaddr*>(&peer), &size) == 0) return made;
    int error = 0;
    size = sizeof error;
    ::getsockopt(made.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) fail(error, "connect");
    if (!wait_for(made.pd_->write, timeout)) fail(ETIMEDOUT, "connect");
  }
}

std::uint16_t stream_socket::local_port() const {
  sockaddr_in a{};
  socklen_t size = sizeof a;
  if (::getsockname(fd(), reinterpret_cast<sockaddr*>(&a), &size) != 0) fail(errno, "getsockname");
  return ntohs(a.sin_port);
}

void stream_socket::end_writing() noexcept {
  poller::finish_posted(*pd_);
  ::shutdown(fd(), SHUT_WR);
}

void stream_socket::reset_at_close() noexcept {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

io_result stream_socket::try_read(std::span<char> into) noexcept {
  return pd_->early == nullptr ? read_now(into) : take_early(into);
}

/// What was read for us and, if that may not be all of it, what else there is.
io_result stream_socket::take_early(std::span<char> into) noexcept {
  early_read& early = *pd_->early;
  const std::size_t n = std::min<std::size_t>(into.size(), early.end - early.begin);
  std::memcpy(into.data(), early.bytes + early.begin, n);
  early.begin += static_cast<std::uint32_t>(n);
  count(counted::bytes_read, n);
  if (early.begin < early.end) return {n, 0};
  const bool may_have_more = early.may_have_more;
  pd_->early = nullptr;
  early.give_back();
  if (!may_have_more || n == into.size()) return {n, 0};
  const io_result more = read_now(into.subspan(n));
  return {n + more.bytes, 0};             // an error, or the end, is there to be met by the next read
}

io_result stream_socket::read_now(std::span<char> into) noexcept {
  for (;;) {
    const ssize_t n = receive_now(fd(), into.data(), into.size());
    if (n >= 0) return counted_as(counted::bytes_read, n);
    if (errno != EINTR) return {0, errno};
  }
}

io_result stream_socket::try_write(std::string_view bytes) noexcept {
  if (has_posted()) [[unlikely]]
    if (const io_result before = write_posted(0); before.error != 0) return before;
  return write_now(bytes);
}

io_result stream_socket::write_posted(std::int64_t timeout) {
  poller::finish_posted(*pd_);
  unsent_bytes& left = pd_->unsent;
  while (!left.is_empty()) {
    const io_result put = write_now(left.rest());
    left.begin += static_cast<std::uint32_t>(put.bytes);
    if (put.error == 0) continue;
    if (put.error != EAGAIN || timeout == 0) return {0, put.error};
    if (!wait_for(pd_->write, timeout)) return {0, ETIMEDOUT};
  }
  left = {};
  return {};
}

io_result stream_socket::write_now(std::string_view bytes) noexcept {
  for (;;) {
    const ssize_t n = send_now(fd(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n >= 0) return counted_as(counted::bytes_written, n);
    if (errno != EINTR) return {0, errno};
  }
}

socket_peer stream_socket::peer_of(int fd) noexcept {
  sockaddr_in a{};
  socklen_t size = sizeof a;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&a), &size) != 0) return {};
  return {ntohl(a.sin_addr.s_addr), ntohs(a.sin_port)};
}

int stream_socket::try_accept(socket_peer& from) noexcept {
  for (;;) {
    sockaddr_in a{};
    socklen_t size = sizeof a;
    const int accepted = ::accept4(fd(), reinterpret_cast<sockaddr*>(&a), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted >= 0) {
      from = {ntohl(a.sin_addr.s_addr), ntohs(a.sin_port)};
      set_option(accepted, IPPROTO_TCP, TCP_NODELAY);
      return accepted;
    }
    if (errno != EINTR && errno != ECONNABORTED) return -1;
  }
}

bool stream_socket::wait_writable(std::int64_t timeout) { return wait_for(pd_->write, timeout); }

io_result stream_socket::read_some(std::span<char> into, std::int64_t timeout) {
  for (;;) {
    const io_result got = try_read(into);
    if (got.error != EAGAIN) return got;
    if (!wait_for(pd_->read, timeout)) return {0, ETIMEDOUT};
  }
}

stream_socket::woken stream_socket::wait_readable(std::int64_t timeout, const mail_mark* seen) {
  side_wait w(pd_->read, detail::here());
  if (seen != nullptr) return w.wait_or_mail(timeout, *seen);
  return w.wait(timeout) ? woken::readable : woken::time_up;
}

io_result stream_socket::write_all(std::string_view bytes, std::int64_t timeout) {
  if (has_posted()) [[unlikely]]
    if (const io_result before = write_posted(timeout); before.error != 0) return before;
  io_result all;
  while (all.bytes < bytes.size()) {
    const io_result put = write_now(bytes.substr(all.bytes));
    all.bytes += put.bytes;
    if (put.error == 0) continue;
    if (put.error != EAGAIN) return {all.bytes, put.error};
    if (!wait_for(pd_->write, timeout)) return {all.bytes, ETIMEDOUT};
  }
  return all;
}

io_result stream_socket::write_all(std::span<const std::string_view> pieces, std::int64_t timeout) {
  if (has_posted()) [[unlikely]]
    if (const io_result before = write_posted(timeout); before.error != 0) return before;
  iovec parts[4];
  std::size_t count = 0;
  for (const std::string_view piece : pieces)
    if (!piece.empty()) parts[count++] = {const_cast<char*>(piece.data()), piece.size()};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = count;
  io_result all;
  while (message.msg_iovlen > 0) {
    const ssize_t n = ::sendmsg(fd(), &message, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN) return {all.bytes, errno};
    if (n < 0 && !wait_for(pd_->write, timeout)) return {all.bytes, ETIMEDOUT};
    std::size_t sent = n < 0 ? 0 : counted_as(counted::bytes_written, n).bytes;
    all.bytes += sent;
    for (; message.msg_iovlen > 0 && sent >= message.msg_iov->iov_len; --message.msg_iovlen)
      sent -= message.msg_iov++->iov_len;
    if (message.msg_iovlen == 0) break;
    message.msg_iov->iov_base = static_cast<char*>(message.msg_iov->iov_base) + sent;
    message.msg_iov->iov_len -= sent;
  }
  return all;
}

io_result stream_socket::send_file(int file, std::uint64_t first, std::uint64_t bytes, std::int64_t timeout) {
  constexpr std::uint64_t at_once = 1 << 20;  // others get their turn
  if (has_posted()) [[unlikely]]
    if (const io_result before = write_posted(timeout); before.error != 0) return before;
  io_result all;
  while (all.bytes < bytes) {
    const auto at = static_cast<off_t>(first + all.bytes);
    const ssize_t n = sendfile_without_signal(fd(), file, at, static_cast<std::size_t>(std::min(bytes - all.bytes, at_once)));
    if (n == 0) return all;
    if (n > 0) {
      all.bytes += counted_as(counted::bytes_written, n).bytes;
      yield_if_spent();
    } else if (errno == EAGAIN) {
      if (!wait_for(pd_->write, timeout)) return {all.bytes, ETIMEDOUT};
    } else if (errno != EINTR) {
      return {all.bytes, errno};
    }
  }
  return all;
}

bool stream_socket::hung_up() const noexcept { return may_have_hung_up() && (now(POLLRDHUP) & (POLLRDHUP | POLLHUP | POLLERR)) != 0; }

bool stream_socket::is_gone() const noexcept { return may_have_hung_up() && (now(0) & (POLLHUP | POLLERR)) != 0; }

/// What the system says of the socket, of `events` and of what it always says.
short stream_socket::now(short events) const noexcept {
  pollfd what{.fd = fd(), .events = events, .revents = 0};
  return ::poll(&what, 1, 0) > 0 ? what.revents : short{0};
}

}  // namespace coppice::internal
