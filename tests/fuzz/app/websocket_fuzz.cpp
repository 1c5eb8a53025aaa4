// SPDX-License-Identifier: Apache-2.0
//
// A real server on 127.0.0.1 whose client shakes hands and then sends any bytes as frames, the first of them in one piece with
// the request (the first byte says how many; its lowest bit, whether compression is offered; the next one, whether the server is restarted
// before the rest comes, and the connection handed over), then only listens. Whatever comes: what the server sends is frames, no handler
// fails, and the connection ends.
#include <coppice/app/http_server.hpp>
#include <coppice/app/websocket.hpp>
#include <coppice/process/process.hpp>
#include <coppice/process/runtime.hpp>

#include <string>
#include <string_view>

#include "fuzz/fuzz.hpp"
#include "support/http/http_client.hpp"

using namespace coppice;
using testing::require;
using testing::http_client;

namespace {

void echo(ws_connection& ws) {
  require(ws.is_resumed() == (ws.passed_on() == "from before"), "what was passed on arrives with the connection");
  ws.pass_on("from before");
  int number = 0;
  send(self(), number);
  while (ws.receive([&](const ws_message& m) { m.is_binary ? ws.send_binary(m.data) : ws.send(m.data); },
                    [&](int n) { if (n < 20) send(self(), n + 1); })) {}
}

router app() {
  websocket_options o{.max_message_bytes = 1000, .close_timeout = 1s, .deflate = true};
  websocket_options moves = o;
  moves.hand_over = true;
  return router{websocket("/stays", &echo, o), websocket("/moves", &echo, moves)};
}

struct world {
  runtime rt{{.workers = 2}};
  http_server server = run_server(app(), {.port = 0, .in = &rt});
};

world& the_world() {
  static world& w = *new world;  // the program ends without asking anybody
  return w;
}

/// Whole frames of a server, perhaps with the beginning of one behind them.
void check_frames(std::string_view bytes) {
  while (bytes.size() >= 2) {
    const auto first = static_cast<unsigned char>(bytes[0]);
    const auto second = static_cast<unsigned char>(bytes[1]);
    const unsigned opcode = first & 0x0f;
    require(opcode == 1 || opcode == 2 || (opcode >= 8 && opcode <= 10), "a server's frame has a known opcode");
    require((second & 0x80) == 0, "a server does not mask");
    std::size_t head = 2;
    std::uint64_t size = second & 0x7f;
    const std::size_t more = size == 126 ? 2 : size == 127 ? 8 : 0;
    if (bytes.size() < head + more) return;
    if (more > 0) size = 0;
    for (std::size_t i = 0; i < more; ++i) size = size << 8 | static_cast<unsigned char>(bytes[head + i]);
    head += more;
    require(size <= 2000, "no answer is longer than what was asked");
    if (bytes.size() < head + size) return;
    bytes.remove_prefix(head + size);
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t at_once = input.size() * data[0] / 256;
  const bool moves = (data[0] & 2) != 0;
  std::string request =
      std::string("GET ") + (moves ? "/moves" : "/stays") + " HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
  if ((data[0] & 1) != 0) request += "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
  world& w = the_world();
  http_client client(w.server.port());
  client.send(request + "\r\n" + std::string(input.substr(0, at_once)));
  if (moves) {
    require(client.read(true).status == 101, "the handshake is answered");  // before: it would be a request that was cut off
    w.server.restart(app(), 0ms);
  }
  client.send(input.substr(at_once));
  client.end_writing();
  std::string said = client.read_to_end();
  if (!moves) {
    require(said.empty() || said.starts_with("HTTP/1.1 101 "), "the handshake is answered");
    const std::size_t end = said.find("\r\n\r\n");
    said.erase(0, end == std::string::npos ? said.size() : end + 4);
  }
  check_frames(said);
  require(w.server.statistics().failed == 0, "no handler failed");
  return 0;
}
