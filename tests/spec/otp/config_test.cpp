// SPDX-License-Identifier: Apache-2.0
#include <coppice/otp/config.hpp>

#include <doctest/doctest.h>

#include <coppice/base/secret.hpp>

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>

using namespace coppice;

namespace {

/// A variable of the environment until the end of the scope.
struct variable {
  variable(const char* name, const char* value) : name_(name) { ::setenv(name, value, 1); }
  ~variable() { ::unsetenv(name_); }
  variable(const variable&) = delete;
  const char* name_;
};

/// A file until the end of the scope.
struct temporary_file {
  temporary_file(std::string_view ending, std::string_view text)
      : path(std::filesystem::temp_directory_path() / ("coppice_config_" + std::to_string(::getpid()) + "_" + std::to_string(++made) + std::string(ending))) {
    std::ofstream(path) << text;
  }
  ~temporary_file() { std::filesystem::remove(path); }
  temporary_file(const temporary_file&) = delete;
  static inline int made = 0;
  std::string path;
};

template <class F>
config_error error_in(F&& f) {
  try {
    (void)f();
  } catch (const config_error& e) {
    return e;
  }
  FAIL("no config_error");
  return config_error(config_error::missing, "", "", "");
}

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

/// A command line.
struct words {
  words(std::initializer_list<const char*> given) : all(given) { all.insert(all.begin(), "shop"); }
  config_sources with(config_sources s) const {
    s.argc = static_cast<int>(all.size());
    s.argv = all.data();
    return s;
  }
  std::vector<const char*> all;
};

const std::vector<config_option> shop_options{
    {.key = "port", .fallback = 8888, .help = "where to listen", .environment = "COPPICE_TEST_PORT", .positional = true, .least = 0, .most = 65535},
    {.key = "channels", .fallback = 8, .least = 1},
    {.key = "name", .fallback = "shop"},
    {.key = "lease", .fallback = duration(5s)},
    {.key = "ratio", .fallback = 0.5},
    {.key = "allow-crash", .fallback = false},
    {.key = "http.timeout", .fallback = duration(30s)},
    {.key = "anything"},
};

}  // namespace

TEST_CASE("EX-120 a configuration is read by type; what is missing has a fallback or is an error") {
  const config c{{"channels", 8}, {"name", "ch3"}, {"lease", duration(5s)}, {"ratio", 0.25}, {"open", true}, {"pin", "1234"}};
  CHECK(c.get<int>("channels") == 8);
  CHECK(c.get<double>("channels") == 8.0);
  CHECK(c.get<std::string>("name") == "ch3");
  CHECK(c.get<duration>("lease") == 5s);
  CHECK(c.get<float>("ratio") == 0.25f);
  CHECK(c.get<bool>("open"));
  CHECK(c.get<secret<std::string>>("pin").reveal() == "1234");
  CHECK(c.get("channels", 3) == 8);
  CHECK(c.get("nothing", 3) == 3);
  CHECK(c.get("nothing", "words") == "words");
  CHECK(c.get("nothing", duration(1s)) == 1s);
  CHECK_FALSE(c.try_get<int>("nothing").has_value());
  const config_error e = error_in([&] { return c.get<int>("nothing"); });
  CHECK(e.why() == config_error::missing);
  CHECK(e.key() == "nothing");
  CHECK(contains(e.what(), "nothing is not set; expected a whole number"));
}

TEST_CASE("EX-120 a wrong value is told with its key, its place and what was expected; a fallback does not hide it") {
  const config c = config_from_toml("channels = \"many\"\nsmall = 300\n\n[http]\nport = 70000\n", "shop.toml");
  const config_error wrong = error_in([&] { return c.get("channels", 8); });
  CHECK(wrong.why() == config_error::wrong_type);
  CHECK(wrong.source() == "shop.toml:1");
  CHECK(std::string(wrong.what()) == "shop.toml:1: channels is the text \"many\"; expected a whole number from -2147483648 to 2147483647");
  const config_error large = error_in([&] { return c.get<std::uint16_t>("http.port"); });
  CHECK(large.why() == config_error::out_of_range);
  CHECK(std::string(large.what()) == "shop.toml:5: http.port is 70000; expected a whole number from 0 to 65535");
  CHECK(error_in([&] { return c.get<std::int8_t>("small"); }).why() == config_error::out_of_range);
  CHECK(error_in([&] { return c.get<bool>("small"); }).why() == config_error::wrong_type);
}

