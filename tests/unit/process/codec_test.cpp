// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <coppice/process/message.hpp>

#include <cstring>
#include <string>
#include <vector>

using namespace coppice;

namespace {

struct line { std::string text; };
struct unsendable { int n; };

}  // namespace

template <>
struct coppice::codec<line> {
  static void encode(const line& l, const byte_sink& out) { out(std::as_bytes(std::span(l.text))); }
  static std::optional<line> decode(std::span<const std::byte> bytes) {
    if (bytes.empty()) return std::nullopt;
    return line{std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size())};
  }
};

TEST_CASE("a message with a codec goes through its descriptor into bytes and back; one without has none") {
  const message_descriptor& type = descriptor_of<line>();
  REQUIRE(bool(type.encode != nullptr));
  std::vector<std::byte> bytes;
  const byte_sink sink{[](void* to, std::span<const std::byte> some) {
                         auto& all = *static_cast<std::vector<std::byte>*>(to);
                         all.insert(all.end(), some.begin(), some.end());
                       }, &bytes};
  const line sent{"eight channels"};
  type.encode(&sent, sink);
  CHECK(bytes.size() == sent.text.size());

  alignas(line) std::byte place[sizeof(line)];
  REQUIRE(type.decode(place, bytes));
  CHECK(static_cast<line*>(static_cast<void*>(place))->text == "eight channels");
  type.destroy(place);
  CHECK_FALSE(type.decode(place, {}));

  CHECK_FALSE(encodable<unsendable>);
  CHECK(bool(descriptor_of<unsendable>().encode == nullptr));
  CHECK(bool(descriptor_of<unsendable>().decode == nullptr));
}
