#include "training/data/json_walk.hpp"

#include <boost/json/basic_parser_impl.hpp>
#include <optional>
#include <set>
#include <vector>

#include "training/errc.hpp"
#include "training/round/lines.hpp"

namespace tequio::training {
namespace json = boost::json;

namespace {

/// What boost::json::basic_parser calls. False ends the parse; `fault` then says why.
class handler {
public:
    static constexpr std::size_t max_object_size = static_cast<std::size_t>(-1);
    static constexpr std::size_t max_array_size = static_cast<std::size_t>(-1);
    static constexpr std::size_t max_key_size = static_cast<std::size_t>(-1);
    static constexpr std::size_t max_string_size = static_cast<std::size_t>(-1);
    using code = boost::system::error_code;

    handler(const json_limits& limits, json_visitor& visitor)
        : limits_(limits), visitor_(visitor) {}

    std::optional<base::error> fault;

    bool on_document_begin(code&) { return true; }
    bool on_document_end(code&) { return true; }
    bool on_array_begin(code& ec) { return begins(json_kind::array, {}, ec) && open(false); }
    bool on_array_end(std::size_t, code&) { return close(); }
    bool on_object_begin(code& ec) { return begins(json_kind::object, {}, ec) && open(true); }
    bool on_object_end(std::size_t, code&) { return close(); }
    bool on_string_part(json::string_view s, std::size_t, code& ec) { return add(s, ec); }
    bool on_string(json::string_view s, std::size_t, code& ec) {
        return add(s, ec) && ends(json_kind::text, ec);
    }
    bool on_number_part(json::string_view s, code& ec) { return add(s, ec); }
    bool on_int64(std::int64_t, json::string_view s, code& ec) { return number(s, ec); }
    bool on_uint64(std::uint64_t, json::string_view s, code& ec) { return number(s, ec); }
    bool on_double(double, json::string_view s, code& ec) { return number(s, ec); }
    bool on_bool(bool b, code& ec) { return begins(json_kind::boolean, b ? "true" : "false", ec); }
    bool on_null(code& ec) { return begins(json_kind::null, {}, ec); }
    bool on_comment_part(json::string_view, code&) { return true; }
    bool on_comment(json::string_view, code&) { return true; }
    bool on_key_part(json::string_view s, std::size_t, code& ec) {
        if (key_.size() + s.size() > limits_.key_bytes) {
            return refuse("a key of more than " + std::to_string(limits_.key_bytes) + " bytes", ec);
        }
        key_ += s;
        return true;
    }
    bool on_key(json::string_view s, std::size_t n, code& ec) {
        if (!on_key_part(s, n, ec)) return false;
        if (++members_ > limits_.members) {
            return refuse("more than " + std::to_string(limits_.members) + " keys", ec);
        }
        if (!open_.back().keys.insert(key_).second) {
            return refuse("the key " + quoted(key_) + " twice in one object", ec);
        }
        path_.back() = std::move(key_);
        key_.clear();
        return true;
    }

private:
    /// An object or an array that has begun and not ended.
    struct level {
        bool object;
        std::set<std::string> keys;
    };

    bool refuse(const std::string& what, code& ec) {
        fault = fail(errc::bad_state, what);
        ec = json::error::exception;
        return false;
    }
    bool begins(json_kind kind, std::string_view text, code& ec) {
        const auto told = visitor_.value(path_, kind, text);
        if (told) return true;
        fault = told.error();
        ec = json::error::exception;
        return false;
    }
    bool add(json::string_view s, code& ec) {
        if (text_.size() + s.size() > limits_.text_bytes) {
            return refuse("a value of more than " + std::to_string(limits_.text_bytes) + " bytes",
                          ec);
        }
        text_ += s;
        return true;
    }
    bool ends(json_kind kind, code& ec) {
        const bool goes_on = begins(kind, text_, ec);
        text_.clear();
        return goes_on;
    }
    bool number(json::string_view s, code& ec) { return add(s, ec) && ends(json_kind::number, ec); }
    bool open(bool object) {
        open_.push_back({object, {}});
        if (object) path_.emplace_back();
        return true;
    }
    bool close() {
        if (open_.back().object) path_.pop_back();
        open_.pop_back();
        return true;
    }

    const json_limits& limits_;
    json_visitor& visitor_;
    std::vector<std::string> path_;
    std::vector<level> open_;
    std::string key_;
    std::string text_;
    std::size_t members_ = 0;
};

}  // namespace

base::result<void> walk_json(std::string_view text, const json_limits& limits,
                             json_visitor& visitor) {
    json::parse_options options;
    options.max_depth = limits.depth;
    json::basic_parser<handler> parser(options, limits, visitor);
    boost::system::error_code problem;
    const auto read = parser.write_some(false, text.data(), text.size(), problem);
    if (parser.handler().fault) return *parser.handler().fault;
    if (problem || read != text.size()) {
        const auto why = problem ? problem.message() : std::string("more text behind the value");
        return fail(errc::bad_state, "not JSON at byte " + std::to_string(read) + ": " + why);
    }
    return {};
}

}  // namespace tequio::training
