// SPDX-License-Identifier: Apache-2.0
//
// websocket: the handshake, and Beast's stream on a lent socket (ws_stream.hpp). Everything runs in the request's process.
#include <coppice/app/cross_origin.hpp>
#include <coppice/app/response_writer.hpp>
#include <coppice/app/websocket.hpp>

#include "app/allowed_origins.hpp"
#include "app/http_parser.hpp"
#include "app/http_sender.hpp"
#include "app/http_text.hpp"
#include "app/ws_stream.hpp"

#include <boost/asio/error.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/websocket/stream.hpp>

#include <algorithm>
#include <memory>
#include <stdexcept>

namespace coppice {

namespace internal {

namespace http = boost::beast::http;
namespace beast_ws = boost::beast::websocket;
using boost::beast::error_code;

namespace {

boost::beast::string_view for_beast(std::string_view text) noexcept { return {text.data(), text.size()}; }

/// A request that keeps its own text: it outlives what was received.
class kept_request {
 public:
  explicit kept_request(const http_request& r);
  const http_request& get() const noexcept { return *request_; }

 private:
  std::string_view keep(std::string_view text) noexcept {
    const std::size_t at = text_.size();
    text_ += text;
    return {text_.data() + at, text.size()};
  }
  std::vector<http_field> keep(std::span<const http_field> fields) {
    std::vector<http_field> kept;
    kept.reserve(fields.size());
    for (const http_field& f : fields) kept.push_back({keep(f.name), keep(f.value)});
    return kept;
  }
  std::string text_;
  std::vector<http_field> fields_;
  std::vector<http_field> parameters_;
  std::optional<http_request> request_;
};

}  // namespace

// --- the session -----------------------------------------------------------------------------------------------------

/// What a ws_connection stands for.
class ws_session {
 public:
  /// `before`: what the handler before has left; null: there was none.
  ws_session(http_loan& loan, const http_request& asked, const websocket_options& o, std::string protocol, std::unique_ptr<const ws_handover> before);
  ws_session(const ws_session&) = delete;

  /// Answers the request, or goes on where it was answered before. False: the client has gone, or was told to.
  bool begin();
  detail::ws_received receive(std::span<const detail::receive_clause> clauses, std::int64_t deadline, ws_message& out);
  /// Returns: false when it is closed.   Throws: std::invalid_argument.
  bool send(std::span<const std::byte> bytes, bool binary);
  bool ping(std::string_view payload);
  void close(ws_close_code code, std::string_view reason);
  void pass_on(std::string state);
  /// Leaves everything to the next handler.   Throws: std::bad_alloc.
  void leave_to_successor();

  /// What the handler before has left; null: there was none.
  const ws_handover* before() const noexcept { return before_.get(); }
  bool is_handed_over() const noexcept { return open_ && handed_over_; }
  const http_request& asked() const noexcept { return asked_; }
  std::string_view protocol() const noexcept { return protocol_; }
  /// To its handler.
  bool is_open() const noexcept { return open_ && !handed_over_; }
  ws_close_code code() const noexcept { return code_; }
  std::string_view reason() const noexcept { return reason_; }

 private:
  bool may_be_interrupted() const noexcept {
    return ws_.is_message_done() || (!compressed_ && raw_.frames().is_at_rest());
  }
  bool accept();
  bool fits_handler() const noexcept;
  void offer_deflate();
  std::string head_for_successor() const;
  detail::ws_received wait_for(std::span<const detail::receive_clause> clauses, std::int64_t deadline, ws_message& out);
  /// Mail: there may be some, or something else has happened.
  detail::ws_received read(std::int64_t deadline, const mail_mark* mail, ws_message& out);
  bool is_over();
  /// Who was sent away for a successor goes, even if that one is no longer there: the socket may have been found readable for nothing.
  void note(const interruption& i) noexcept { handed_over_ = handed_over_ || i.why == interruption::successor; }
  bool is_usable();
  void say_goodbye();
  void end(ws_close_code code) noexcept {
    open_ = false;
    code_ = code;
  }
  void end_with(const error_code& ec);

