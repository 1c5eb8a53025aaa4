// SPDX-License-Identifier: Apache-2.0
#include <coppice/base/secret.hpp>
#include <coppice/base/to_text.hpp>

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

using coppice::secret;
using coppice::text_of;

namespace {
struct account {
  std::string user;
  secret<std::string> password;
  std::optional<secret<int>> pin{};
};
struct talkative {
  int code;
};
std::string to_text(const talkative& t) { return "code " + std::to_string(t.code); }
}  // namespace

TEST_CASE("secret: it prints as stars, alone and however deep it lies") {
  CHECK(text_of(secret<std::string>("hunter2")) == "***");
  CHECK(text_of(account{.user = "ann", .password = "hunter2", .pin = 1234}) ==
        "account{user: \"ann\", password: ***, pin: ***}");
  CHECK(text_of(std::map<int, std::vector<secret<int>>>{{1, {2, 3}}}) == "{1: {***, ***}}");
}

TEST_CASE("secret: a to_text of the hidden type does not leak it") {
  CHECK(text_of(talkative{7}) == "code 7");
  CHECK(text_of(secret<talkative>(talkative{7})) == "***");
}

TEST_CASE("secret: reveal is the only way in") {
  secret<std::string> s("hunter2");
  CHECK(s.reveal() == "hunter2");
  s.reveal() += "!";
  CHECK(std::as_const(s).reveal() == "hunter2!");
  CHECK(std::move(s).reveal() == "hunter2!");
  static_assert(!std::is_convertible_v<secret<std::string>, std::string>);
  static_assert(!std::is_convertible_v<secret<int>, int>);
  static_assert(!std::is_aggregate_v<secret<int>>);
  static_assert(!coppice::reflectable<secret<int>>);
}

TEST_CASE("secret: it compares by the value inside and may hold what can only be moved") {
  CHECK(secret(1) == secret(1));
  CHECK(secret(1) != secret(2));
  CHECK(secret(1) < secret(2));
  secret<std::unique_ptr<int>> holder(std::make_unique<int>(3));
  std::unique_ptr<int> out = std::move(holder).reveal();
  CHECK(*out == 3);
}
