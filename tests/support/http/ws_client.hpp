// SPDX-License-Identifier: Apache-2.0
//
// ws_client: a WebSocket client that can be as wrong as a test needs: it sends frames as it is told and shows those it gets.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "support/http/http_client.hpp"

namespace coppice::testing {

struct ws_frame {
  int opcode = -1;  // -1: the connection ended first
  bool is_final = false;
  bool is_compressed = false;
  std::string payload{};
  /// Of a close frame; 0: it has none.
  int close_code() const;
};

inline constexpr int ws_continuation = 0, ws_text = 1, ws_binary = 2, ws_close = 8, ws_ping = 9, ws_pong = 10;

/// One frame of a client, as bytes. `first`: final bit, reserved bits and opcode.
std::string ws_bytes(int first, std::string_view payload, bool masked = true);
std::string ws_request(std::string_view path, std::string_view lines = {});

class ws_client {
 public:
  /// Connects and shakes hands. `behind`: what is sent in one piece with the request.
  ws_client(std::uint16_t port, std::string_view path, std::string_view lines = {}, std::string_view behind = {});

  bool send(std::string_view text) { return send_frame(ws_text, text); }
  bool send_frame(int opcode, std::string_view payload) { return http.send(ws_bytes(0x80 | opcode, payload)); }
  bool send_close(int code, std::string_view reason = {});
  ws_frame read_frame();
  /// The next frame's payload; of text.
  std::string read();
  /// The code of the server's close frame, which is next, and after which the connection ends; it is answered if `polite`.
  int read_close(bool polite = true);

  http_client http;
  http_answer handshake;
};

}  // namespace coppice::testing