TEST_CASE("EX-120 X7 a secret's value is in no error") {
  const config c = config_from_toml("pin = [\"hunter2\"]\nkey = \"hunter2\"\n");
  for (const config_error& e : {error_in([&] { return c.get<secret<std::string>>("pin"); }), error_in([&] { return c.get<secret<int>>("key"); }),
                                error_in([&] { return c.get<std::vector<secret<int>>>("pin"); }), error_in([&] { return c.get<std::vector<secret<int>>>("key"); })}) {
    CHECK_FALSE(contains(e.what(), "hunter2"));
    CHECK(contains(e.what(), "expected"));
  }
}

TEST_CASE("EX-120 TOML and JSON say the same") {
  const config toml = config_from_toml("name = 'x'\nratio = 1.5\nopen = true\nports = [1, 2]\nwhen = 2026-01-02\n[http]\nport = 80\n[[pools]]\nsize = 1\n[[pools]]\nsize = 2\n");
  const config json = config_from_json(R"({"name":"x","ratio":1.5,"open":true,"ports":[1,2],"when":"2026-01-02","http":{"port":80},"pools":[{"size":1},{"size":2}]})");
  for (const config& c : {toml, json}) {
    CHECK(c.get<std::string>("name") == "x");
    CHECK(c.get<double>("ratio") == 1.5);
    CHECK(c.get<bool>("open"));
    CHECK(c.get<std::vector<int>>("ports") == std::vector{1, 2});
    CHECK(c.get<std::string>("when") == "2026-01-02");
    CHECK(c.section("http").get<int>("port") == 80);
    CHECK(c.has("http"));
    CHECK_FALSE(c.has("htt"));
    const auto pools = c.sections("pools");
    REQUIRE(pools.size() == 2);
    CHECK(pools[1].get<int>("size") == 2);
    CHECK(error_in([&] { return c.get<std::vector<int>>("pools"); }).why() == config_error::wrong_type);
  }
  CHECK(toml.keys() == json.keys());
}

