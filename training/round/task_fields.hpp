#pragma once

/// The fields of a task that a job file has too: bounds in one place for both.

#include <optional>

#include "training/round/recipe_fields.hpp"
#include "training/task.hpp"

namespace tequio::training {

inline constexpr std::size_t nonce_digits = 32;
/// 2200-01-01: no honest clock is beyond it, and RFC 3339 text stays 20 characters long.
inline constexpr std::int64_t time_max_seconds = 7258118400;
inline constexpr std::string_view name_allowed = "1 to 64 bytes of printable UTF-8";
inline constexpr std::string_view purpose_allowed = "at most 1024 bytes of printable UTF-8";
inline constexpr std::string_view license_allowed =
    "an SPDX expression of at most 128 characters, or NOASSERTION";

bool name_is_valid(std::string_view text);
bool purpose_is_valid(std::string_view text);
bool license_is_valid(std::string_view text);
/// How a task's text says that there are no weights to start from, and so no licence of them.
inline constexpr std::string_view no_base_license = "none";
bool base_license_is_valid(std::string_view text);

/// DESIGN.md section 8: the floor is 5 %, a task may only raise it.
inline constexpr real_bounds check_bounds{0.05, 1};
/// Beyond 64 nodes a crew is in groups (training/crew/groups.md), so many at most.
inline constexpr std::uint64_t crew_nodes_max = 1024;
/// The members of a team have to hear of one another, so a model with cuts has a crew in one piece.
inline constexpr std::uint64_t divided_crew_nodes_max = 64;
inline constexpr std::string_view divided_crew_allowed = "at most 64 with slices.cuts";
inline constexpr std::uint64_t copies_max = 64;

/// Visitors as in recipe_fields.hpp. `accept` and the order of crew_min and crew_max are the
/// caller's.
template <class Trust, class Visitor>
void visit_trust(Trust& t, Visitor& v) {
    v.section("trust");
    v.real("check", t.check, check_bounds);
    v.integer("settle", t.settle, 1, 1000);
    v.integer("crew_min", t.crew_min, 1, crew_nodes_max);
    v.integer("crew_max", t.crew_max, 1, crew_nodes_max);
}

template <class Keep, class Visitor>
void visit_keep(Keep& k, Visitor& v) {
    v.section("keep");
    v.integer("copies", k.copies, 1, copies_max);
    v.integer("state_every", k.state_every, 1, recipe_limits::rounds);
    v.integer("days", k.days, 1, 3650);
}

/// Visitor that keeps the first fault.
struct field_checker_for_task {
    std::optional<field_fault> fault;
    std::string_view section_name;

    void section(std::string_view name) { section_name = name; }
    void integer(std::string_view key, std::uint64_t value, std::uint64_t low, std::uint64_t high) {
        if (value < low || value > high) {
            add(key, std::to_string(value),
                integer_range_text(static_cast<std::int64_t>(low),
                                   static_cast<std::int64_t>(high)));
        }
    }
    void real(std::string_view key, double value, const real_bounds& bounds) {
        if (!bounds.hold(value)) add(key, base::shortest(value), bounds.text());
    }
    void add(std::string_view key, std::string found, std::string allowed) {
        if (fault) return;
        fault = field_fault{std::string(section_name) + "." + std::string(key), std::move(found),
                            std::move(allowed)};
    }
};

}  // namespace tequio::training
