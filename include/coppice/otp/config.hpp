// SPDX-License-Identifier: Apache-2.0
//
// config: what a program was told: defaults, a TOML or JSON file, the environment, the command line; who comes later wins.
//
//     const config c = load_config({.name = "shop", .options = {{.key = "channels", .fallback = 8, .least = 1}}, .argc = argc, .argv = argv});
//     int n = c.get<int>("channels");             // 8, unless shop.toml, $SHOP_CHANNELS or --channels says otherwise
//
// A key is a path: `http.port` is `port` in the table `[http]` of a file, `$SHOP_HTTP_PORT`, `--http.port`. `-` and `_` are
// the same in keys. Whatever is wrong is told with the key, with the place where the value stands, and with what was expected.
//
// Values from files have types; words of the environment and of the command line are read as what the reader asks for.
// A configuration never changes; copies share it. Thread: any.
#pragma once

#include <coppice/base/result.hpp>
#include <coppice/base/time.hpp>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace coppice {

template <class T>
class secret;
class config;

/// Why a configuration cannot be used. `what()` says it in words.   Spec: EX-120.
class config_error : public std::exception {
 public:
  enum kind : std::uint8_t { missing, wrong_type, out_of_range, unknown, bad_file, no_file, bad_usage };
  config_error(kind why, std::string key, std::string source, std::string what)
      : key_(std::move(key)), source_(std::move(source)), what_(std::move(what)), why_(why) {}
  kind why() const noexcept { return why_; }
  const std::string& key() const noexcept { return key_; }
  /// Where the value stands: `shop.toml:3`, `$SHOP_PORT`, `--port`, `default`.
  const std::string& source() const noexcept { return source_; }
  const char* what() const noexcept override { return what_.c_str(); }

 private:
  std::string key_;
  std::string source_;
  std::string what_;
  kind why_;
};

/// One value, with its type as far as its source knows it.
struct config_value {
  enum type : std::uint8_t { none, boolean, integer, floating, text, time, word, list };

  config_value() noexcept = default;
  template <std::same_as<bool> T>
  config_value(T value) noexcept : number(value), is(boolean) {}
  template <std::integral T>
  requires(!std::same_as<T, bool>)
  config_value(T value) noexcept : number(static_cast<std::int64_t>(value)), is(integer) {}
  template <std::floating_point T>
  config_value(T value) noexcept : real(value), is(floating) {}
  config_value(duration value) noexcept : number(value.count()), is(time) {}
  config_value(const char* value) : words(value), is(text) {}
  config_value(std::string_view value) : words(value), is(text) {}
  config_value(std::string value) noexcept : words(std::move(value)), is(text) {}

  std::int64_t number = 0;  ///< boolean, integer, time in nanoseconds, list: how many
  double real = 0;
  std::string words{};  ///< text; word: as it was written, its type is up to the reader
  type is = none;

  friend bool operator==(const config_value&, const config_value&) = default;
};

/// Something that a program may be told.
struct config_option {
  std::string key{};
  config_value fallback{};  ///< also says the type; none: no default, and any type
  std::string help{};
  std::string environment{};  ///< the variable's name, if it is not made from the program's name and the key
  bool positional = false;    ///< also taken from the next plain word of the command line
  std::int64_t least = std::numeric_limits<std::int64_t>::min();  ///< of a whole number; of a time in nanoseconds
  std::int64_t most = std::numeric_limits<std::int64_t>::max();

  friend bool operator==(const config_option&, const config_option&) = default;
};

/// A key with its value, for a configuration made by hand.
struct config_setting {
  std::string key;
  config_value value;
};

namespace detail {

struct config_layers;

/// What a reader wants a value to be.
struct config_wanted {
  config_value::type is = config_value::text;
  std::int64_t least = std::numeric_limits<std::int64_t>::min();
  std::int64_t most = std::numeric_limits<std::int64_t>::max();
  bool hidden = false;  ///< never shown in an error
};

template <class T>
struct config_reader {
  static_assert(!sizeof(T), "coppice: a configuration holds bool, numbers, std::string, duration, secret and std::vector of these.");
  static constexpr config_wanted wanted{};   // so that this is the only error
  static T take(config_value&& v);
};
template <>
struct config_reader<bool> {
  static constexpr config_wanted wanted{.is = config_value::boolean};
  static bool take(config_value&& v) noexcept { return v.number != 0; }
};
template <std::integral T>
struct config_reader<T> {
  static_assert(sizeof(T) < 8 || std::is_signed_v<T>, "coppice: a configuration holds whole numbers up to std::int64_t.");
  static constexpr config_wanted wanted{.is = config_value::integer, .least = std::numeric_limits<T>::min(), .most = std::numeric_limits<T>::max()};
  static T take(config_value&& v) noexcept { return static_cast<T>(v.number); }
};
template <std::floating_point T>
struct config_reader<T> {
  static constexpr config_wanted wanted{.is = config_value::floating};
  static T take(config_value&& v) noexcept { return static_cast<T>(v.real); }
};
template <>
struct config_reader<std::string> {
  static constexpr config_wanted wanted{.is = config_value::text};
  static std::string take(config_value&& v) noexcept { return std::move(v.words); }
};
template <>
struct config_reader<duration> {
  static constexpr config_wanted wanted{.is = config_value::time, .least = 0};
  static duration take(config_value&& v) noexcept { return duration(v.number); }
};
template <class T>
struct config_reader<secret<T>> {
  static constexpr config_wanted hide(config_wanted w) noexcept { return w.hidden = true, w; }
  static constexpr config_wanted wanted = hide(config_reader<T>::wanted);
  static secret<T> take(config_value&& v) { return secret<T>(config_reader<T>::take(std::move(v))); }
};

template <class T>
struct config_item {
  static constexpr bool is_list = false;
  using type = T;
};
template <class T>
struct config_item<std::vector<T>> {
  static constexpr bool is_list = true;
  using type = T;
};

/// What a fallback given as `T` is read as: text for whatever is text.
template <class T>
using config_plain = std::conditional_t<std::convertible_to<const T&, std::string_view>, std::string, T>;

}  // namespace detail

