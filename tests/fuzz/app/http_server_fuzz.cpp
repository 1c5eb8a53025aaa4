// SPDX-License-Identifier: Apache-2.0
//
// A real server on 127.0.0.1 that gets any bytes, in two pieces (the first byte says where they part), from a client that then
// only listens. Whatever comes: the answers are HTTP, no handler fails, and the connection ends.
#include <coppice/app/http_server.hpp>
#include <coppice/process/runtime.hpp>

#include <string>
#include <string_view>

#include "fuzz/app/two_pieces.hpp"
#include "fuzz/fuzz.hpp"

using namespace coppice;
using testing::require;
using testing::http_client;

namespace {

/// Nothing that a client sent is sent back, so what looks like a status line is one.
router app() {
  return router{get("/", [] { return text("hello"); }),
                get("/path/:name", [](const http_request& r) { return text(std::to_string(r.parameter("name").size())); }),
                get("/query", [](const http_request& r) { return text(std::to_string(r.query("a").value_or("").size())); }),
                post("/body", [](const http_request& r) { return text(std::to_string(r.body().size())); })};
}

struct world {
  runtime rt{{.workers = 2}};
  http_server server = run_server(app(), {.port = 0, .max_head_bytes = 1024, .max_body_bytes = 512, .in = &rt});
};

world& the_world() {
  static world& w = *new world;   // the program ends without asking anybody
  return w;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  world& w = the_world();
  http_client client(w.server.port());
  const std::string said = testing::answer_to(client, data, size);
  require(said.empty() || said.starts_with("HTTP/1.1 "), "the answer is HTTP");
  for (const char* failed : {"HTTP/1.1 500", "HTTP/1.1 503", "HTTP/1.1 408"}) require(said.find(failed) == std::string::npos, failed);
  require(w.server.statistics().failed == 0, "no handler failed");
  return 0;
}
