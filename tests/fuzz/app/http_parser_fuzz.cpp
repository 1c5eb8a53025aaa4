// SPDX-License-Identifier: Apache-2.0
//
// The way of a request from bytes to a handler, without a socket: parser, request, router. Whatever comes: views lie within the
// head, a refusal has a status, and it does not matter in which pieces the body arrives. The first byte says how large they are.
#include <coppice/app/http_message.hpp>
#include <coppice/app/router.hpp>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "app/http_parser.hpp"
#include "fuzz/fuzz.hpp"

using namespace coppice;
using namespace coppice::internal;
using testing::require;

namespace {

constexpr parser_limits limits{.body_bytes = 512};

/// A copy of its own size, so that a sanitizer sees the first byte too far.
struct exact_copy {
  explicit exact_copy(std::string_view bytes) : data(new char[bytes.size()]), size(bytes.size()) {
    std::copy(bytes.begin(), bytes.end(), data.get());
  }
  std::string_view view() const { return {data.get(), size}; }
  std::unique_ptr<char[]> data;
  std::size_t size;
};

bool lies_in(std::string_view part, std::string_view whole) {
  return part.empty() || (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

bool is_refusal(int status) {
  constexpr int known[] = {400, 413, 417, 431, 501, 505};
  return std::find(std::begin(known), std::end(known), status) != std::end(known);
}

/// What two readers of the same bytes must agree on lest one takes for a request what is body to the other. How and when they
/// refuse may differ: a chunk's extension whose quote never ends is 413, 400 or waits for more, as the bytes come (Beast 1.81).
struct whole_body {
  std::string text;
  std::size_t taken;
  friend bool operator==(const whole_body&, const whole_body&) = default;
};

/// None: refused, or not complete. As a connection does it: what was not taken stays in front of what comes next.
std::optional<whole_body> body_in_pieces(std::string_view head, std::string_view bytes, std::size_t piece) {
  http_parser parser(limits);
  require(!parser.take_head(head), "the same head is refused once only");
  std::string rest;
  std::size_t all_taken = 0;
  while (!parser.is_complete() && !bytes.empty()) {
    const std::size_t n = std::min(piece, bytes.size());
    rest += bytes.substr(0, n);
    bytes.remove_prefix(n);
    const exact_copy arrived(rest);
    std::size_t taken = 0;
    if (const refusal why = parser.take_body(arrived.view(), taken)) {
      require(is_refusal(why.status), "a body is refused with a known status");
      return std::nullopt;
    }
    require(taken <= rest.size(), "no more is taken than is there");
    rest.erase(0, taken);
    all_taken += taken;
  }
  require(parser.body().size() <= limits.body_bytes, "a body keeps to its limit");
  if (!parser.is_complete()) return std::nullopt;
  return whole_body{std::string(parser.body()), all_taken};
}

void hand_over(const http_request::parts& parts, std::string_view head) {
  const http_request request(parts);
  static const router app{
      get("/", [] { return status(200); }),
      del("/channels/:number/*", [](const http_request& r) {
        require(r.parameter("number").size() <= r.path().size(), "decoding makes nothing longer");
        return status(204);
      }),
      post("/:a/:b", [](const http_request& r) { return text(r.parameter("a") + r.parameter("b")); }),
      get("/:a", [](const http_request& r) { return text(r.query("ttl").value_or("")); }),
  };
  const int said = app(request).status;
  require(said == 200 || said == 204 || said == 404 || said == 405, "a route, or none");
  if (const auto host = request.header("hOST")) require(lies_in(*host, head), "Host lies in the head");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::size_t piece = data[0] % 16 + 1;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t end = input.find("\r\n\r\n");
  if (end == std::string_view::npos) return 0;
  const exact_copy head(input.substr(0, end + 4));
  const std::string_view body = input.substr(end + 4);

  http_parser parser(limits);
  if (const refusal why = parser.take_head(head.view())) {
    require(is_refusal(why.status) && !why.why.empty(), "a head is refused with a known status and a reason");
    return 0;
  }
  const http_request::parts parts = parser.parts();
  require(lies_in(parts.target, head.view()) && lies_in(parts.method_text, head.view()), "target and method lie in the head");
  for (const http_field& f : parts.fields) require(lies_in(f.name, head.view()) && lies_in(f.value, head.view()), "fields lie in the head");
  hand_over(parts, head.view());
  if (!parser.is_complete())
    require(body_in_pieces(head.view(), body, piece) == body_in_pieces(head.view(), body, body.size()), "pieces do not matter");
  return 0;
}
