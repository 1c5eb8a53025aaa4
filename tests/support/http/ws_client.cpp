// SPDX-License-Identifier: Apache-2.0
#include "support/http/ws_client.hpp"

#include <stdexcept>

namespace coppice::testing {

namespace {

void require(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(what);
}

std::string big_endian(std::uint64_t n, int bytes) {
  std::string out;
  for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(n >> (8 * i));
  return out;
}

std::uint64_t number_from(std::string_view bytes) {
  std::uint64_t n = 0;
  for (const char c : bytes) n = n << 8 | static_cast<unsigned char>(c);
  return n;
}

}  // namespace

int ws_frame::close_code() const {
  return payload.size() < 2 ? 0 : static_cast<int>(number_from(payload.substr(0, 2)));
}

std::string ws_bytes(int first, std::string_view payload, bool masked) {
  std::string out(1, static_cast<char>(first));
  const int mask_bit = masked ? 0x80 : 0;
  if (payload.size() < 126)
    out += static_cast<char>(mask_bit | static_cast<int>(payload.size()));
  else if (payload.size() < 65536)
    (out += static_cast<char>(mask_bit | 126)) += big_endian(payload.size(), 2);
  else
    (out += static_cast<char>(mask_bit | 127)) += big_endian(payload.size(), 8);
  if (!masked) return out += payload;
  constexpr char key[] = {0x12, 0x34, 0x56, 0x78};
  out.append(key, 4);
  for (std::size_t i = 0; i < payload.size(); ++i) out += static_cast<char>(payload[i] ^ key[i % 4]);
  return out;
}

std::string ws_request(std::string_view path, std::string_view lines) {
  return get_request(path,
                     "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
                         std::string(lines));
}

ws_client::ws_client(std::uint16_t port, std::string_view path, std::string_view lines, std::string_view behind)
    : http(port) {
  http.send(ws_request(path, lines) + std::string(behind));
  handshake = http.read(true);
  require(handshake.status == 101, "the server does not speak WebSocket there");
  require(handshake.header("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "the server's answer is for another key");
}

bool ws_client::send_close(int code, std::string_view reason) {
  return send_frame(ws_close, big_endian(static_cast<std::uint64_t>(code), 2) + std::string(reason));
}

ws_frame ws_client::read_frame() {
  const std::string head = http.read_exactly(2);
  if (head.size() < 2) return {};
  ws_frame f{.opcode = head[0] & 0x0f, .is_final = (head[0] & 0x80) != 0, .is_compressed = (head[0] & 0x40) != 0};
  require((head[1] & 0x80) == 0, "a server does not mask");
  std::uint64_t size = static_cast<unsigned char>(head[1]);
  if (size == 126) size = number_from(http.read_exactly(2));
  if (size == 127) size = number_from(http.read_exactly(8));
  f.payload = http.read_exactly(size);
  if (f.payload.size() < size) f.opcode = -1;
  return f;
}

std::string ws_client::read() {
  const ws_frame f = read_frame();
  require(f.opcode == ws_text && f.is_final, "expected a text message");
  return f.payload;
}

int ws_client::read_close(bool polite) {
  const ws_frame f = read_frame();
  require(f.opcode == ws_close, "expected a close frame");
  if (polite) send_close(f.close_code() != 0 ? f.close_code() : 1000);
  require(http.is_closed(), "the connection goes on behind its close frame");
  return f.close_code();
}

}  // namespace coppice::testing
