// SPDX-License-Identifier: Apache-2.0
//
// cross_origin: which web pages may have a browser do something here. Any page may send requests to any server, and the browser adds what it
// has for that one: cookies, a place in the local network. It says in `Origin` where the page came from.
//
//     const router app{use(refuse_cross_origin()),                                   // POST, PUT, DELETE … of other sites' pages: 403
//                      post("/channels", &allocate)};
//     refuse_cross_origin({"https://app.example.com"})                               // that site's pages may, too
//
// WebSockets check it by themselves (`websocket_options::allowed_origins`). Programs that are no browsers send no Origin, and are let in: this
// protects users of browsers, not the server; who may do what is another question. By which names the server may be called is one, too: a page
// whose owner has its name mean this server's address counts as one of ours, unless refuse_other_hosts stands in front (allowed_hosts.hpp).
#pragma once

#include <coppice/app/http_message.hpp>
#include <coppice/app/router.hpp>

#include <span>
#include <string>
#include <vector>

namespace coppice {

/// Whether `request` comes from a page of another origin, which is scheme, host and port: neither of the one that its Host names, nor of
/// one of `allowed`. `null`, which is what a browser says of a page that is of no site, is another one.
/// Note:    without TLS here a page that came by HTTPS is taken for one of ours if its host is: a proxy may have taken the TLS away. A proxy
///          that changes Host has to be told of in `allowed`.
/// Thread:  any.   Cost: two look-ups of a header.
bool is_cross_origin(const http_request& request, std::span<const std::string> allowed = {});

/// A middleware that answers what is_cross_origin and may change something: every method but GET, HEAD and OPTIONS.
/// `allowed`: as `https://app.example.com:8443`; `*`: all.   Fails: std::invalid_argument for what is none.
http_middleware refuse_cross_origin(std::vector<std::string> allowed = {},
                                    http_response answer = plain_answer(403, "the page that asks is of another site"));

}  // namespace coppice
