// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>

#include "support/bench.hpp"
#include "support/measured.hpp"
#include "support/options.hpp"
#include "support/peers.hpp"

using namespace bench;
using namespace bench::internal;

namespace {

comparison measured(double median, const std::string& unit) {
  comparison line;
  line.row = "row";
  line.unit = unit;
  line.value = {median, median, median};
  return line;
}

// Neither gone nor waiting to be reaped.
bool runs(const std::string& process_id) {
  std::ifstream stat("/proc/" + process_id + "/stat");
  std::string id, name, status;
  return (stat >> id >> name >> status) && status != "Z" && status != "X";
}

}  // namespace

TEST_CASE("a figure is the median with the lowest and the highest value") {
  const figure odd = summarise({5, 1, 3});
  CHECK(odd.median == 3);
  CHECK(odd.low == 1);
  CHECK(odd.high == 5);
  CHECK(summarise({4, 2}).median == 3);
  CHECK(summarise({}).median == 0);
}

TEST_CASE("a ratio compares within a repetition, so a slow spell that hits both sides does not move it") {
  CHECK(median_ratio({10, 200, 30}, {10, 100, 10}) == 2);  // the quotient of the medians would be 3
  CHECK(median_ratio({20}, {10, 100}) == 2);
  CHECK(median_ratio({}, {}) == 0);
}

TEST_CASE("bounds on value and ratio are all to be kept") {
  comparison line = measured(15, "ns");
  line.ratio = 1.5;
  judge(line, {.reference = "std::mutex", .max_ratio = 1.7, .max = 20});
  CHECK(line.target == "<= 1.70 x std::mutex, <= 20.0 ns");
  CHECK(line.ok == true);

  comparison slow = measured(25, "ns");
  slow.ratio = 1.5;
  judge(slow, {.reference = "std::mutex", .max_ratio = 1.7, .max = 20});
  CHECK(slow.ok == false);

  comparison rate = measured(50, "M/s");
  judge(rate, {.unit = "M/s", .min = 60});
  CHECK(rate.ok == false);
}

TEST_CASE("a row without a target has no verdict, and neither has one that could not be compared") {
  comparison line = measured(15, "ns");
  judge(line, {});
  CHECK(line.target.empty());
  CHECK_FALSE(line.ok.has_value());

  comparison alone = measured(15, "ns");
  judge(alone, {.reference = "std::mutex", .max_ratio = 1.7});
  CHECK_FALSE(alone.ok.has_value());

  comparison failed = measured(0, "ns");
  failed.measured = false;
  judge(failed, {.max = 20});
  CHECK_FALSE(failed.ok.has_value());
}

TEST_CASE("a row that has only peers as a target is left open until they run") {
  comparison line = measured(50, "M/s");
  judge(line, {.unit = "M/s", .peers = "ring"});
  CHECK(line.target == "ahead of the peers (--peers)");
  CHECK_FALSE(line.ok.has_value());
}

TEST_CASE("ahead of a peer means less time or a higher rate") {
  comparison time = measured(10, "ns");
  time.ratio = 0.5;
  judge_against_peer(time, {});
  CHECK(time.ok == true);

  comparison rate = measured(10, "M/s");
  rate.ratio = 0.5;
  judge_against_peer(rate, {});
  CHECK(rate.ok == false);
  judge_against_peer(time, {.max_ratio_to_peers = 0.25});
  CHECK(time.ok == false);
  CHECK(time.target == "<= 0.250 x " + time.reference);
}

TEST_CASE("a line as JSON has the eight keys in order and null where there is nothing to say") {
  comparison line = measured(12.5, "ns");
  line.row = "call \"x\"";
  line.reference = "std::mutex";
  line.reference_value = figure{10, 9, 11};
  line.ratio = 1.25;
  line.target = "<= 1.70 x std::mutex";
  line.ok = true;
  CHECK(to_json(line) ==
        R"({"row":"call \"x\"","value":12.5,"unit":"ns","reference":"std::mutex","reference_value":10,"ratio":1.25,)"
        R"("target":"<= 1.70 x std::mutex","ok":true,"low":12.5,"high":12.5})");

  comparison failed;
  failed.row = "r";
  failed.unit = "ns";
  failed.measured = false;
  failed.note = "a\nb";
  CHECK(to_json(failed) ==
        R"({"row":"r","value":null,"unit":"ns","reference":null,"reference_value":null,"ratio":null,"target":null,)"
        R"("ok":null,"note":"a\u000ab"})");
}

