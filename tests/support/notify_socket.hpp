// SPDX-License-Identifier: Apache-2.0
//
// notify_socket: a service manager of the test's own, which only listens. $NOTIFY_SOCKET names it while it lives.
#pragma once

#include <doctest/doctest.h>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>

namespace coppice::testing {

class notify_socket {
 public:
  /// A path, or @ and a name.
  explicit notify_socket(std::string address) : address_(std::move(address)), fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un a{};
    a.sun_family = AF_UNIX;
    std::memcpy(a.sun_path, address_.data(), address_.size());
    if (address_[0] == '@') a.sun_path[0] = '\0';
    ::unlink(address_.c_str());
    REQUIRE(::bind(fd_, reinterpret_cast<sockaddr*>(&a), static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address_.size() + (address_[0] == '/'))) == 0);
    ::setenv("NOTIFY_SOCKET", address_.c_str(), 1);
  }
  ~notify_socket() {
    ::unsetenv("NOTIFY_SOCKET");
    ::close(fd_);
    if (address_[0] == '/') ::unlink(address_.c_str());
  }
  notify_socket(const notify_socket&) = delete;

  /// The next message; empty when none has come for `limit_ms`.
  std::string next(int limit_ms = 120'000) const {
    pollfd p{.fd = fd_, .events = POLLIN, .revents = 0};
    if (::poll(&p, 1, limit_ms) != 1) return {};
    char text[4096];
    const ssize_t n = ::recv(fd_, text, sizeof text, 0);
    return n < 0 ? std::string() : std::string(text, static_cast<std::size_t>(n));
  }

 private:
  const std::string address_;
  const int fd_;
};

}  // namespace coppice::testing
