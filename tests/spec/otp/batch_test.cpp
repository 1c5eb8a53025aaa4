// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <coppice/otp/batch.hpp>
#include <coppice/otp/sys.hpp>

#include <memory>
#include <stdexcept>

#include "spec/otp/own_world.hpp"

using namespace coppice;
using namespace coppice::testing;

namespace {

struct put { std::unique_ptr<int> value; };
struct other { int value; };
struct note { int value; };
struct pass { watched_gate* at; };
struct get { using reply = int; };

struct seen {
  std::vector<std::vector<int>> batches{};
};

/// Tells what came together.
struct server {
  using protocol = messages<note, get>;
  seen* log;
  int last = 0;
  void handle_cast(batch<put> all) {
    std::vector<int> together;
    for (put& p : all) together.push_back(*std::unique_ptr<int>(std::move(p.value)));
    log->batches.push_back(std::move(together));
    if (log->batches.back().back() < 0) throw std::runtime_error("negative");
  }
  void handle_cast(other o) { log->batches.push_back({1'000 + o.value}); }
  void handle_cast(pass p) { p.at->pass(); }
  void handle_info(batch<note> all) {
    for (std::size_t i = 0; i < all.size(); ++i) last = all[i].value;
    log->batches.push_back({static_cast<int>(all.size())});
  }
  int handle_call(get) { return last; }
};

put number(int n) { return {std::make_unique<int>(n)}; }

}  // namespace

TEST_CASE("GS-X6 messages of one type that wait are handled in one go, in order; other types are not overtaken") {
  seen log;
  watched_gate gate;
  own_world w;
  const auto s = start<server>({}, &log);
  cast(s, pass{&gate});
  REQUIRE(gate.is_entered());
  for (int i = 0; i < 5; ++i) cast(s, number(i));
  cast(s, other{1});
  cast(s, number(5));
  cast(s, number(6));
  gate.open();
  CHECK(call(s, get{}) == 0);
  CHECK(log.batches == std::vector<std::vector<int>>{{0, 1, 2, 3, 4}, {1'001}, {5, 6}});
}

TEST_CASE("GS-X6 a batch has at most batch<M>::most messages, and at least one") {
  seen log;
  watched_gate gate;
  own_world w;
  const auto s = start<server>({}, &log);
  cast(s, number(1));
  CHECK(call(s, get{}) == 0);
  CHECK(log.batches == std::vector<std::vector<int>>{{1}});
  cast(s, pass{&gate});
  REQUIRE(gate.is_entered());
  for (std::size_t i = 0; i < 2 * batch<put>::most + 1; ++i) cast(s, number(1));
  gate.open();
  CHECK(call(s, get{}) == 0);
  REQUIRE(log.batches.size() == 4);
  CHECK(log.batches[1].size() == batch<put>::most);
  CHECK(log.batches[3].size() == 1);
}

TEST_CASE("GS-X6 plain messages come in batches, too, through the protocol of the class") {
  seen log;
  watched_gate gate;
  own_world w;
  const auto s = start<server>({}, &log);
  cast(s, pass{&gate});
  REQUIRE(gate.is_entered());
  for (int i = 0; i < 4; ++i) send(s, note{i});
  for (int i = 4; i < 8; ++i) send(s.id(), note{i});
  gate.open();
  CHECK(call(s, get{}) == 7);
  CHECK(log.batches == std::vector<std::vector<int>>{{8}});
}

TEST_CASE("GS-X6 a handler that throws ends the server like any other; the batch is destroyed") {
  seen log;
  watched_gate gate;
  own_world w;
  const auto m = start_monitor<server>({}, &log);
  cast(m.server, pass{&gate});
  REQUIRE(gate.is_entered());
  cast(m.server, number(1));
  cast(m.server, number(-1));
  cast(m.server, other{1});
  gate.open();
  CHECK(to_text(reason_of_end(m.server.id(), m.ref)).find("negative") != std::string::npos);
  CHECK(log.batches == std::vector<std::vector<int>>{{1, -1}});
}

TEST_CASE("GS-X6 GS-165 while somebody watches, each message is an event of its own") {
  seen log;
  watched_gate gate;
  own_world w;
  const auto s = start<server>({}, &log);
  sys::log(s, 10);
  cast(s, pass{&gate});
  REQUIRE(gate.is_entered());
  cast(s, number(1));
  cast(s, number(2));
  gate.open();
  CHECK(call(s, get{}) == 0);
  CHECK(log.batches == std::vector<std::vector<int>>{{1}, {2}});
}
