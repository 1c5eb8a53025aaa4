// SPDX-License-Identifier: Apache-2.0
//
// All public headers of the room app: for convenience; single headers compile faster.
#pragma once

#include <coppice/app/allowed_hosts.hpp>
#include <coppice/app/app_server.hpp>
#include <coppice/app/cross_origin.hpp>
#include <coppice/app/event_stream.hpp>
#include <coppice/app/health.hpp>
#include <coppice/app/http_handler.hpp>
#include <coppice/app/http_message.hpp>
#include <coppice/app/http_server.hpp>
#include <coppice/app/metrics.hpp>
#include <coppice/app/request_body.hpp>
#include <coppice/app/response_writer.hpp>
#include <coppice/app/router.hpp>
#include <coppice/app/static_files.hpp>
#include <coppice/app/throw_trace.hpp>
#include <coppice/app/websocket.hpp>