TEST_CASE("figures are printed with about three digits") {
  CHECK(readable(0.3456) == "0.346");
  CHECK(readable(0.00331) == "0.00331");
  CHECK(readable(11.64) == "11.6");
  CHECK(readable(1090.4) == "1090");
  CHECK(readable(0) == "0");
}

TEST_CASE("an unknown option is refused by name") {
  std::string error;
  const auto good = parse_command_line({"--quick", "--json", "--filter=1 call", "--repetitions=4"}, error);
  REQUIRE(good.has_value());
  CHECK(good->quick);
  CHECK(good->json);
  CHECK(good->filter == "1 call");
  CHECK(good->repetitions == 4);
  CHECK_FALSE(parse_command_line({"--fast"}, error).has_value());
  CHECK(error.find("--fast") != std::string::npos);
  CHECK_FALSE(parse_command_line({"--repetitions=none"}, error).has_value());
  CHECK_FALSE(parse_command_line({"--filter="}, error).has_value());
}

TEST_CASE("a peer's lines are found among others, and a wrong unit or a missing row is an error") {
  command_result result;
  result.status = 0;
  result.output = "some warning\nring\t9.43\tM/s\ncall\tfast\tns\nbank\t2.62\tM/s\n";
  CHECK(parse_values(result.output).size() == 2);
  CHECK(value_of(result, "go", "bank", "M/s") == doctest::Approx(2.62));
  CHECK_THROWS_WITH_AS((void)value_of(result, "go", "ring", "ns"), "go answers in M/s instead of ns",
                       std::runtime_error);
  CHECK_THROWS_WITH_AS((void)value_of(result, "go", "call", "ns"), "go printed no value for call", std::runtime_error);
  result.status = 3;
  CHECK_THROWS_WITH_AS((void)value_of(result, "go", "bank", "M/s"), "go ended with status 3", std::runtime_error);
}

TEST_CASE("another program's output, status and time limit are seen") {
  const command_result said = run_command({"sh", "-c", "echo hello; exit 7"}, 20);
  CHECK(said.output == "hello\n");
  CHECK(said.status == 7);
  CHECK(said.peak_bytes > 0);
  CHECK(run_command({"/no/such/program"}, 20).status != 0);
}

TEST_CASE("a program that is late is killed together with what it started") {
  const command_result late = run_command({"sh", "-c", "sleep 1000 & echo $!; wait"}, 0.2);
  CHECK(late.timed_out);
  CHECK(late.status == 128 + 9);
  REQUIRE_FALSE(late.output.empty());
  // Killed at once, gone a moment later.
  const std::string grandchild = late.output.substr(0, late.output.find('\n'));
  const std::int64_t give_up = now() + 10'000'000'000;
  while (runs(grandchild) && now() < give_up) std::this_thread::yield();
  CHECK_FALSE(runs(grandchild));
}

TEST_CASE("threads start together and the time covers the slowest") {
  int ran[3] = {};
  const double ns = in_threads(3, [&](int thread) {
    ran[thread] = 1;
    if (thread == 2) {
      for (const auto until = now() + 2'000'000; now() < until;) {}
    }
  });
  CHECK(ran[0] + ran[1] + ran[2] == 3);
  CHECK(ns >= 2'000'000);
}

TEST_CASE("a quick run does an eighth of the work but never nothing") {
  CHECK(state(true, 1000).count(80) == 10);
  CHECK(state(true, 1000).count(1) == 1);
  CHECK(state(false, 1000).count(80) == 80);
}
