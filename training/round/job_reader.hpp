#pragma once

/// Reads the values of a job file one by one, gathers every fault with its line, and remembers
/// which keys it was asked for, so that the others can be called unknown.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "training/data/toml_document.hpp"
#include "training/round/recipe_fields.hpp"

namespace tequio::training {

/// A visitor of the field lists of recipe_fields.hpp and task_fields.hpp. A value that is missing
/// keeps what it was; if that is out of bounds, the key is one that every job file must have.
class job_reader {
public:
    explicit job_reader(const toml_value& root) : root_(root) {}

    void section(std::string_view name);
    void integer(std::string_view key, std::uint64_t& value, std::uint64_t low, std::uint64_t high);
    void signed_integer(std::string_view key, int& value, int low, int high);
    void real(std::string_view key, double& value, const real_bounds& bounds);
    void flag(std::string_view key, bool& value);
    void word(std::string_view key, std::string& value, const word_choice& choice);
    /// Blobs are made of files that other keys name: nothing to read.
    void optional_blob(std::string_view, std::optional<base::blob_ref>&, std::string_view) {}
    void constant(std::string_view key, const word_choice& choice);
    /// A list of layers; which there may be is for a check between fields to say.
    void layers(std::string_view key, std::vector<std::uint64_t>& value);

    /// Any text, judged by the caller. False: missing or of another type (a fault then).
    bool text(std::string_view key, std::string& value, std::string_view allowed);
    /// Any value, judged by the caller; nullptr when missing.
    const toml_value* any(std::string_view key);
    /// A key that this version lacks: its presence is a fault. `has`: what there is instead.
    void lacking(std::string_view key, std::string_view has);
    /// Declares a key without reading it.
    void know(std::string_view key) { known_.push_back(full(key)); }

    /// Records a fault at the line of `key` (in the present section).
    void refuse(std::string_view key, std::string found, std::string allowed, bool lacks = false);
    /// Records a fault of a check between fields, under its recipe key.
    void refuse(field_fault fault);
    /// After everything was read: a fault for every key that nobody asked for.
    void refuse_unknown();

    bool failed() const { return !faults_.empty(); }
    /// The faults in the order of the file, one a line, each begun by `file_name`:line. `lacks` is
    /// set when the first is about something that this version lacks.
    std::string report(std::string_view file_name, bool& lacks) const;

private:
    struct fault {
        std::uint64_t line;
        field_fault what;
    };
    std::string full(std::string_view key) const;
    const toml_value* find(std::string_view key);
    void missing(std::string_view key, std::string allowed);
    bool read_real(std::string_view key, const toml_value& node, double& value,
                   const real_bounds& bounds);
    void read_beta(std::size_t index, double& value);
    std::uint64_t line_of(std::string_view full_key) const;
    void refuse_unknown_in(const toml_value& table, const std::string& path);

    const toml_value& root_;
    std::string section_;
    std::vector<std::string> known_;  ///< full keys, in the order asked for
    std::vector<fault> faults_;
};

}  // namespace tequio::training
