// SPDX-License-Identifier: Apache-2.0
//
// config_formats: TOML by toml++, JSON by nlohmann's parser, both header-only and known to this file alone. Their trees
// become flat settings; every setting knows its line, as far as the parser tells.
#include "otp/config_layers.hpp"

#include <nlohmann/json.hpp>
#include <toml++/toml.h>

#include <limits>
#include <sstream>

namespace coppice::detail {

namespace {

constexpr int deepest = 32;

/// Where the settings of one text go.
struct target {
  config_layers& into;
  std::string_view name;
  std::size_t layer;

  void add(std::string_view key, config_value v, std::size_t line) const {
    std::string where(name);
    if (line != 0) where += ':' + std::to_string(line);
    into.settings.push_back({.key = std::string(key), .value = std::move(v), .where = std::move(where), .from = config_layers::file, .layer = layer});
  }
  void add_list(std::string_view key, std::size_t items, std::size_t line) const {
    config_value v(static_cast<std::int64_t>(items));
    v.is = config_value::list;
    add(key, std::move(v), line);
  }
  [[noreturn]] void refuse(std::size_t line, std::string_view what, std::string_view key = {}) const {
    std::string where(name);
    if (line != 0) where += ':' + std::to_string(line);
    throw config_error(config_error::bad_file, std::string(key), where, where + ": " + std::string(what));
  }
};

std::string below(std::string_view key, std::string_view name) { return key.empty() ? std::string(name) : std::string(key) + '.' + std::string(name); }

// --- TOML ------------------------------------------------------------------------------------------------------------

void walk(const toml::node& n, const std::string& key, const target& to, int depth) {
  const std::size_t line = n.source().begin.line;
  if (depth > deepest) to.refuse(line, "is nested too deeply", key);
  if (const toml::table* t = n.as_table()) {
    for (const auto& [name, value] : *t) walk(value, below(key, name.str()), to, depth + 1);
  } else if (const toml::array* a = n.as_array()) {
    to.add_list(key, a->size(), line);
    std::size_t i = 0;
    for (const toml::node& value : *a) walk(value, below(key, std::to_string(i++)), to, depth + 1);
  } else if (const auto* text = n.as_string()) {
    to.add(key, std::string_view(text->get()), line);
  } else if (const auto* whole = n.as_integer()) {
    to.add(key, whole->get(), line);
  } else if (const auto* real = n.as_floating_point()) {
    to.add(key, real->get(), line);
  } else if (const auto* truth = n.as_boolean()) {
    to.add(key, truth->get(), line);
  } else {                                                  // dates and times: as they are written
    std::ostringstream written;
    n.visit([&](const auto& value) {
      if constexpr (toml::is_date<decltype(value)> || toml::is_time<decltype(value)> || toml::is_date_time<decltype(value)>) written << value.get();
    });
    to.add(key, written.str(), line);
  }
}

// --- JSON ------------------------------------------------------------------------------------------------------------

void walk(const nlohmann::json& n, const std::string& key, const target& to, int depth) {
  if (depth > deepest) to.refuse(0, key + " is nested too deeply", key);
  switch (n.type()) {
    case nlohmann::json::value_t::object:
      for (const auto& [name, value] : n.items()) walk(value, below(key, name), to, depth + 1);
      return;
    case nlohmann::json::value_t::array:
      to.add_list(key, n.size(), 0);
      for (std::size_t i = 0; i < n.size(); ++i) walk(n[i], below(key, std::to_string(i)), to, depth + 1);
      return;
    case nlohmann::json::value_t::string: return to.add(key, n.get<std::string>(), 0);
    case nlohmann::json::value_t::boolean: return to.add(key, n.get<bool>(), 0);
    case nlohmann::json::value_t::number_integer: return to.add(key, n.get<std::int64_t>(), 0);
    case nlohmann::json::value_t::number_unsigned:
      if (const auto u = n.get<std::uint64_t>(); u > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        return to.add(key, n.get<double>(), 0);
      else
        return to.add(key, static_cast<std::int64_t>(u), 0);
    case nlohmann::json::value_t::number_float: return to.add(key, n.get<double>(), 0);
    default: return;                                        // null: not set
  }
}

/// `… at line 3, column 5: …` in nlohmann's message; the line, or 0.
std::size_t line_in(std::string_view what) {
  const std::size_t at = what.find("line ");
  return at == std::string_view::npos ? 0 : static_cast<std::size_t>(std::atoll(what.data() + at + 5));
}

/// nlohmann's message without its number: `[json.exception.parse_error.101] parse error at …`.
std::string_view plain(std::string_view what) {
  const std::size_t end = what.find("] ");
  return what.starts_with('[') && end != std::string_view::npos ? what.substr(end + 2) : what;
}

/// Nothing may nest deeper than our walk, and than the parser's and its destructor's stack can take.
bool nests_too_deeply(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string && c == '\\') ++i;
    else if (c == '"') in_string = !in_string;
    else if (!in_string && (c == '[' || c == '{') && ++depth > deepest) return true;
    else if (!in_string && (c == ']' || c == '}')) --depth;
  }
  return false;
}

}  // namespace

void read_toml(std::string_view text, std::string_view name, std::size_t layer, config_layers& into) {
  const target to{into, name, layer};
  try {
    walk(toml::parse(text, name), {}, to, 0);
  } catch (const toml::parse_error& e) {
    to.refuse(e.source().begin.line, e.description());
  }
}

void read_json(std::string_view text, std::string_view name, std::size_t layer, config_layers& into) {
  const target to{into, name, layer};
  if (nests_too_deeply(text)) to.refuse(0, "is nested too deeply");
  try {
    const nlohmann::json all = nlohmann::json::parse(text);
    if (!all.is_object()) to.refuse(1, "expected an object, {…}");
    walk(all, {}, to, 0);
  } catch (const nlohmann::json::exception& e) {
    to.refuse(line_in(e.what()), plain(e.what()));
  }
}

}  // namespace coppice::detail
