#include <algorithm>
#include <cmath>
#include <map>

#include "base/text.hpp"
#include "training/data/csv_reader.hpp"
#include "training/data/raw_examples.hpp"
#include "training/errc.hpp"
#include "training/numerics/float_bits.hpp"
#include "training/round/lines.hpp"

namespace tequio::training {
namespace {

using record = std::vector<std::string>;

std::string_view trimmed(std::string_view text) {
    const auto first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// A finite float32; subnormals become +0. What an operand of a product may not be is left to who
/// scales it (`dataset_view::read_example`), for a column may have any unit.
std::optional<float> number_of(std::string_view text) {
    auto plain = trimmed(text);
    if (plain.starts_with('+')) plain.remove_prefix(1);
    const auto x = base::parse_real(plain);
    if (!x || std::abs(*x) > static_cast<double>(std::numeric_limits<float>::max())) {
        return std::nullopt;
    }
    return numerics::flush_subnormal(static_cast<float>(*x));
}

/// Reads all files into one set of examples.
class csv_gatherer {
public:
    explicit csv_gatherer(const example_options& o) : o_(o) { out_.value_bytes = 4; }

    base::result<void> add(const source_file& file) {
        file_name_ = file.name;
        csv_reader in(file.name, base::as_text(file.bytes), example_limits::inputs + 1);
        record fields;
        bool first = true;
        const auto before = out_.examples();
        for (;;) {
            TEQUIO_TRY(const bool more, in.next(fields));
            if (!more) break;
            line_ = in.line();
            if (first) TEQUIO_CHECK(meet_columns(fields));
            if (!first || !header_) TEQUIO_CHECK(add_record(fields));
            first = false;
        }
        if (out_.examples() != before) return {};
        return fail(errc::bad_data, file.name + ": found no example, allowed: a line an example");
    }

    base::result<raw_examples> finish() {
        std::vector<std::string> names;
        bool integers = true;
        for (const auto& [name, label] : labels_) {
            names.push_back(name);
            integers = integers && base::parse_i64(name).has_value();
        }
        if (integers) {
            std::sort(names.begin(), names.end(), [](const auto& a, const auto& b) {
                return *base::parse_i64(a) < *base::parse_i64(b);
            });
        }
        // Labels were counted as they came; now each gets the place of its name.
        std::vector<std::uint32_t> place(names.size());
        for (std::uint32_t i = 0; i < names.size(); ++i) place[labels_.at(names[i])] = i;
        for (auto& label : out_.labels) label = place[label];
        out_.class_names = std::move(names);
        return std::move(out_);
    }

private:
    base::error refused(std::size_t column, const std::string& found, const std::string& allowed) {
        auto place = file_name_ + ":" + std::to_string(line_);
        if (column != 0) place += ":" + std::to_string(column);
        return fail(errc::bad_data, place + ": found " + found + ", allowed: " + allowed);
    }

    bool looks_like_header(const record& fields) const {
        return std::any_of(fields.begin(), fields.end() - 1,
                           [](const auto& f) { return !number_of(f); });
    }

    /// The first line of a file.
    base::result<void> meet_columns(const record& fields) {
        header_ = o_.header.value_or(!o_.label.empty() || looks_like_header(fields));
        if (fields.size() < 2) {
            const bool other = fields[0].find_first_of(";\t") != std::string::npos;
            return refused(
                0, std::to_string(fields.size()) + (fields.size() == 1 ? " field" : " fields"),
                "2 to " + std::to_string(example_limits::inputs + 1) +
                    (other ? ", divided by commas (not by ';' or tabs)" : ""));
        }
        std::size_t label = fields.size() - 1;
        if (!o_.label.empty()) {
            const auto at = std::find_if(fields.begin(), fields.end(),
                                         [&](const auto& f) { return trimmed(f) == o_.label; });
            if (!header_ || at == fields.end()) {
                return refused(0, "no column named " + quoted(o_.label),
                               "a first line with the name that data.label says");
            }
            label = static_cast<std::size_t>(at - fields.begin());
        }
        record names;
        for (std::size_t i = 0; header_ && i < fields.size(); ++i) {
            if (i != label) names.emplace_back(trimmed(fields[i]));
        }
        if (out_.inputs == 0) {
            out_.inputs = fields.size() - 1;
            out_.input_names = names;
            label_ = label;
        }
        // Files without a header go with any of as many columns.
        const bool same_names =
            names.empty() || out_.input_names.empty() || names == out_.input_names;
        if (fields.size() != out_.inputs + 1 || label != label_ || !same_names) {
            return refused(0, "other columns than in the files before", "the same in all files");
        }
        return {};
    }

    base::result<void> add_record(const record& fields) {
        if (fields.size() != out_.inputs + 1) {
            return refused(0, std::to_string(fields.size()) + " fields",
                           std::to_string(out_.inputs + 1) + ", as in the first line");
        }
        if (out_.examples() == example_limits::examples) {
            return refused(0, "one example more",
                           "at most " + std::to_string(example_limits::examples));
        }
        base::byte_writer writer(out_.values);
        for (std::size_t i = 0; i < fields.size(); ++i) {
            if (i == label_) continue;
            const auto x = number_of(fields[i]);
            if (!x) {
                const bool empty = trimmed(fields[i]).empty();
                return refused(i + 1, (empty ? "nothing" : quoted(fields[i])) + name_of(i),
                               "a number of float32");
            }
            writer.u32(std::bit_cast<std::uint32_t>(*x));
        }
        return add_label(std::string(trimmed(fields[label_])));
    }

    std::string name_of(std::size_t column) const {
        const auto input = column < label_ ? column : column - 1;
        if (out_.input_names.empty()) return "";
        return " in " + quoted(out_.input_names[input]);
    }

    base::result<void> add_label(std::string name) {
        const auto known = labels_.find(name);
        if (known != labels_.end()) {
            out_.labels.push_back(known->second);
            return {};
        }
        if (name.empty() || name.size() > example_limits::class_name_bytes ||
            !is_printable_utf8(name)) {
            return refused(label_ + 1, name.empty() ? "nothing" : quoted(name),
                           "a label of 1 to " + std::to_string(example_limits::class_name_bytes) +
                               " bytes of printable UTF-8");
        }
        if (labels_.size() == example_limits::classes) {
            return refused(label_ + 1,
                           quoted(name) + ", one more than " +
                               std::to_string(example_limits::classes) + " labels before it",
                           "that many; data.label says which column the label is");
        }
        const auto label = static_cast<std::uint32_t>(labels_.size());
        labels_.emplace(std::move(name), label);
        out_.labels.push_back(label);
        return {};
    }

    const example_options& o_;
    raw_examples out_;
    std::map<std::string, std::uint32_t, std::less<>> labels_;
    std::size_t label_ = 0;
    bool header_ = false;
    std::string file_name_;
    std::uint64_t line_ = 0;
};

}  // namespace

base::result<raw_examples> read_csv(std::span<const source_file> files,
                                    const example_options& options) {
    csv_gatherer gatherer(options);
    std::uint64_t all = 0;
    std::uint64_t done = 0;
    for (const auto& file : files) all += file.bytes.size();
    for (const auto& file : files) {
        TEQUIO_CHECK(gatherer.add(file));
        done += file.bytes.size();
        if (options.progress && !options.progress(done, all)) {
            return fail(errc::stopped, "stopped while reading the data");
        }
    }
    return gatherer.finish();
}

}  // namespace tequio::training
