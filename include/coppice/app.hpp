// SPDX-License-Identifier: Apache-2.0
//
// Everything of the room app that is included by name elsewhere: for convenience; single headers compile faster.
#pragma once

#include <coppice/app/http_message.hpp>
#include <coppice/app/http_server.hpp>
#include <coppice/app/router.hpp>
#include <coppice/app/throw_trace.hpp>