/// What a program, or one of its parts, was told.
/// Thread: any; copies share one table.   Cost: a look-up is linear in the number of settings.   Spec: EX-120.
class config {
 public:
  config() noexcept;
  config(std::initializer_list<config_setting> settings);
  config(const config& other) noexcept;
  config(config&& other) noexcept : layers_(std::exchange(other.layers_, nullptr)), prefix_(std::move(other.prefix_)) {}
  config& operator=(config other) noexcept {
    std::swap(layers_, other.layers_);
    prefix_.swap(other.prefix_);
    return *this;
  }
  ~config();

  /// The value of `key`.
  /// Fails:    config_error: missing, wrong_type, out_of_range.
  template <class T>
  T get(std::string_view key) const {
    return try_get<T>(key).value();
  }
  /// The value of `key`, or `fallback` where there is none.   Fails: config_error: wrong_type, out_of_range.
  template <class T>
  detail::config_plain<T> get(std::string_view key, const T& fallback) const {
    auto found = try_get<detail::config_plain<T>>(key);
    if (found) return *std::move(found);
    if (found.error().why() != config_error::missing) throw std::move(found.error());
    return detail::config_plain<T>(fallback);
  }
  /// The same with the error as a value.
  template <class T>
  [[nodiscard]] result<T, config_error> try_get(std::string_view key) const {
    using item = typename detail::config_item<T>::type;
    using reader = detail::config_reader<item>;
    if constexpr (detail::config_item<T>::is_list) {
      return find_list(key, reader::wanted).transform([](std::vector<config_value>&& found) {
        T all;
        for (config_value& v : found) all.push_back(reader::take(std::move(v)));
        return all;
      });
    } else {
      return find(key, reader::wanted).transform([](config_value&& v) { return T(reader::take(std::move(v))); });
    }
  }

  /// True if anything says what `key` is: a value, a list or a table.
  bool has(std::string_view key) const noexcept;
  /// What is told about one part: its keys are those that begin with `name.` here.
  config section(std::string_view name) const;
  /// The tables of a list of tables: `[[name]]` in TOML.
  std::vector<config> sections(std::string_view name) const;
  /// Where the value of `key` stands: `shop.toml:3`, `$SHOP_PORT`, `--port`, `default`; empty if there is none.
  std::string source(std::string_view key) const;
  /// All keys that have a value, sorted.
  std::vector<std::string> keys() const;

 private:
  friend struct detail::config_layers;
  explicit config(detail::config_layers* layers) noexcept : layers_(layers) {}
  result<config_value, config_error> find(std::string_view key, const detail::config_wanted& wanted) const;
  result<std::vector<config_value>, config_error> find_list(std::string_view key, const detail::config_wanted& wanted) const;
  std::string full(std::string_view key) const;

  detail::config_layers* layers_ = nullptr;  // immutable, counted; null: nothing
  std::string prefix_{};                     // empty, or with a dot at its end
};

/// Where to look. Later ones win over earlier ones: the options' defaults, files, the environment, the command line.
struct config_sources {
  std::string name{};                    ///< the program's: `$SHOP_…`; empty: no environment
  std::vector<config_option> options{};  ///< if there are any, whatever is none of them is an error
  std::vector<std::string> sections{};   ///< tables of files, and beginnings of keys, that others know
  std::vector<std::string> files{};      ///< .toml or .json; read where they exist. `--config FILE` or `$SHOP_CONFIG` must exist
  bool environment = true;
  int argc = 0;
  const char* const* argv = nullptr;     ///< argv[0] is not looked at. `--key value`, `--key=value`, `--flag`, plain words
};

/// Reads all sources.
/// Fails:    config_error: what is not known, has the wrong type or range, a file that is not there or cannot be read.
/// Blocks:   for files.   Thread: any.   Spec: EX-120.
config load_config(const config_sources& sources);
/// One file; its name says what it is: .toml or .json.
config read_config(const std::string& file);
/// From text. `name`: what errors call it.
config config_from_toml(std::string_view text, std::string_view name = "toml");
config config_from_json(std::string_view text, std::string_view name = "json");

/// Help for the command line, as `--help` prints it.
std::string usage_of(const config_sources& sources);
/// True if the command line asks for it: `--help` or `-h`.
bool asks_for_help(const config_sources& sources) noexcept;

/// `500ms`, `5s`, `2min`, `1h`, `3us`, `7ns`, `infinity`; a number may have a fraction.
/// Fails:    config_error, wrong_type.
duration parse_duration(std::string_view text);

}  // namespace coppice
