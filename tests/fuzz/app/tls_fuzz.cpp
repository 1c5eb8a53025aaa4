// SPDX-License-Identifier: Apache-2.0
//
// A real server under TLS on 127.0.0.1 that gets any bytes, in two pieces (the first byte says where they part), from a client that then
// only listens. Whatever comes: the connection ends, the server says nothing but records of TLS or that it speaks HTTPS, and serves on.
#include <coppice/app/http_server.hpp>
#include <coppice/process/runtime.hpp>

#include <string>
#include <string_view>

#include "fuzz/app/two_pieces.hpp"
#include "fuzz/fuzz.hpp"
#include "support/http/tls_folder.hpp"

using namespace coppice;
using testing::http_client;
using testing::require;

namespace {

struct world {
  testing::tls_folder folder;
  runtime rt{{.workers = 2}};
  http_server server = run_server([] { return text("hello"); }, {.port = 0, .tls = {folder.make("localhost")}, .in = &rt});
  std::uint64_t inputs = 0;
};

world& the_world() {
  static world w;
  return w;
}

/// The version in the record may be any: OpenSSL's alert says the one that the client has asked for, be it 1.3 for 3.1.
bool is_from_tls(std::string_view said) { return said.empty() || (said.size() >= 5 && said[0] >= 20 && said[0] <= 23); }

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  world& w = the_world();
  http_client client = http_client::plain(w.server.port());
  const std::string said = testing::answer_to(client, data, size);
  require(is_from_tls(said) || said.starts_with("HTTP/1.1 400 "), "the answer is TLS, or a refusal in HTTP");
  require(w.server.statistics().failed == 0, "no handler failed");
  if (++w.inputs % 100 == 1) require(http_client(w.server.port(), testing::tls_wish{}).ask(testing::get_request("/")).body == "hello", "it serves on");
  return 0;
}
