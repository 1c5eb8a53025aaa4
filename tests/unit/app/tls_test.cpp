// SPDX-License-Identifier: Apache-2.0
//
// A server under TLS: certificates that are good, bad and changed, clients that speak TLS, something else, or not to the end. What
// HTTP and WebSockets have to do under TLS is in their own tests, which run once more with it.
#include <coppice/app/app_server.hpp>
#include <coppice/app/http_server.hpp>
#include <coppice/app/response_writer.hpp>
#include <coppice/app/websocket.hpp>
#include <coppice/process/process.hpp>

#include <doctest/doctest.h>

#include <openssl/ssl.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/eventually.hpp"
#include "support/http/http_world.hpp"
#include "support/http/tls_folder.hpp"
#include "support/http/ws_client.hpp"

#include <unistd.h>

using namespace coppice;
using namespace coppice::testing;
using std::string_view_literals::operator""sv;

namespace {

router app() {
  return router{get("/", [](const http_request& r) { return text(std::string(r.scheme()) + (r.is_secure() ? "!" : "?")); }),
                get("/large", [] { return text(std::string(3'000'000, 'x')); }),
                post("/", [](const http_request& r) { return text(std::to_string(r.body().size())); })};
}

struct refused_start {
  http_server_error::kind why;
  std::string what;
};
refused_start refusal_of(std::vector<tls_certificate> files) {
  runtime rt({.workers = 1});
  const auto r = try_run_server(app(), {.port = 0, .tls = std::move(files), .in = &rt});
  REQUIRE_FALSE(r.has_value());
  return {r.error().why(), r.error().what()};
}
void check_refusal(const tls_certificate& files, std::string_view words) {
  const refused_start r = refusal_of({files});
  CHECK(r.why == http_server_error::bad_certificate);
  CHECK_MESSAGE(r.what.find(words) != std::string::npos, r.what);
}

/// The handshake's failure, as the client sees it; empty: it went well.
std::string failed_handshake(std::uint16_t port, const tls_wish& w) {
  try {
    http_client c(port, w);
    return "";
  } catch (const std::runtime_error& e) {
    return e.what();
  }
}

std::string output_of(const std::string& command) {
  std::FILE* p = ::popen(command.c_str(), "r");
  REQUIRE(p != nullptr);
  std::string all;
  char piece[4096];
  while (const std::size_t n = std::fread(piece, 1, sizeof piece, p)) all.append(piece, n);
  ::pclose(p);
  return all;
}

}  // namespace

