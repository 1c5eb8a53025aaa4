// SPDX-License-Identifier: Apache-2.0
//
// http_client: a client that can be as impolite as a test needs: it sends bytes and reads bytes. Blocking, for plain threads;
// a read that gets nothing for a minute throws instead of hanging the test, and so does whatever is no HTTP.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "support/http/tls_end.hpp"

namespace coppice::testing {

struct http_answer {
  int status = 0;  // 0: the connection ended first
  std::string head{};
  std::string body{};
  /// The value of a line of the head; empty if there is none.
  std::string header(std::string_view name) const;
};

class http_client {
 public:
  /// Under TLS if the worlds of this program are.
  explicit http_client(std::uint16_t port);
  /// Under TLS.   Throws: std::runtime_error when the handshake fails.
  http_client(std::uint16_t port, const tls_wish& w);
  /// Without TLS.
  static http_client plain(std::uint16_t port);
  /// On the socket `fd`, which is not connected yet.
  static http_client connected(int fd, std::uint16_t port);
  ~http_client();
  http_client(http_client&& other) noexcept : fd_(std::exchange(other.fd_, -1)), rest_(std::move(other.rest_)), tls_(std::move(other.tls_)) {}
  http_client& operator=(http_client&&) = delete;

  /// False: the other side has closed.
  bool send(std::string_view bytes);
  /// Sends no more; still reads.
  void end_writing();
  /// The next answer; `head_only`: to a HEAD request. Chunks are put together; one that does not end has status 0.
  http_answer read(bool head_only = false);
  /// The next chunk of a body whose head was read with `head_only`; empty: the last one, or the connection has ended.
  std::string read_chunk();
  /// `bytes` bytes, as they come; fewer at the end of the connection.
  std::string read_exactly(std::size_t bytes);
  /// Reads no more; what is under way is thrown away.
  void reset();
  /// Reads up to the end. Whether that was a reset.
  bool ends_with_reset();
  /// Everything up to the end of the connection.
  std::string read_to_end();
  /// Whether the other side closes without sending anything more.
  bool is_closed() { return read_to_end().empty(); }

  /// Of a client under TLS.
  tls_end& tls() { return *tls_; }
  http_answer ask(std::string_view request) { return send(request) ? read() : http_answer{}; }

 private:
  struct adopted { int fd; };
  explicit http_client(adopted a) : fd_(a.fd) {}
  bool more();
  ssize_t receive(char* into, std::size_t size);
  int fd_;
  std::string rest_;
  std::unique_ptr<tls_end> tls_;
  bool ended_ = false;  // in the middle of a chunk
};

/// `GET path` with a Host, and more lines, each ending in CR LF.
std::string get_request(std::string_view path, std::string_view lines = {});
/// Whether anybody accepts connections on `port`.
bool accepts(std::uint16_t port);

}  // namespace coppice::testing
