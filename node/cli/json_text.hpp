#pragma once

/// Reading what the daemon's API says.

#include <boost/json.hpp>
#include <string>

namespace tequio::node {

/// The text under `key`; empty when there is none, or it is no text.
inline std::string json_text(const boost::json::object& of, const char* key) {
    const auto* value = of.if_contains(key);
    return value && value->is_string() ? std::string(value->as_string()) : std::string();
}

}  // namespace tequio::node
