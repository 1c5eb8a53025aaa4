// SPDX-License-Identifier: Apache-2.0
//
// config_layers: the table behind a config: flat settings, those of later sources behind those of earlier ones. Immutable once
// a config holds it; counted.
//
// A list is a setting of type `list` at its key, and one setting an item at `key.0`, `key.1`, …; a table is nothing but the
// beginnings of its keys. So a source that gives a whole list hides an earlier source's items.
#pragma once

#include <coppice/base/detail/sync.hpp>
#include <coppice/otp/config.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace coppice::detail {

struct config_layers {
  enum source : std::uint8_t { fallback, by_hand, file, environment, command_line };

  struct setting {
    std::string key;    // of the environment: in capitals, `.` and `-` as `_`
    config_value value;
    std::string where;  // shop.toml:3
    source from = by_hand;
    std::size_t layer = 0;  // files have one each
  };

  sync::atomic<std::uint32_t> holders{1};
  std::vector<setting> settings;  // the last that fits is the one that counts

  static config to_config(config_layers* made) noexcept { return config(made); }

  /// The setting that counts, or null.
  const setting* find(std::string_view key) const noexcept;
  /// Item `index` of a list that `of` announces.
  const setting* item(const setting& of, std::string_view key, std::int64_t index) const noexcept;
};

/// Same key: `-` and `_` are one.
bool same_key(std::string_view a, std::string_view b) noexcept;
/// `shop.http-port` → SHOP_HTTP_PORT
std::string environment_name(std::string_view key);

/// `value` as what is wanted.   Fails: config_error.
result<config_value, config_error> converted(const config_layers::setting& s, std::string_view key, const config_wanted& wanted);

/// Appends what the text says. Throws config_error, bad_file.
void read_toml(std::string_view text, std::string_view name, std::size_t layer, config_layers& into);
void read_json(std::string_view text, std::string_view name, std::size_t layer, config_layers& into);
/// A whole file.
void read_config_file(const std::string& file, std::size_t layer, config_layers& into);

}  // namespace coppice::detail
