// SPDX-License-Identifier: Apache-2.0
//
// websocket: a route whose clients stay. The handler runs in the request's process as long as the connection is open; it gets
// what the client sends and what other processes send to it alike.
//
//     websocket("/feed", [](ws_connection& ws) {
//       join(allocations);
//       while (ws.receive([&](const ws_message& m) { ws.send("you said " + m.data); },
//                         [&](const allocated& a) { ws.send(std::to_string(a.channel)); })) {}
//     })
//
// When the handler returns, the connection is closed with 1000; when it throws, with 1011 and a report. A server that stops closes with 1001
// (a restart and a take-over with 1012, when their limit has passed): then the handler's next read, receive or send finds it closed.
//
// With `hand_over` a restart and a take-over close nothing: between two messages of the client the handler's read or receive returns as if
// the connection were closed, and when the handler has returned, the new one for the same request goes on with the same client:
//
//     websocket("/chat", [](ws_connection& ws) {
//       int said = ws.is_resumed() ? std::stoi(std::string(ws.passed_on())) : 0;
//       while (auto m = ws.read()) ws.send(std::to_string(++said));
//       ws.pass_on(std::to_string(said));
//     }, {.hand_over = true})
#pragma once

#include <coppice/app/http_handler.hpp>
#include <coppice/app/http_message.hpp>
#include <coppice/app/router.hpp>
#include <coppice/base/function.hpp>
#include <coppice/base/result.hpp>
#include <coppice/base/time.hpp>
#include <coppice/process/receive.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace coppice {

namespace internal {
class ws_session;
}

/// Why a WebSocket was closed (RFC 6455, 7.4.1).
enum class ws_close_code : std::uint16_t {
  normal = 1000,
  going_away = 1001,
  protocol_error = 1002,
  unknown_data = 1003,
  none = 1005,      ///< the client gave no reason
  abnormal = 1006,  ///< no close was sent: the connection broke, or nothing came for too long
  bad_payload = 1007,
  policy_error = 1008,
  too_big = 1009,
  internal_error = 1011,
  service_restart = 1012,
  try_again_later = 1013
};

/// What a client has sent.
struct ws_message {
  std::string data{};
  bool is_binary = false;
};

/// The connection is closed. One that escapes from the handler is reported nowhere.
class ws_closed : public std::exception {
 public:
  explicit ws_closed(ws_close_code code) noexcept : code_(code) {}
  ws_close_code code() const noexcept { return code_; }
  const char* what() const noexcept override { return "the WebSocket is closed"; }

 private:
  ws_close_code code_;
};

struct websocket_options {
  std::size_t max_message_bytes = 1024 * 1024;  ///< more is closed with 1009
  duration idle_timeout =
      60s;  ///< nothing from the client, not even an answer to a ping: broken. Pings after half of it
  duration close_timeout = 5s;  ///< for the client's answer to a close
  bool deflate = false;         ///< per-message deflate, where the client offers it: some 50 KiB for each connection
  std::vector<std::string> protocols{};  ///< subprotocols spoken here, the preferred first
  /// At a restart, and at a take-over by another OS process, the connection goes on with the handler that answers its request now. That one
  /// has to have this set, too, and to speak the subprotocol that was agreed upon; otherwise, and where the request is refused now, the
  /// client is told 1012. Under TLS a connection stays in its OS process. Compressed messages of the client are then each for itself.
  bool hand_over = false;
  /// Other sites whose pages may connect, as `https://app.example.com`; `*`: all. Pages of this site may, and what is no browser; the rest gets
  /// 403 (cross_origin.hpp says who is who). Browsers keep no foreign page from connecting by themselves, and send the user's cookies along.
  /// Which hosts are this site is another question (allowed_hosts.hpp).
  std::vector<std::string> allowed_origins{};
};

namespace detail {

enum class ws_received : std::uint8_t { peer, mail, time_up, closed };

template <class F>
inline constexpr bool is_peer_clause = std::is_same_v<typename parameter_of<F>::type, ws_message>;
template <class F>
inline constexpr bool is_peer_clause<after_clause<F>> = false;
template <class P, class F>
inline constexpr bool is_peer_clause<when_clause<P, F>> = false;

}  // namespace detail

/// One client's WebSocket.
/// Thread: the process of its handler only.
class ws_connection {
 public:
  explicit ws_connection(internal::ws_session& session) noexcept : session_(session) {}
  ws_connection(const ws_connection&) = delete;
  ws_connection& operator=(const ws_connection&) = delete;

