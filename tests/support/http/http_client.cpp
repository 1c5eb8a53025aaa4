// SPDX-License-Identifier: Apache-2.0
#include "support/http/http_client.hpp"

#include "support/http/world_security.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <stdexcept>

namespace coppice::testing {

namespace {

void require(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(what);
}

sockaddr_in loopback(std::uint32_t number, std::uint16_t port) {
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(port);
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK + number);
  return a;
}

bool connects(int fd, std::uint16_t port) {
  const sockaddr_in a = loopback(0, port);
  return ::connect(fd, reinterpret_cast<const sockaddr*>(&a), sizeof a) == 0;
}

int connect_to(std::uint16_t port, int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  if (connects(fd, port)) return fd;
  // A fuzz target uses all ports of an address up in ten seconds, and each rests for a minute: there are more addresses.
  for (std::uint32_t other = 1; errno == EADDRNOTAVAIL && other != 250; ++other) {
    ::close(fd);
    fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in from = loopback(other, 0);
    const int on = 1;
    ::setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (::bind(fd, reinterpret_cast<const sockaddr*>(&from), sizeof from) == 0 && connects(fd, port)) return fd;
  }
  ::close(fd);
  return -1;
}

/// What is sent goes at once, and nothing is waited for longer than a minute.
void prepare(int fd) {
  require(fd >= 0, "nobody accepts connections there");
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  const timeval patience{.tv_sec = 60, .tv_usec = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

}  // namespace

std::string http_answer::header(std::string_view name) const {
  const std::size_t at = head.find("\r\n" + std::string(name) + ": ");
  if (at == std::string::npos) return {};
  const std::size_t begin = at + name.size() + 4;
  return head.substr(begin, head.find("\r\n", begin) - begin);
}

http_client::http_client(std::uint16_t port) : http_client(plain(port)) {
  if (worlds_are_secure()) tls_ = std::make_unique<tls_end>(fd_, tls_wish{});
}

http_client::http_client(std::uint16_t port, const tls_wish& w) : http_client(plain(port)) {
  tls_ = std::make_unique<tls_end>(fd_, w);
}

http_client http_client::plain(std::uint16_t port) {
  const int fd = connect_to(port);
  prepare(fd);
  return http_client(adopted{fd});
}

http_client http_client::connected(int fd, std::uint16_t port) {
  prepare(connect_to(port, fd));
  http_client made(adopted{fd});
  if (worlds_are_secure()) made.tls_ = std::make_unique<tls_end>(fd, tls_wish{});
  return made;
}

http_client::~http_client() {
  if (fd_ >= 0) ::close(fd_);
}

bool http_client::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = tls_ != nullptr ? tls_->write(bytes.data(), bytes.size()) : TEMP_FAILURE_RETRY(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL));
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

void http_client::end_writing() {
  if (tls_ != nullptr) tls_->say_goodbye();
  ::shutdown(fd_, SHUT_WR);
}

ssize_t http_client::receive(char* into, std::size_t size) {
  return tls_ != nullptr ? tls_->read(into, size) : TEMP_FAILURE_RETRY(::recv(fd_, into, size, 0));
}

bool http_client::more() {
  char got[16384];
  const ssize_t n = receive(got, sizeof got);
  require(n >= 0 || errno != EAGAIN, "nothing came for a minute");
  if (n <= 0) return false;
  rest_.append(got, static_cast<std::size_t>(n));
  return true;
}

http_answer http_client::read(bool head_only) {
  http_answer a;
  std::size_t end = 0;
  while ((end = rest_.find("\r\n\r\n")) == std::string::npos)
    if (!more()) return a;
  a.head = rest_.substr(0, end + 2);
  rest_.erase(0, end + 4);
  const int status = std::atoi(a.head.c_str() + 9);
  if (!head_only && a.header("Transfer-Encoding") == "chunked") {
    for (std::string chunk = read_chunk(); !chunk.empty(); chunk = read_chunk()) a.body += chunk;
    a.status = ended_ ? 0 : status;
    return a;
  }
  const std::size_t size = head_only ? 0 : static_cast<std::size_t>(std::atol(a.header("Content-Length").c_str()));
  while (rest_.size() < size)
    if (!more()) return a;
  a.body = rest_.substr(0, size);
  rest_.erase(0, size);
  a.status = status;
  return a;
}

std::string http_client::read_chunk() {
  std::size_t line = 0;
  while ((line = rest_.find("\r\n")) == std::string::npos)
    if (!more()) return ended_ = true, std::string();
  const std::size_t size = std::strtoul(rest_.c_str(), nullptr, 16);
  while (rest_.size() < line + size + 4)
    if (!more()) return ended_ = true, std::string();
  std::string chunk = rest_.substr(line + 2, size);
  require(rest_.substr(line + 2 + size, 2) == "\r\n", "a chunk is longer than it says");
  rest_.erase(0, line + size + 4);
  return chunk;
}

std::string http_client::read_exactly(std::size_t bytes) {
  while (rest_.size() < bytes && more()) {}
  std::string got = rest_.substr(0, bytes);
  rest_.erase(0, got.size());
  return got;
}

bool http_client::ends_with_reset() {
  char got[4096];
  ssize_t n = 1;
  while (n > 0) n = receive(got, sizeof got);
  return n < 0 && errno == ECONNRESET;
}

void http_client::reset() {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  ::close(std::exchange(fd_, -1));
}

std::string http_client::read_to_end() {
  while (more()) {}
  return std::exchange(rest_, {});
}

std::string get_request(std::string_view path, std::string_view lines) {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: test\r\n" + std::string(lines) + "\r\n";
}

bool accepts(std::uint16_t port) {
  const int fd = connect_to(port);
  if (fd >= 0) ::close(fd);
  return fd >= 0;
}

}  // namespace coppice::testing
