// SPDX-License-Identifier: Apache-2.0
//
// ws_deflate: messages as a client of a WebSocket compresses them (RFC 7692).
#pragma once

#include <boost/beast/zlib/deflate_stream.hpp>
#include <boost/beast/zlib/inflate_stream.hpp>

#include <string>
#include <string_view>

namespace coppice::testing {

/// What a server sends, with its window, as long as the connection lives.
class inflater {
 public:
  /// At most 100,000 bytes.
  std::string operator()(std::string_view raw) {
    std::string in(raw);
    in.append("\0\0\xff\xff", 4);
    std::string out(100'000, '\0');
    boost::beast::zlib::z_params p;
    p.next_in = in.data();
    p.avail_in = in.size();
    p.next_out = out.data();
    p.avail_out = out.size();
    boost::beast::error_code ec;
    z_.write(p, boost::beast::zlib::Flush::sync, ec);
    out.resize(p.total_out);
    return out;
  }

 private:
  boost::beast::zlib::inflate_stream z_;
};

/// A message by itself; at most 10,000 bytes come of it.
inline std::string deflated(const std::string& text) {
  std::string out(10'000, '\0');
  boost::beast::zlib::deflate_stream z;
  boost::beast::zlib::z_params p;
  p.next_in = text.data();
  p.avail_in = text.size();
  p.next_out = out.data();
  p.avail_out = out.size();
  boost::beast::error_code ec;
  z.write(p, boost::beast::zlib::Flush::sync, ec);
  out.resize(p.total_out - 4);  // the mark of the flush is left out
  return out;
}

}  // namespace coppice::testing
