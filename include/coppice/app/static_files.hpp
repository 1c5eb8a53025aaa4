// SPDX-License-Identifier: Apache-2.0
//
// static_files: a route that answers with the files of a folder.
//
//     const router app{files("/assets/*", "/srv/app/assets")};
//
// GET and HEAD, ranges, ETag and Last-Modified with the conditions on them. Nothing outside of the folder is ever opened, whatever
// a path says and wherever a symbolic link leads.
#pragma once

#include <coppice/app/http_message.hpp>
#include <coppice/app/router.hpp>

#include <string>

namespace coppice {

struct file_options {
  std::string index = "index.html";  ///< what stands for a folder; empty: nothing, 404
  std::string cache_control{};       ///< of all answers with a file, `public, max-age=3600` for instance; empty: none
  bool hidden = false;               ///< also what has a name that begins with a dot
};

/// The files of the folder `root`, under a path that ends with `/*`.
/// Several ranges in one request come as multipart/byteranges. Those that overlap or lie close together come as one; more than 16, or parts that
/// would take as much as the file, are answered with the whole of it: an answer is never larger than that.
/// Fails:  std::system_error when `root` cannot be opened; std::invalid_argument for a path that ends otherwise.
/// Cost:   up to 64 KiB are read and sent with the head; more goes from the system's cache to the socket without a copy.
route files(std::string path, const std::string& root, file_options options = {});

/// The content type that goes with a file's name; `application/octet-stream` where nothing is known.
std::string_view content_type_of(std::string_view file_name) noexcept;

}  // namespace coppice
