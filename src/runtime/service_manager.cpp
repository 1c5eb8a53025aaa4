// SPDX-License-Identifier: Apache-2.0
//
// service_manager: the protocol of sd_notify(3) without libsystemd: one datagram a message, to a path or, with @ in front, to
// an abstract address.
#include <coppice/runtime/service_manager.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdlib>

namespace coppice {

namespace {

constexpr int patience_ms = 1000;

struct address {
  sockaddr_un to{};
  socklen_t size = 0;
};

/// Empty if the text is no address.
address address_of(std::string_view text) noexcept {
  address a;
  if (text.size() < 2 || (text[0] != '/' && text[0] != '@') || text.size() >= sizeof a.to.sun_path) return a;
  a.to.sun_family = AF_UNIX;
  std::copy(text.begin(), text.end(), a.to.sun_path);
  if (text[0] == '@') a.to.sun_path[0] = '\0';
  a.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + text.size() + (text[0] == '/' ? 1 : 0));
  return a;
}

struct datagram_socket {
  datagram_socket() noexcept : fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {}
  ~datagram_socket() {
    if (fd >= 0) ::close(fd);
  }
  datagram_socket(const datagram_socket&) = delete;
  const int fd;
};

bool send_to(const address& a, std::string_view state) noexcept {
  const datagram_socket s;
  if (s.fd < 0) return false;
  for (bool waited = false;;) {
    const ssize_t sent = ::sendto(s.fd, state.data(), state.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&a.to), a.size);
    if (sent >= 0) return true;
    if (errno == EINTR) continue;
    if (errno != EAGAIN || waited) return false;
    pollfd room{.fd = s.fd, .events = POLLOUT, .revents = 0};
    ::poll(&room, 1, patience_ms);
    waited = true;
  }
}

/// A number of the environment, or -1.
long long number_in(const char* name) noexcept {
  const char* text = std::getenv(name);
  if (text == nullptr) return -1;
  const std::string_view all = text;
  long long n = -1;
  const auto [end, problem] = std::from_chars(all.data(), all.data() + all.size(), n);
  return problem == std::errc{} && end == all.data() + all.size() ? n : -1;
}

}  // namespace

bool notify_service_manager(std::string_view state) noexcept {
  const char* name = std::getenv("NOTIFY_SOCKET");
  if (name == nullptr) return false;
  const int errno_of_caller = errno;
  const address a = address_of(name);
  const bool sent = a.size != 0 && send_to(a, state);
  errno = errno_of_caller;
  return sent;
}

std::vector<inherited_socket> inherited_sockets() {
  constexpr int first = 3;
  std::vector<inherited_socket> all;
  const long long count = number_in("LISTEN_FDS");
  if (number_in("LISTEN_PID") != ::getpid() || count <= 0) return all;
  const char* given = std::getenv("LISTEN_FDNAMES");
  std::string_view names = given != nullptr ? given : "";
  for (int fd = first; fd < first + count && ::fcntl(fd, F_SETFD, FD_CLOEXEC) == 0; ++fd) {
    const std::size_t colon = names.find(':');
    all.push_back({fd, std::string(names.substr(0, colon))});
    names = colon == std::string_view::npos ? std::string_view() : names.substr(colon + 1);
  }
  for (const char* name : {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) ::unsetenv(name);
  return all;
}

duration service_watchdog() noexcept {
  const long long us = number_in("WATCHDOG_USEC");
  if (us <= 0 || us > infinity.count() / 1000) return infinity;
  const bool for_another = std::getenv("WATCHDOG_PID") != nullptr && number_in("WATCHDOG_PID") != getpid();
  return for_another ? infinity : duration(us * 1000);
}

}  // namespace coppice
