// SPDX-License-Identifier: Apache-2.0
//
// A web service: a guest book kept by a server, read and written over HTTP, with a live feed by WebSocket and by server-sent events.
//
//     20_web_service [port [certificate key]]     with a port it serves until it is ended; without one it tries its handlers and its
//                                                 server, and ends
#include <coppice/app.hpp>
#include <coppice/otp/gen_server.hpp>
#include <coppice/process/process.hpp>
#include <coppice/process/receive.hpp>
#include <coppice/process/timer.hpp>

#include <cstdio>
#include <string>
#include <vector>

using namespace coppice;

static bool expect(bool good, const std::string& what) {
  std::printf("%s: %s\n", good ? "ok" : "NOT SO", what.c_str());
  return good;
}

// [book]
struct written { std::string entry; };  // what readers of the feed are sent

struct guest_book {
  static constexpr named<guest_book> server{"guest_book"};
  struct read { using reply = std::vector<std::string>; };
  struct write { using reply = std::size_t; std::string entry; };
  struct follow { pid reader; std::size_t from = 0; };

  std::vector<std::string> handle_call(read) { return entries; }
  std::size_t handle_call(write w) {
    entries.push_back(w.entry);
    for (const pid reader : readers) send(reader, written{w.entry});
    return entries.size();
  }
  void handle_cast(follow f) {
    for (std::size_t i = f.from; i < entries.size(); ++i) send(f.reader, written{entries[i]});
    readers.push_back(f.reader);
    monitor(f.reader);
  }
  void handle_info(down d) { std::erase(readers, d.who); }

  std::vector<std::string> entries{};
  std::vector<pid> readers{};
};
// [/book]

// [handlers]
http_response list_entries() {
  std::string all;
  for (const std::string& entry : call(guest_book::server, guest_book::read{})) all += entry + '\n';
  return text(all);
}

http_response read_entry(const http_request& r) {
  const auto entries = call(guest_book::server, guest_book::read{});
  const auto number = r.parameter<std::size_t>("number");
  if (number >= entries.size()) throw http_error(404, "there are " + std::to_string(entries.size()) + " entries");
  return text(entries[number]);
}

http_response write_entry(const http_request& r) {
  if (r.body().empty()) throw http_error(400, "an entry has a text");
  return text(std::to_string(call(guest_book::server, guest_book::write{std::string(r.body())})), 201);
}
// [/handlers]

// [live]
http_response events() {
  return stream_events([](event_stream& out) {
    cast(guest_book::server, guest_book::follow{self()});
    for (;;) receive([&](const written& w) { out.send({.data = w.entry}); }, after(15s, [&] { out.comment(); }));
  });
}

// [/live]

// [feed]
void feed(ws_connection& ws) {
  std::size_t told = ws.is_resumed() ? std::stoul(std::string(ws.passed_on())) : 0;  // by the handler before a restart
  cast(guest_book::server, guest_book::follow{self(), told});
  while (ws.receive([](const ws_message& m) { call(guest_book::server, guest_book::write{m.data}); },
                    [&](const written& w) { ws.send(w.entry), ++told; })) {}
  ws.pass_on(std::to_string(told));
}
// [/feed]

// [middleware]
http_response no_shouting(const http_request& r, const http_handler& next) {
  return r.body().ends_with('!') ? plain_answer(422, "no shouting") : next(r);
}
// [/middleware]

// [app]
router app() {
  return router{get("/", [] { return text("a guest book: /entries, /events, /feed\n"); }),
                group("/entries", use(no_shouting), get("/", &list_entries), post("/", &write_entry).with_body_limit(1000),
                      get("/:number<int>", &read_entry)),
                get("/events", &events), websocket("/feed", &feed, {.hand_over = true})};
}
// [/app]

int main(int argc, char** argv) {
  runtime rt;
  const runtime_scope in(rt);
  start<guest_book>({.name = guest_book::server});
  if (argc > 1) {
    // [tls]
    http_server_options options{.port = port_from(argc, argv)};
    if (argc > 3) options.tls = {{.certificate_file = argv[2], .key_file = argv[3]}};
    // [/tls]
    // [hosts]
    const http_server server = run_server(wrap(refuse_other_hosts(), app()), options);  // localhost, 127.0.0.1, [::1]
    // [/hosts]
    std::printf("%s://127.0.0.1:%u\n", options.tls.empty() ? "http" : "https", server.port());
    sleep_for(infinity);
  }
  bool good = true;
  // [test]
  const router routes = app();  // a router is a function: no socket is needed to try it
  const auto ask = [&](const http_request::parts& asked) { return routes(http_request(asked)); };
  good &= expect(ask({.method = http_method::post, .target = "/entries", .body = "Ada was here"}).status == 201, "an entry is written");
  good &= expect(ask({.target = "/entries"}).body == "Ada was here\n", "and read");
  good &= expect(ask({.target = "/entries/0"}).body == "Ada was here", "by its number, too");
  good &= expect(ask({.method = http_method::post, .target = "/entries", .body = "hey!"}).status == 422, "shouting is refused");
  good &= expect(ask({.target = "/entries/x"}).status == 404, "what is no number is no path");
  // [/test]
  const http_server server = run_server(app(), {.port = 0});
  good &= expect(server.port() != 0, "it serves");
  good &= expect(server.stop(1s).cut_off == 0, "and stops");
  return good ? 0 : 1;
}
