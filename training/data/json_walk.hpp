#pragma once

/// One pass over a JSON text without building a tree: what a stranger's file makes this program
/// remember is decided by the visitor, not by the file. Boost.JSON's parser is included in
/// json_walk.cpp alone.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace tequio::training {

enum class json_kind { null, boolean, number, text, array, object };

/// Bounds of a text that is walked; what is beyond them is an error.
struct json_limits {
    std::size_t depth = 8;          ///< objects and arrays in one another
    std::size_t members = 65536;    ///< of all objects together
    std::size_t key_bytes = 256;    ///< of one key
    std::size_t text_bytes = 4096;  ///< of one text or number
};

/// Is told of each value where it begins.
class json_visitor {
public:
    virtual ~json_visitor() = default;
    /// `path`: the keys of the objects around the value, outermost first; a value in an array has
    /// the array's path. `text`: of a text what it says, of a number and a boolean as it is
    /// written, else empty. An error ends the walk.
    virtual base::result<void> value(std::span<const std::string> path, json_kind kind,
                                     std::string_view text) = 0;
};

/// Walks `text`, one JSON value. Errors: `errc::bad_state` for what is no JSON, beyond `limits`, or
/// has a key twice in one object; the visitor's own. Safe on any input; remembers the keys of the
/// objects that are open.
base::result<void> walk_json(std::string_view text, const json_limits& limits,
                             json_visitor& visitor);

}  // namespace tequio::training