  /// The request that began it; the same as long as the handler runs. Where another handler has had the connection, with the extensions
  /// and the subprotocol that were agreed upon instead of those that were offered.
  const http_request& request() const noexcept;
  /// The subprotocol that was agreed on; empty: none.
  std::string_view protocol() const noexcept;
  /// False once it is closed or handed over: no more messages come to this handler.
  bool is_open() const noexcept;
  /// Once it is closed: by which code, and the client's words if it was the client.
  ws_close_code close_code() const noexcept;
  std::string_view close_reason() const noexcept;

  /// The client's next message.
  /// Returns: nothing once the connection is closed or handed over, or when the time is up.
  /// Fails:   ws_closed if it has said before that there is no more: a handler that reads on regardless ends.
  /// Blocks:  the calling process. Other messages to it stay in its mailbox.
  std::optional<ws_message> read(duration wait = infinity);

  /// Waits for what comes first: a message of the client, taken by the clause for `ws_message`, or one in the process's mailbox,
  /// taken by the clause for its type; as receive does, `after` included.
  /// Returns: false once the connection is closed or handed over; no clause has run then.   Fails: as read.
  /// Note:    while a compressed message arrives, the mailbox waits for its end.
  template <class... Clauses>
  bool receive(Clauses... clauses);

  /// Sends a message.
  /// Fails:   ws_closed; std::invalid_argument for text that is no UTF-8.
  /// Blocks:  the calling process, while the client takes its time, at most `write_timeout`.
  void send(std::string_view text);
  void send_binary(std::span<const std::byte> bytes);
  void send_binary(std::string_view bytes) { send_binary(std::as_bytes(std::span(bytes.data(), bytes.size()))); }
  /// The same.   Returns: why it could not be sent.
  result<void, ws_closed> try_send(std::string_view text);
  /// A ping of our own, of at most 125 bytes; idle clients are pinged anyway.   Fails, blocks: as send.
  void ping(std::string_view payload = {});
  /// Whether another handler goes on with the connection when this one returns: read or receive has said so by returning nothing. Its
  /// client can still be sent to, or be closed instead.
  bool is_handed_over() const noexcept;
  /// What the next handler will find, if there is to be one. The last of several.
  /// Fails: std::invalid_argument beyond 4096 bytes.
  void pass_on(std::string state);
  /// Whether another handler has had the connection before, perhaps in another OS process. Its process is not this one: names and groups have
  /// to be joined again, and messages that were sent to it meanwhile are lost.
  bool is_resumed() const noexcept;
  /// What that one has passed on; empty: nothing.
  std::string_view passed_on() const noexcept;

  /// Says good-bye and waits for the client to do so. Nothing if it is closed already.
  /// Fails: std::invalid_argument for a reason of more than 123 bytes or a code that must not be sent.
  void close(ws_close_code code = ws_close_code::normal, std::string_view reason = {});

 private:
  detail::ws_received receive_core(std::span<const detail::receive_clause> mail, duration wait, ws_message& out);
  internal::ws_session& session_;
};

namespace detail {

using ws_handler = function<void(ws_connection&) const>;
http_handler websocket_handler(ws_handler handler, websocket_options options);

}  // namespace detail

/// A route that takes WebSockets. Who asks for it otherwise gets 426.
/// Fails: std::invalid_argument for an allowed origin that is none.
template <class F>
requires std::is_invocable_v<const std::decay_t<F>&, ws_connection&>
route websocket(std::string path, F&& f, websocket_options options = {}) {
  return {http_method::get, std::move(path), detail::websocket_handler(static_cast<F&&>(f), std::move(options))};
}

template <class... Clauses>
bool ws_connection::receive(Clauses... clauses) {
  constexpr std::size_t peers = (std::size_t{detail::is_peer_clause<Clauses>} + ... + 0);
  static_assert(peers == 1,
                "coppice: ws_connection::receive takes one clause for ws_message, which is what the client sends");
  detail::receive_clause table[sizeof...(Clauses) + 1];
  std::size_t n = 0;
  duration wait = infinity;
  const auto enter = [&]<class C>(C& clause) {
    if constexpr (detail::is_peer_clause<C>) {
    } else if constexpr (detail::clause_traits<C>::is_after) {
      wait = clause.wait;
    } else {
      table[n++] = detail::clause_traits<C>::make(clause);
    }
  };
  (enter(clauses), ...);
  ws_message got;
  const detail::ws_received what = receive_core(std::span<const detail::receive_clause>(table, n), wait, got);
  const auto finish = [&]<class C>(C& clause) {
    if constexpr (detail::is_peer_clause<C>) {
      if (what == detail::ws_received::peer) detail::give(clause, got);
    } else if constexpr (detail::clause_traits<C>::is_after) {
      if (what == detail::ws_received::time_up) clause.run();
    }
  };
  (finish(clauses), ...);
  return what != detail::ws_received::closed;
}

}  // namespace coppice
