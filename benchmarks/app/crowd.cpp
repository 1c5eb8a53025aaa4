// SPDX-License-Identifier: Apache-2.0
#include "app/crowd.hpp"

#include <openssl/ssl.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <vector>

namespace app_bench {

namespace {

int connect_to(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(static_cast<std::uint16_t>(port));
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const timeval patience{.tv_sec = 30, .tv_usec = 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (fd < 0 || ::connect(fd, reinterpret_cast<sockaddr*>(&a), sizeof a) != 0) throw std::runtime_error("no connection");
  return fd;
}

void send_all(int fd, std::string_view bytes) {
  if (::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size())) throw std::runtime_error("not sent");
}

/// Reads until `end` has come.
void read_until(int fd, std::string_view end) {
  std::string got;
  char piece[4096];
  while (got.find(end) == std::string::npos) {
    const ssize_t n = ::recv(fd, piece, sizeof piece, 0);
    if (n <= 0) throw std::runtime_error("no answer");
    got.append(piece, static_cast<std::size_t>(n));
  }
}

constexpr std::string_view request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// What a client knows is forgotten at once: the connection stays.
void ask_secretly(int fd) {
  static SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
  SSL* s = SSL_new(context);
  SSL_set_fd(s, fd);
  std::string got;
  char piece[4096];
  if (SSL_connect(s) != 1 || SSL_write(s, request.data(), static_cast<int>(request.size())) <= 0) throw std::runtime_error("no TLS");
  while (got.find("hello") == std::string::npos) {
    const int n = SSL_read(s, piece, sizeof piece);
    if (n <= 0) throw std::runtime_error("no answer under TLS");
    got.append(piece, static_cast<std::size_t>(n));
  }
  SSL_set_quiet_shutdown(s, 1);
  SSL_free(s);
}

void speak_websocket(int fd, bool deflate) {
  send_all(fd, std::string("GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n") +
                   (deflate ? "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n" : "\r\n"));
  read_until(fd, "\r\n\r\n");
  const std::string message(64, 'a');
  std::string frame{'\x81', static_cast<char>(0x80 | message.size()), '\0', '\0', '\0', '\0'};
  send_all(fd, frame + message);
  char head[2];
  if (::recv(fd, head, 2, MSG_WAITALL) != 2) throw std::runtime_error("no message");
  if (((head[0] & 0x40) != 0) != deflate) throw std::runtime_error("the message is not compressed as was agreed");
  std::vector<char> rest(static_cast<std::size_t>(head[1] & 0x7f));
  if (::recv(fd, rest.data(), rest.size(), MSG_WAITALL) != static_cast<ssize_t>(rest.size())) throw std::runtime_error("half a message");
}

void arrive(int port, crowd_kind kind, std::vector<int>& all) {
  const int fd = connect_to(port);
  all.push_back(fd);
  switch (kind) {
    case crowd_kind::keep_alive:
      send_all(fd, request);
      return read_until(fd, "hello");
    case crowd_kind::tls:
      return ask_secretly(fd);
    case crowd_kind::websocket:
    case crowd_kind::deflate:
      return speak_websocket(fd, kind == crowd_kind::deflate);
    case crowd_kind::waiting:
      return send_all(fd, "GET /waits HTTP/1.1\r\nHost: localhost\r\n\r\n");
  }
}

void say(const std::string& what) {
  std::printf("%s\n", what.c_str());
  std::fflush(stdout);
}

}  // namespace

int be_crowd(int argc, char** argv) {
  if (argc < 5) return 2;
  raise_descriptor_limit();
  const auto kind = static_cast<crowd_kind>(std::atoi(argv[3]));
  std::vector<int> all;
  try {
    for (int i = 0; i < std::atoi(argv[4]); ++i) arrive(std::atoi(argv[2]), kind, all);
  } catch (const std::exception& e) {
    say(e.what());
    return 1;
  }
  say("ready");
  if (kind == crowd_kind::waiting) {
    std::size_t served = 0;
    char piece[4096];
    for (const int fd : all) served += ::recv(fd, piece, sizeof piece, 0) >= 0;
    say(std::to_string(served));
  }
  pollfd reader{.fd = 1, .events = 0, .revents = 0};
  ::poll(&reader, 1, -1);  // until nobody reads what we say any more
  return 0;
}

crowd::crowd(int port, crowd_kind kind, std::size_t count)
    : program_({"/proc/self/exe", std::string(crowd_argument), std::to_string(port), std::to_string(static_cast<int>(kind)), std::to_string(count)}) {
  if (const std::string said = program_.line(); said != "ready") throw std::runtime_error("the crowd did not come: " + said);
}

std::size_t crowd::served() { return static_cast<std::size_t>(std::atol(program_.line().c_str())); }

}  // namespace app_bench