  const http_request& asked_;
  const websocket_options& options_;
  const std::unique_ptr<const ws_handover> before_;
  ws_handover after_;  // what the next handler will find
  const std::string protocol_;
  ws_stream raw_;
  beast_ws::stream<ws_stream&> ws_;
  boost::beast::flat_buffer in_;  // of the message that arrives
  std::string reason_;
  ws_close_code code_ = ws_close_code::none;
  bool open_ = true;
  std::uint64_t messages_ = 0;  // read so far
  bool dry_ = false;            // neither Beast nor the loan holds anything that was not looked at
  bool compressed_ = false;     // the client has agreed to that
  bool handed_over_ = false;    // the handler's part is over
  bool was_told_ = false;       // the handler was, that it gets no more
};

ws_session::ws_session(http_loan& loan, const http_request& asked, const websocket_options& o, std::string protocol,
                       std::unique_ptr<const ws_handover> before)
    : asked_(asked), options_(o), before_(std::move(before)), protocol_(std::move(protocol)), raw_(loan, o), ws_(raw_) {
  ws_.read_message_max(o.max_message_bytes);
  ws_.auto_fragment(false);
  raw_.ask_before_interrupting([](void* self) { return static_cast<ws_session*>(self)->may_be_interrupted(); }, this);
  if (o.deflate || (before_ != nullptr && asked.header("Sec-WebSocket-Extensions"))) offer_deflate();
  // Pairs with a restart: it sees this, or the first read sees the new service.
  if (o.hand_over) loan.may_move.store(1, sync::seq_cst);
}

void ws_session::offer_deflate() {
  beast_ws::permessage_deflate deflate;
  deflate.server_enable = true;
  deflate.server_max_window_bits = 9;  // the smallest: its memory is there for each connection
  deflate.client_max_window_bits = 9;
  deflate.memLevel = 1;
  deflate.client_no_context_takeover = options_.hand_over || before_ != nullptr;  // what came before would be lost with this stream
  ws_.set_option(deflate);
}

bool ws_session::begin() {
  raw_.mute(before_ != nullptr);
  if (!accept()) return false;
  raw_.mute(false);
  if (before_ == nullptr || fits_handler()) return true;
  close(ws_close_code::service_restart, "the server was restarted");
  return false;
}

/// Of one that had another handler: whether this one takes it, and speaks what was agreed upon.
bool ws_session::fits_handler() const noexcept {
  return options_.hand_over && protocol_ == asked_.header("Sec-WebSocket-Protocol").value_or("");
}

bool ws_session::accept() {
  http::request<http::empty_body> request;
  request.method(http::verb::get);
  request.target(for_beast(asked_.target()));
  for (const http_field& f : asked_.fields()) request.insert(for_beast(f.name), for_beast(f.value));
  ws_.set_option(beast_ws::stream_base::decorator([this](beast_ws::response_type& r) {
    r.set(http::field::server, "coppice");       // Beast would name itself and its version
    if (!protocol_.empty()) r.set(http::field::sec_websocket_protocol, for_beast(protocol_));
    compressed_ = r.count(http::field::sec_websocket_extensions) > 0;
  }));
  error_code ec;
  ws_.accept(request, ec);
  if (ec) end_with(ec);
  dry_ = raw_.loan().buffer == nullptr;
  return open_;
}

/// The error that ended it, as a code.
void ws_session::end_with(const error_code& ec) {
  if (ec == beast_ws::error::closed) {
    const beast_ws::close_reason& said = ws_.reason();
    end(said.code == beast_ws::close_code::none ? ws_close_code::none : static_cast<ws_close_code>(said.code));
    reason_.assign(said.reason.data(), said.reason.size());
  } else if (ec == beast_ws::error::message_too_big || ec == beast_ws::error::buffer_overflow) {
    end(ws_close_code::too_big);
  } else if (ec == beast_ws::error::bad_frame_payload) {
    end(ws_close_code::bad_payload);
  } else if (ec == beast_ws::condition::protocol_violation) {
    end(ws_close_code::protocol_error);
  } else {
    end(ws_close_code::abnormal);
    raw_.loan().outcome = http_loan::gone;
  }
}

/// Whether the handler gets no more: another one goes on, or it is closed.
bool ws_session::is_over() {
  handed_over_ = handed_over_ || (open_ && dry_ && raw_.has_come_to_successor());
  return is_handed_over() || !is_usable();
}

bool ws_session::is_usable() {
  if (open_ && raw_.goodbye() != ws_close_code::none) say_goodbye();
  return open_;
}

void ws_session::say_goodbye() {
  const ws_close_code why = raw_.goodbye();
  close(why, why == ws_close_code::service_restart ? "the server was restarted" : "the server stops");
}

detail::ws_received ws_session::read(std::int64_t deadline, const mail_mark* mail, ws_message& out) {
  using detail::ws_received;
  raw_.allow(deadline, mail);
  try {
    error_code ec;
    ws_.read(in_, ec);
    if (ec) {
      end_with(ec);
      return ws_received::closed;
    }
  } catch (const interruption& i) {
    dry_ = true;
    note(i);
    return i.why == interruption::time_up ? ws_received::time_up : ws_received::mail;
  }
  out.data.assign(static_cast<const char*>(in_.data().data()), in_.size());
  out.is_binary = ws_.got_binary();
  in_.consume(in_.size());
  dry_ = raw_.frames().ends_with_message(++messages_) && raw_.loan().buffer == nullptr;
  if (dry_ || in_.capacity() > 2048) in_.shrink_to_fit();
  return ws_received::peer;
}

detail::ws_received ws_session::receive(std::span<const detail::receive_clause> clauses, std::int64_t deadline,
                                        ws_message& out) {
  using detail::ws_received;
  if (was_told_) throw ws_closed(open_ ? ws_close_code::service_restart : code_);  // a handler that does not ask would go on for ever
  const ws_received what = wait_for(clauses, deadline, out);
  was_told_ = what == ws_received::closed;
  return what;
}

detail::ws_received ws_session::wait_for(std::span<const detail::receive_clause> clauses, std::int64_t deadline, ws_message& out) {
  using detail::ws_received;
  slot& me = detail::here();
  for (;;) {
    if (is_over()) return ws_received::closed;
    if (!clauses.empty() && detail::receive_core(clauses, duration{0})) return ws_received::mail;
    const mail_mark seen = mark_mail(me);
    if (dry_) {  // no need to go into Beast, and out of it by an exception, to find nothing; and it is a shallower place to wait
      raw_.allow(deadline, clauses.empty() ? nullptr : &seen);
      try {
        if (const error_code ec = raw_.wait_for_peer()) {
          end_with(ec);
          return ws_received::closed;
        }
      } catch (const interruption& i) {
        if (i.why == interruption::time_up) return ws_received::time_up;
        note(i);
        continue;  // mail, the stop of the server, or a successor
      }
      dry_ = false;
    }
    const ws_received what = read(deadline, clauses.empty() ? nullptr : &seen, out);
    if (what != ws_received::mail) return what;
  }
}

bool ws_session::send(std::span<const std::byte> bytes, bool binary) {
  if (!is_usable()) return false;
  if (!binary && !beast_ws::detail::check_utf8(reinterpret_cast<const char*>(bytes.data()), bytes.size()))
    throw std::invalid_argument("a text message of a WebSocket is UTF-8");
  ws_.binary(binary);
  error_code ec;
  ws_.write(boost::asio::const_buffer(bytes.data(), bytes.size()), ec);
  if (ec) end_with(ec);
  return open_;
}

bool ws_session::ping(std::string_view payload) {
  if (payload.size() > 125) throw std::invalid_argument("a ping carries at most 125 bytes");
  if (!is_usable()) return false;
  error_code ec;
  ws_.ping(beast_ws::ping_data(for_beast(payload)), ec);
  if (ec) end_with(ec);
  return open_;
}

void ws_session::close(ws_close_code code, std::string_view reason) {
  const auto number = static_cast<std::uint16_t>(code);
  const bool may_be_sent =
      (number >= 1000 && number <= 1014 && (number < 1004 || number > 1006)) || (number >= 3000 && number < 5000);
  if (!may_be_sent) throw std::invalid_argument("this close code must not be sent");
  if (reason.size() > 123) throw std::invalid_argument("the reason of a close has at most 123 bytes");
  if (!open_) return;
  raw_.begin_closing(options_.close_timeout == infinity ? sync::never : options_.close_timeout.count());
  error_code ec;
  ws_.close(beast_ws::close_reason(static_cast<beast_ws::close_code>(number), for_beast(reason)), ec);
  end(code);
  if (ec && ec != beast_ws::error::closed) raw_.loan().outcome = http_loan::gone;
}

void ws_session::pass_on(std::string state) {
  if (state.size() > ws_handover::most_passed_on)
    throw std::invalid_argument("a handler passes on at most " + std::to_string(ws_handover::most_passed_on) + " bytes");
  after_.passed_on = std::move(state);
}

namespace {

/// Fields that say how the rest of the request was sent.
bool frames_body(std::string_view name) noexcept {
  static constexpr std::string_view all[] = {"Content-Length", "Transfer-Encoding", "Trailer", "Expect"};
  return std::ranges::any_of(all, [&](std::string_view one) { return equal_ignoring_case(name, one); });
}

}  // namespace

/// The request as it would be sent by a client that offers no more than was agreed upon; not longer than it was.
std::string ws_session::head_for_successor() const {
  std::string head = std::string(asked_.method_text()).append(" ").append(asked_.target()).append(" HTTP/1.1\r\n");
  const auto add = [&](std::string_view name, std::string_view value) { head.append(name).append(":").append(value).append("\r\n"); };
  for (const http_field& f : asked_.fields()) {
    if (frames_body(f.name) || equal_ignoring_case(f.name, "Sec-WebSocket-Protocol")) continue;
    if (!compressed_ && equal_ignoring_case(f.name, "Sec-WebSocket-Extensions")) continue;
    add(f.name, f.value);
  }
  if (!protocol_.empty()) add("Sec-WebSocket-Protocol", protocol_);
  return head += "\r\n";
}

void ws_session::leave_to_successor() {
  const std::string head = head_for_successor();
  http_loan& loan = raw_.loan();
  loan.handover = std::make_unique<ws_handover>(std::move(after_));
  loan.buffer = make_buffer(head.size());
  std::ranges::copy(head, loan.buffer->bytes());
  loan.buffer->end = static_cast<std::uint32_t>(head.size());
  loan.outcome = http_loan::passed_on;
}

// --- the handshake ---------------------------------------------------------------------------------------------------

namespace {

std::size_t text_in(std::span<const http_field> fields) noexcept {
  std::size_t size = 0;
  for (const http_field& f : fields) size += f.name.size() + f.value.size();
  return size;
}

}  // namespace

kept_request::kept_request(const http_request& r) {
  text_.reserve(r.method_text().size() + r.target().size() + text_in(r.fields()) + text_in(r.parameters()));
  fields_ = keep(r.fields());
  parameters_ = keep(r.parameters());
  request_.emplace(http_request::parts{.method = r.method(),
                                       .method_text = keep(r.method_text()),
                                       .target = keep(r.target()),
                                       .fields = fields_,
                                       .parameters = parameters_,
                                       .version = r.version(),
                                       .peer = r.peer(),
                                       .is_secure = r.is_secure()});
}

namespace {

/// Whether the comma-separated `list` names `wanted`.
bool lists(std::string_view list, std::string_view wanted) noexcept {
  while (!list.empty()) {
    const std::size_t comma = list.find(',');
    std::string_view item = list.substr(0, comma);
    while (!item.empty() && (item.front() == ' ' || item.front() == '\t')) item.remove_prefix(1);
    while (!item.empty() && (item.back() == ' ' || item.back() == '\t')) item.remove_suffix(1);
    if (equal_ignoring_case(item, wanted)) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
  return false;
}

bool any_field_lists(const http_request& r, std::string_view name, std::string_view wanted) noexcept {
  return std::any_of(r.fields().begin(), r.fields().end(),
                     [&](const http_field& f) { return equal_ignoring_case(f.name, name) && lists(f.value, wanted); });
}

std::size_t count_fields(const http_request& r, std::string_view name) noexcept {
  return static_cast<std::size_t>(std::count_if(
      r.fields().begin(), r.fields().end(), [&](const http_field& f) { return equal_ignoring_case(f.name, name); }));
}

/// What is wrong with a request for a WebSocket; a status of 0: nothing.
refusal judge(const http_request& r, const websocket_options& options) {
  const std::string_view key = r.header("Sec-WebSocket-Key").value_or("");
  if (r.version() < 11 || !any_field_lists(r, "Upgrade", "websocket") || !any_field_lists(r, "Connection", "upgrade"))
    return {426, "this is for WebSockets"};
  if (r.header("Sec-WebSocket-Version").value_or("") != "13") return {426, "version 13 is spoken here"};
  if (key.size() != 24 || !key.ends_with("==") || count_fields(r, "Sec-WebSocket-Key") != 1 ||
      count_fields(r, "Sec-WebSocket-Version") != 1)
    return {400, "no proper Sec-WebSocket-Key"};
  if (is_cross_origin(r, options.allowed_origins)) return {403, "the page that asks is of another site"};
  return {};
}

std::string chosen_protocol(const http_request& r, const std::vector<std::string>& spoken) {
  for (const std::string& p : spoken)
    if (any_field_lists(r, "Sec-WebSocket-Protocol", p)) return p;
  return {};
}

http_response refused(const refusal& why) {
  http_response r = plain_answer(why.status, why.why);
  if (why.status == 426) r.headers = {{"Upgrade", "websocket"}, {"Sec-WebSocket-Version", "13"}};
  return r;
}

/// Runs the handler of a WebSocket.
class ws_route {
 public:
  ws_route(detail::ws_handler h, websocket_options o)
      : shared_(std::make_shared<const shared>(std::move(h), std::move(o))) {
    check_origins(shared_->options.allowed_origins);
  }

  http_response operator()(const http_request& r) const {
    if (const refusal why = judge(r, shared_->options)) return refused(why);
    return {.status = 101,
            .stream = [own = shared_, asked = std::make_unique<const kept_request>(r),
                       protocol = chosen_protocol(r, shared_->options.protocols)](response_writer& out) mutable {
              run(*own, sender_of(out).loan(), asked->get(), std::move(protocol));
            }};
  }

 private:
  struct shared {
    shared(detail::ws_handler h, websocket_options o) : handler(std::move(h)), options(std::move(o)) {}
    const detail::ws_handler handler;
    const websocket_options options;
  };

  static void run(const shared& own, http_loan& loan, const http_request& asked, std::string protocol) {
    loan.use.store(http_loan::websocket, sync::relaxed);
    const auto session = std::make_unique<ws_session>(loan, asked, own.options, std::move(protocol), std::move(loan.handover));
    if (!session->begin()) return;
    give_back_deep_stack();
    ws_connection ws(*session);
    try {
      own.handler(ws);
    } catch (const ws_closed&) {
    } catch (const detail::unwind&) {
      throw;
    } catch (...) {
      session->close(ws_close_code::internal_error, {});
      throw;
    }
    if (session->is_handed_over()) return session->leave_to_successor();
    session->close(ws_close_code::normal, {});
  }

  std::shared_ptr<const shared> shared_;
};

}  // namespace

}  // namespace internal

namespace detail {

http_handler websocket_handler(ws_handler run, websocket_options options) {
  return internal::ws_route(std::move(run), std::move(options));
}

}  // namespace detail

// --- what handlers see -----------------------------------------------------------------------------------------------

const http_request& ws_connection::request() const noexcept { return session_.asked(); }
std::string_view ws_connection::protocol() const noexcept { return session_.protocol(); }
bool ws_connection::is_open() const noexcept { return session_.is_open(); }
ws_close_code ws_connection::close_code() const noexcept { return session_.code(); }
std::string_view ws_connection::close_reason() const noexcept { return session_.reason(); }

bool ws_connection::is_handed_over() const noexcept { return session_.is_handed_over(); }
void ws_connection::pass_on(std::string state) { session_.pass_on(std::move(state)); }
bool ws_connection::is_resumed() const noexcept { return session_.before() != nullptr; }
std::string_view ws_connection::passed_on() const noexcept {
  return session_.before() != nullptr ? std::string_view(session_.before()->passed_on) : std::string_view();
}

std::optional<ws_message> ws_connection::read(duration wait) {
  ws_message m;
  if (session_.receive({}, deadline_after(wait), m) != detail::ws_received::peer) return std::nullopt;
  return m;
}

detail::ws_received ws_connection::receive_core(std::span<const detail::receive_clause> mail, duration wait,
                                                ws_message& out) {
  return session_.receive(mail, deadline_after(wait), out);
}

void ws_connection::send(std::string_view text) {
  if (!session_.send(std::as_bytes(std::span(text.data(), text.size())), false)) throw ws_closed(session_.code());
}

void ws_connection::send_binary(std::span<const std::byte> bytes) {
  if (!session_.send(bytes, true)) throw ws_closed(session_.code());
}

result<void, ws_closed> ws_connection::try_send(std::string_view text) {
  if (!session_.send(std::as_bytes(std::span(text.data(), text.size())), false))
    return error(ws_closed(session_.code()));
  return {};
}

void ws_connection::ping(std::string_view payload) {
  if (!session_.ping(payload)) throw ws_closed(session_.code());
}

void ws_connection::close(ws_close_code code, std::string_view reason) { session_.close(code, reason); }

}  // namespace coppice