TEST_CASE("under TLS a request is answered, and its handler knows that it is secure") {
  http_world w(app());
  http_client c = w.client();
  for (int i = 0; i < 10; ++i) CHECK(c.ask(get_request("/")).body == "https!");
  CHECK(c.ask(get_request("/large")).body.size() == 3'000'000);
  CHECK(c.ask("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n" + std::string(300'000, 'y')).body == "300000");
  CHECK(c.tls().version() == "TLSv1.3");
  CHECK(w.server.statistics().failed_handshakes == 0);
  const http_request of_a_test({});
  CHECK_FALSE(of_a_test.is_secure());
  CHECK(of_a_test.scheme() == "http");
}

TEST_CASE("curl trusts the certificate if it is told to, and only then") {
  const tls_folder folder;
  const tls_certificate mine = folder.make("localhost");
  http_world w(app(), {.tls = {mine}});
  const std::string at = " https://localhost:" + std::to_string(w.server.port());
  const std::string curl = "env -u CURL_CA_BUNDLE -u SSL_CERT_FILE curl -s --noproxy '*' --max-time 120 --resolve localhost:" +
                           std::to_string(w.server.port()) + ":127.0.0.1 -w ' %{http_code} %{http_version}'";
  CHECK(output_of(curl + " --cacert " + mine.certificate_file + at + "/") == "https! 200 1.1");
  CHECK(output_of(curl + " --tls-max 1.2 --cacert " + mine.certificate_file + at + "/") == "https! 200 1.1");
  CHECK(output_of(curl + at + "/") == " 000 0");
  CHECK(output_of(curl + " --cacert " + mine.certificate_file + at + "/ -o /dev/null -d @" + mine.key_file) == " 200 1.1");
}

TEST_CASE("TLS 1.2 at least, and HTTP/1.1 where protocols are negotiated") {
  http_world w(app());
  const std::uint16_t port = w.server.port();
  CHECK(http_client(port, {.newest = TLS1_2_VERSION}).tls().version() == "TLSv1.2");
  CHECK(failed_handshake(port, {.newest = TLS1_1_VERSION}) != "");
  CHECK(http_client(port, {.protocols = "\x02h2\x08http/1.1"}).tls().protocol() == "http/1.1");
  CHECK(http_client(port, {.protocols = ""}).tls().protocol() == "");
  CHECK(failed_handshake(port, {.protocols = "\x02h2"}) == "tlsv1 alert no application protocol");
  CHECK(eventually([&] { return w.server.statistics().failed_handshakes == 2; }));
}

TEST_CASE("of several certificates the one for the name that is asked for is shown, else the first") {
  const tls_folder folder;
  const tls_certificate a = folder.make("a.example");
  const tls_certificate b = folder.make("b.example");
  const tls_certificate stars = folder.make("*.stars.example");
  http_world w(app(), {.tls = {a, b, stars}});
  const auto shown = [&](const std::string& name) { return http_client(w.server.port(), {.name = name}).tls().shown_name(); };
  CHECK(shown("") == "a.example");
  CHECK(shown("a.example") == "a.example");
  CHECK(shown("b.example") == "b.example");
  CHECK(shown("B.Example") == "b.example");
  CHECK(shown("sirius.stars.example") == "*.stars.example");
  CHECK(shown("c.example") == "a.example");
  CHECK(failed_handshake(w.server.port(), {.name = "b.example", .authority_file = b.certificate_file}) == "");
  CHECK(failed_handshake(w.server.port(), {.name = "c.example", .authority_file = a.certificate_file}) != "");
}

TEST_CASE("a certificate or key that is no good is said before anything listens") {
  const tls_folder folder;
  const tls_certificate good = folder.make("good");
  const tls_certificate other = folder.make("other");
  const tls_certificate old = folder.make("old", -30, -1);
  const tls_certificate young = folder.make("young", 2, 30);
  check_refusal({folder.path_of("none.pem"), good.key_file}, "none.pem\" cannot be read: No such file");
  check_refusal({good.certificate_file, folder.path_of("none.key")}, "none.key\" cannot be read: No such file");
  check_refusal({folder.path_of("."), good.key_file}, "holds no certificate in PEM");
  check_refusal({folder.file("garbage.pem", "garbage"), good.key_file}, "holds no certificate in PEM");
  check_refusal({good.key_file, good.key_file}, "holds no certificate in PEM");
  check_refusal({folder.file("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), good.key_file},
                "is not usable as a certificate");
  check_refusal({good.certificate_file, folder.file("empty.key", "")}, "holds no private key in PEM");
  check_refusal({good.certificate_file, good.certificate_file}, "holds no private key in PEM");
  check_refusal({good.certificate_file, other.key_file}, "does not belong to the certificate");
  check_refusal(old, "has expired on ");
  check_refusal(young, "is not valid before ");
  CHECK(output_of("openssl pkey -in " + good.key_file + " -aes128 -passout pass:x -out " + folder.path_of("locked.key")) == "");
  check_refusal({good.certificate_file, folder.path_of("locked.key")}, "is locked with a password");
  CHECK(refusal_of({good, other, {good.certificate_file, other.key_file}}).why == http_server_error::bad_certificate);
}

TEST_CASE("a restart shows the new certificate to those who connect, and disturbs nobody else") {
  const tls_folder folder;
  const tls_certificate first = folder.make("first");
  const tls_certificate second = folder.make("second");
  const tls_certificate used{folder.path_of("used.pem"), folder.path_of("used.key")};
  const auto use = [&](const tls_certificate& c) {
    REQUIRE(::system(("cp " + c.certificate_file + ' ' + used.certificate_file + " && cp " + c.key_file + ' ' + used.key_file).c_str()) == 0);
  };
  use(first);
  http_world w(app(), {.tls = {used}});
  http_client early = w.client();
  CHECK(early.tls().shown_name() == "first");
  use(second);
  CHECK(w.client().tls().shown_name() == "first");
  w.server.restart(app());
  CHECK(w.client().tls().shown_name() == "second");
  CHECK(early.ask(get_request("/")).body == "https!");
  folder.file("used.key", "damaged");
  CHECK_THROWS_AS(w.server.restart([] { return text("new"); }), http_server_error);
  CHECK(w.client().tls().shown_name() == "second");
  CHECK(early.ask(get_request("/")).body == "https!");
}

TEST_CASE("an app_server whose certificate went bad goes on with what it has") {
  const tls_folder folder;
  const tls_certificate mine = folder.make("localhost");
  runtime rt({.workers = 2});
  app_server app([] { return text("hello"); }, {.port = 0, .tls = {mine}, .in = &rt});
  const auto port = static_cast<std::uint16_t>(app.start());
  CHECK(http_client(port).ask(get_request("/")).body == "hello");
  CHECK(app.restart(1min).cut_off == 0);
  folder.file("localhost.pem", "damaged");
  CHECK(app.try_restart().error().why() == app_server_error::bad_certificate);
  CHECK(app.is_running());
  CHECK(app.instance()->generation == 2);
  CHECK(http_client(port).ask(get_request("/")).body == "hello");
  app.stop();
  CHECK(app.try_start().error().why() == app_server_error::bad_certificate);
}

TEST_CASE("who speaks plain HTTP to it is told so") {
  http_world w(app());
  for (const auto asked : {"GET / HTTP/1.1\r\nHost: x\r\n\r\n"sv, "OPTIONS * HTTP/1.1\r\n\r\n"sv, "DELETE /x"sv, "PROPFIND"sv}) {
    http_client c = http_client::plain(w.server.port());
    c.send(asked);
    const http_answer a = c.read();
    CHECK_MESSAGE(a.status == 400, std::string(asked));
    CHECK(a.body == "400 Bad Request: this port speaks HTTPS\n");
    CHECK(a.header("Connection") == "close");
    CHECK(c.is_closed());
  }
  CHECK(w.client().ask(get_request("/")).status == 200);
  CHECK(w.server.statistics().failed_handshakes == 4);
}

TEST_CASE("garbage, half handshakes and clients that say nothing end, and disturb nobody") {
  http_world w(app());
  {
    http_client garbage = http_client::plain(w.server.port());
    garbage.send(std::string(70'000, '\x99'));
    garbage.read_to_end();
  }
  {
    http_client nonsense = http_client::plain(w.server.port());
    nonsense.send("\x16\x03\x01\x00\x05hello"sv);
    CHECK(nonsense.read_to_end().starts_with("\x15\x03"));  // an alert
  }
  {
    http_client half = http_client::plain(w.server.port());
    half.send("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"sv);
    half.end_writing();
    CHECK(half.is_closed());
  }
  CHECK(http_world::crashes() == 0);
}

TEST_CASE("the whole handshake has its time, and bytes now and then do not make it longer") {
  http_world w(app(), {.head_timeout = 300ms});
  http_client good = w.shaken();
  http_client silent = http_client::plain(w.server.port());
  http_client begun = http_client::plain(w.server.port());
  begun.send("\x16\x03\x01\x02\x00\x01\x00"sv);
  http_client slow = http_client::plain(w.server.port());
  std::thread drip([&] {
    while (slow.send("\x16"sv)) ::usleep(20'000);
  });
  CHECK(silent.is_closed());
  CHECK(begun.is_closed());
  drip.join();
  CHECK(good.ask(get_request("/")).status == 200);
  CHECK(eventually([&] { return w.server.statistics().connections == 1; }));
  CHECK(http_world::crashes() == 0);
}

TEST_CASE("a client that goes on shaking hands, or sends empty words without end, gets nowhere and keeps nobody") {
  http_world w(app());
  http_client old(w.server.port(), {.newest = TLS1_2_VERSION});
  CHECK(old.ask(get_request("/")).status == 200);
  CHECK(old.tls().renegotiate());
  char c = 0;
  CHECK(old.tls().read(&c, 1) <= 0);

  http_client other = w.client();
  http_client busy = w.client();
  std::atomic<bool> over = false;
  std::thread updates([&] {
    while (!over && busy.tls().update_keys()) {}
  });
  for (int i = 0; i < 200; ++i) REQUIRE(other.ask(get_request("/")).status == 200);
  over = true;
  updates.join();
  CHECK(busy.ask(get_request("/")).status == 200);
}

TEST_CASE("the end of a connection is a goodbye of TLS, and a cut body has none") {
  http_world w(router{get("/", [] { return text("hello"); }), get("/cut", [] {
                        return streamed([](response_writer& out) {
                          out.write("begun");
                          throw std::runtime_error("no");
                        });
                      })});
  http_client asked = w.client();
  CHECK(asked.ask(get_request("/", "Connection: close\r\n")).status == 200);
  CHECK(asked.is_closed());
  CHECK(asked.tls().heard_goodbye());
  http_world impatient(app(), {.idle_timeout = 200ms});
  http_client idle = impatient.client();
  CHECK(idle.is_closed());
  CHECK(idle.tls().heard_goodbye());
  http_client cut = w.client();
  cut.send("GET /cut HTTP/1.0\r\n\r\n");
  CHECK(cut.read(true).status == 200);
  CHECK(cut.ends_with_reset());
  http_client stopped = w.client();
  CHECK(stopped.ask(get_request("/")).status == 200);
  std::thread stop([&] { w.server.stop(100ms); });
  CHECK(stopped.is_closed());
  CHECK(stopped.tls().heard_goodbye());
  stop.join();
}

TEST_CASE("whole requests in one record, records in many pieces") {
  http_world w(app());
  http_client pipeline = w.client();
  std::string many;
  for (int i = 0; i < 500; ++i) many += get_request("/");
  std::thread sender([&] { pipeline.send(many); });
  for (int i = 0; i < 500; ++i) REQUIRE(pipeline.read().body == "https!");
  sender.join();
  http_client letters = w.client();
  for (const char c : get_request("/")) letters.send({&c, 1});
  CHECK(letters.read().body == "https!");
}

TEST_CASE("many clients at once, who come and go") {
  http_world w(app());
  std::atomic<int> answered = 0;
  std::vector<std::thread> clients;
  for (int t = 0; t < 4; ++t)
    clients.emplace_back([&] {
      for (int i = 0; i < 25; ++i) {
        http_client c = w.client();
        for (int n = 0; n < 4; ++n) answered += c.ask(get_request("/")).status == 200;
      }
    });
  for (std::thread& t : clients) t.join();
  CHECK(answered == 400);
  CHECK(eventually([&] { return w.server.statistics().connections == 0; }));
}

TEST_CASE("a WebSocket stays in its OS process, and is told to come again when the time is up") {
  const tls_folder folder;
  const tls_certificate mine = folder.make("localhost");
  const http_server_options o{.tls = {mine}, .take_over = folder.path_of("door"), .take_over_timeout = 300ms};
  const auto chat = [](ws_connection& ws) {
    while (const auto m = ws.read()) ws.send(m->data);
  };
  const auto answers = [&] { return router{websocket("/chat", chat, {.hand_over = true})}; };
  http_world first(answers(), o);
  ws_client c(first.server.port(), "/chat");
  c.send("x");
  CHECK(c.read() == "x");
  CHECK(first.server.restart(answers(), 1min).cut_off == 0);  // within it, it goes on
  c.send("y");
  CHECK(c.read() == "y");
  const auto second = testing::successor_in_time(first, [&] { return std::make_unique<http_world>(answers(), o); });
  REQUIRE(second != nullptr);
  CHECK(c.read_close() == 1012);
}

TEST_CASE("a WebSocket goes on in its OS process while a take-over has time") {
  const tls_folder folder;
  const http_server_options o{.tls = {folder.make("localhost")}, .take_over = folder.path_of("door"), .take_over_timeout = infinity};
  const auto echo = [](ws_connection& ws) {
    while (const auto m = ws.read()) ws.send(m->data);
  };
  http_world first(router{websocket("/chat", echo, {.hand_over = true})}, o);
  ws_client c(first.server.port(), "/chat");
  http_world second([] { return text("2"); }, o);
  CHECK(eventually([&] { return second.client().ask(get_request("/")).body == "2"; }));
  c.send("z");
  CHECK(c.read() == "z");
  CHECK_FALSE(first.server.is_taken_over());
  c.send_close(1000);
  CHECK(c.read_close(false) == 1000);
  CHECK(eventually([&] { return first.server.is_taken_over(); }));
}

TEST_CASE("a successor gets the port and who has said nothing yet; who has, ends with the next answer") {
  const tls_folder folder;
  const tls_certificate mine = folder.make("localhost");
  const std::string door = folder.path_of("door");
  auto first = std::make_unique<http_world>([] { return text("1"); }, http_server_options{.tls = {mine}, .take_over = door, .take_over_timeout = 2min});
  const std::uint16_t port = first->server.port();
  http_client spoken = first->client();
  CHECK(spoken.ask(get_request("/")).body == "1");
  http_client fresh = http_client::plain(port);
  CHECK(eventually([&] { return first->server.statistics().connections == 2; }));
  {
    runtime rt({.workers = 1});
    const auto plain = try_run_server(app(), {.port = 0, .take_over = door, .in = &rt});
    REQUIRE_FALSE(plain.has_value());
    CHECK(plain.error().why() == http_server_error::take_over_failed);
    CHECK(std::string(plain.error().what()).find("it speaks TLS") != std::string::npos);
  }
  http_world second([] { return text("2"); }, {.tls = {mine}, .take_over = door});
  CHECK(second.server.port() == port);
  CHECK(second.client().ask(get_request("/")).body == "2");
  CHECK(eventually([&] { return first->server.statistics().connections == 1; }));
  CHECK(spoken.ask(get_request("/")).body == "1");
  CHECK(spoken.is_closed());
  {
    const runtime_scope here(first->rt);
    CHECK(eventually([&] { return !alive(first->server.door()); }));
  }
  CHECK(second.server.statistics().connections >= 1);  // the fresh one
  first.reset();
  CHECK(second.client().ask(get_request("/")).body == "2");
}