TEST_CASE("EX-120 a file that is none is told with its line") {
  for (const char* text : {"a = 1\nb = = 2\n", "a = 1\na = 2\n", "a = 1\n[a]\n"}) {
    const config_error e = error_in([&] { return config_from_toml(text, "shop.toml"); });
    CHECK(e.why() == config_error::bad_file);
    CHECK(e.source() == "shop.toml:2");
  }
  CHECK(error_in([&] { return config_from_json("{\n\"a\": }", "shop.json"); }).source() == "shop.json:2");
  for (const std::string& text : {std::string("[1]"), std::string(), std::string("nul"), std::string(100'000, '['), "{\"a\":" + std::string(100'000, '[')})
    CHECK(error_in([&] { return config_from_json(text); }).why() == config_error::bad_file);
  CHECK(error_in([&] { return config_from_toml("a = " + std::string(100'000, '[')); }).why() == config_error::bad_file);
  CHECK(error_in([&] { return read_config("/nowhere/shop.toml"); }).why() == config_error::no_file);
  CHECK(error_in([&] { return read_config("/etc/passwd"); }).why() == config_error::bad_file);
  CHECK(config_from_json(R"({"large":18446744073709551615,"none":null})").get<double>("large") > 1e19);
}

TEST_CASE("EX-120 defaults, then the file, then the environment, then the command line: the last wins") {
  const temporary_file toml(".toml", "port = 1\nchannels = 2\nname = 'file'\nlease = '7s'\n");
  const config_sources base{.name = "coppice-test", .options = shop_options, .files = {toml.path, "/nowhere/else.toml"}};
  const config by_default = load_config({.name = "coppice-test", .options = shop_options});
  CHECK(by_default.get<int>("port") == 8888);
  CHECK(by_default.source("port") == "default");

  const config with_file = load_config(base);
  CHECK(with_file.get<int>("port") == 1);
  CHECK(with_file.get<duration>("lease") == 7s);
  CHECK(with_file.source("port") == toml.path + ":1");
  CHECK(with_file.get<double>("ratio") == 0.5);

  const variable channels("COPPICE_TEST_CHANNELS", "3"), timeout("COPPICE_TEST_HTTP_TIMEOUT", "250ms"), crash("COPPICE_TEST_ALLOW_CRASH", "yes"), empty("COPPICE_TEST_NAME", "");
  const config with_environment = load_config(base);
  CHECK(with_environment.get<int>("channels") == 3);
  CHECK(with_environment.source("channels") == "$COPPICE_TEST_CHANNELS");
  CHECK(with_environment.section("http").get<duration>("timeout") == 250ms);
  CHECK(with_environment.get<bool>("allow-crash"));
  CHECK(with_environment.get<std::string>("name") == "file");

  const config told = load_config(words{"--channels", "4", "--name=line", "9000", "--allow_crash=off"}.with(base));
  CHECK(told.get<int>("channels") == 4);
  CHECK(told.source("channels") == "--channels");
  CHECK(told.get<std::string>("name") == "line");
  CHECK(told.get<int>("port") == 9000);
  CHECK_FALSE(told.get<bool>("allow-crash"));
}

TEST_CASE("EX-120 an option may name its own variable; the program's own spelling wins over it") {
  const config_sources base{.name = "coppice-test", .options = shop_options};
  const variable port("COPPICE_TEST_PORT", "5");
  CHECK(load_config(base).get<int>("port") == 5);
  CHECK_FALSE(load_config({.options = shop_options, .environment = false}).get<int>("port") == 5);
}

TEST_CASE("EX-120 the command line: flags, values, plain words, and what is wrong with it") {
  const config_sources base{.name = "coppice-test", .options = shop_options, .environment = false};
  CHECK(load_config(words{"--allow-crash", "80"}.with(base)).get<bool>("allow-crash"));
  CHECK(load_config(words{"--allow-crash", "80"}.with(base)).get<int>("port") == 80);
  CHECK(load_config(words{"--channels", "5", "--", "81"}.with(base)).get<int>("port") == 81);
  const auto wrong = [&](std::initializer_list<const char*> line) { return error_in([&] { return load_config(words(line).with(base)); }); };
  CHECK(wrong({"--chanels", "3"}).why() == config_error::bad_usage);
  CHECK(contains(wrong({"--chanels", "3"}).what(), "--chanels is not known; did you mean channels?"));
  CHECK(contains(wrong({"--channels"}).what(), "--channels needs a value"));
  CHECK(contains(wrong({"1", "2"}).what(), "2 is one argument too many"));
  CHECK(contains(wrong({"-x"}).what(), "two dashes"));
  CHECK(std::string(wrong({"--channels", "x"}).what()) == "--channels: is \"x\"; expected a whole number of at least 1");
  CHECK(wrong({"--channels", "0"}).why() == config_error::out_of_range);
  CHECK(wrong({"--channels", "99999999999999999999"}).why() == config_error::out_of_range);
  CHECK(wrong({"--channels", "-3"}).why() == config_error::out_of_range);
  CHECK(wrong({"--lease", "5"}).why() == config_error::wrong_type);
  CHECK(wrong({"70000"}).source() == "argument 1 (port)");
}

TEST_CASE("EX-120 without declared options everything is taken") {
  const config c = load_config(words{"--http.port=80", "--verbose", "--name", "x", "--ports", "1,2,3"}.with({.environment = false}));
  CHECK(c.section("http").get<int>("port") == 80);
  CHECK(c.get<bool>("verbose"));
  CHECK(c.get<std::string>("name") == "x");
  CHECK(c.get<std::vector<int>>("ports") == std::vector{1, 2, 3});
}

TEST_CASE("EX-120 files: named by --config or a variable they must be there; an unknown key in one is a mistake") {
  const temporary_file toml(".toml", "channels = 2\n"), json(".json", R"({"channels": 5})"), typo(".toml", "\nchanels = 2\n"), part(".toml", "[store]\npath = 'x'\n");
  const config_sources base{.name = "coppice-test", .options = shop_options};
  CHECK(load_config(words{"--config", toml.path.c_str()}.with(base)).get<int>("channels") == 2);
  CHECK(load_config(words{"--config", toml.path.c_str(), "--config", json.path.c_str()}.with(base)).get<int>("channels") == 5);
  CHECK(error_in([&] { return load_config(words{"--config", "/nowhere.toml"}.with(base)); }).why() == config_error::no_file);
  const config_error unknown = error_in([&] { return load_config(words{"--config", typo.path.c_str()}.with(base)); });
  CHECK(unknown.why() == config_error::unknown);
  CHECK(contains(unknown.what(), ":2: chanels is not known; did you mean channels?"));
  CHECK(error_in([&] { return load_config(words{"--config", part.path.c_str()}.with(base)); }).why() == config_error::unknown);
  config_sources with_store = base;
  with_store.sections = {"store"};
  CHECK(load_config(words{"--config", part.path.c_str(), "--store.path=y"}.with(with_store)).section("store").get<std::string>("path") == "y");
  const variable file("COPPICE_TEST_CONFIG", json.path.c_str());
  CHECK(load_config(base).get<int>("channels") == 5);
  CHECK(load_config(words{"--config", toml.path.c_str()}.with(base)).get<int>("channels") == 2);   // the variable's file is not read
}

TEST_CASE("EX-120 a later list hides the items of an earlier one") {
  const temporary_file five(".toml", "anything = [1, 2, 3]\n"), none(".toml", "anything = []\n"), one(".json", R"({"anything": [9]})");
  const config_sources base{.options = shop_options};
  CHECK(load_config(words{"--config", five.path.c_str(), "--config", one.path.c_str()}.with(base)).get<std::vector<int>>("anything") == std::vector{9});
  CHECK(load_config(words{"--config", five.path.c_str(), "--config", none.path.c_str()}.with(base)).get<std::vector<int>>("anything").empty());
  CHECK(load_config(words{"--config", five.path.c_str(), "--anything", "7"}.with(base)).get<std::vector<int>>("anything") == std::vector{7});
  CHECK(error_in([&] { return load_config(words{"--config", five.path.c_str()}.with(base)).get<std::vector<bool>>("anything"); }).key() == "anything.0");
}

TEST_CASE("EX-120 times have units") {
  for (const auto& [text, value] : {std::pair{"500ms", duration(500ms)}, {"5s", duration(5s)}, {"1.5s", duration(1500ms)}, {"2min", duration(2min)}, {"1h", duration(1h)},
                                    {"3us", duration(3us)}, {"7ns", duration(7ns)}, {"0s", duration(0)}, {"infinity", infinity}})
    CHECK(parse_duration(text) == value);
  for (const char* text : {"", "5", "s", "5 s", "-5s", "5x", "1e3s", "1.2.3s", "99999999999h"})
    CHECK_THROWS_AS(parse_duration(text), config_error);
}

TEST_CASE("EX-120 help says what can be told") {
  const config_sources base{.name = "shop", .options = shop_options};
  const std::string text = usage_of(base);
  for (const char* part : {"usage: shop [port] [options]", "--channels N", "default 8", "--lease TIME", "default 5 s", "--allow-crash ", "also $COPPICE_TEST_PORT", "--config FILE", "$SHOP_CONFIG"})
    CHECK_MESSAGE(contains(text, part), part);
  CHECK(asks_for_help(words{"80", "--help"}.with(base)));
  CHECK(asks_for_help(words{"-h"}.with(base)));
  CHECK_FALSE(asks_for_help(words{"--", "--help"}.with(base)));
}
