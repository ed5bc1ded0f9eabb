#include "training/round/job_data.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "training/examples.hpp"
#include "training/round/lines.hpp"

namespace tequio::training {
namespace {

using kind = toml_value::kind;

constexpr std::uint64_t vocabulary_of_bytes = 256;
constexpr real_bounds validation_bounds{0, 1, false, true};
constexpr std::string_view files_allowed =
    "a list of 1 to 1024 paths of data files inside the job's folder";
constexpr std::string_view tokenizer_allowed =
    "bytes, or the relative path of a tokenizer.json inside the job's folder";

/// Relative, inside the folder, printable. A link that leads out is the submitter's own doing.
bool path_is_inside(std::string_view path) {
    if (path.empty() || path.size() > path_max_bytes || !is_printable_utf8(path)) return false;
    if (path.front() == '/' || path.find('\\') != std::string_view::npos) return false;
    if (path.size() > 1 && path[1] == ':') return false;  // a Windows drive
    const auto parts = base::split(path, '/');
    return std::none_of(parts.begin(), parts.end(),
                        [](std::string_view p) { return p == ".." || p.empty(); });
}

/// Text and JSONL hold documents both, and may stand side by side.
file_kind job_kind(std::string_view name) {
    const auto k = file_kind_of(name);
    return k == file_kind::jsonl ? file_kind::text : k;
}

/// What a family trains on. An unknown or missing family has been refused already.
void check_family(job_reader& in, const job_file& job) {
    if (job.model.family.empty() || job.files.empty()) return;
    const bool wants_examples = job.model.family == "mlp";
    if (wants_examples == holds_examples(job.data_kind)) return;
    in.refuse("files", quoted(job.files[0]),
              wants_examples ? "idx or .csv files for the family mlp"
                             : "text, .jsonl or .bin files for the family " + job.model.family +
                                   " (idx and .csv are for mlp)");
}

void read_files(job_reader& in, job_file& job) {
    const auto* node = in.any("files");
    if (node == nullptr || node->type != kind::array || node->items.empty() ||
        node->items.size() > job_files_max) {
        return in.refuse("files", node == nullptr ? "nothing" : node->shown(),
                         std::string(files_allowed));
    }
    for (const auto& item : node->items) {
        if (item.type != kind::text || !path_is_inside(item.text)) {
            in.refuse("files", item.shown(),
                      "a relative path inside the job's folder, '/' between its parts");
        } else if (item.text.ends_with(".gz")) {
            in.refuse("files", item.shown(), "unpacked files (`gunzip FILE` unpacks one)");
        } else if (!job.files.empty() && job_kind(item.text) != job.data_kind) {
            in.refuse("files", item.shown(),
                      "files of one kind: " + quoted(job.files[0]) + " holds " +
                          std::string(file_kind_name(job.data_kind)));
        } else {
            job.data_kind = job_kind(item.text);
            job.files.push_back(item.text);
        }
    }
    check_family(in, job);
}

/// The value of a key that only some kinds of files have; elsewhere its presence is a fault.
const toml_value* only_with(job_reader& in, const job_file& job, const char* key, bool has,
                            const char* whose) {
    const auto* node = in.any(key);
    if (node == nullptr || job.files.empty() || has) return node;
    in.refuse(key, node->shown(),
              "no such key with files of " + std::string(file_kind_name(job.data_kind)) +
                  " (it belongs to " + whose + ")");
    return nullptr;
}

void read_tokenizer(job_reader& in, job_file& job) {
    const bool has = !holds_examples(job.data_kind);
    constexpr auto whose = "text, .jsonl and .bin";
    if (const auto* node = only_with(in, job, "tokenizer", has, whose)) {
        const bool path = path_is_inside(node->text) && node->text.ends_with(".json");
        if (node->type == kind::text && (path || node->text == "bytes")) {
            job.tokenizer = node->text;
        } else {
            in.refuse("tokenizer", node->shown(), std::string(tokenizer_allowed));
        }
    }
    const auto range = integer_range_text(2, static_cast<std::int64_t>(recipe_limits::vocabulary));
    const auto* node = only_with(in, job, "vocabulary", has, whose);
    if (node != nullptr) {
        if (node->type == kind::integer && node->integer >= 2 &&
            node->integer <= static_cast<std::int64_t>(recipe_limits::vocabulary)) {
            job.vocabulary = static_cast<std::uint64_t>(node->integer);
        } else {
            in.refuse("vocabulary", node->shown(), range);
        }
    } else if (job.data_kind == file_kind::tokens && job.tokenizer == "bytes") {
        in.refuse("vocabulary", "nothing",
                  range +
                      " for .bin files, or data.tokenizer = the tokenizer.json they were made "
                      "with");
    }
    if (!has) return;
    const auto own = job.vocabulary != 0 ? job.vocabulary : vocabulary_of_bytes;
    if (job.init_from.empty()) {
        job.model.vocabulary = own;
    } else if (job.tokenizer == "bytes" && job.model.vocabulary < own) {
        in.refuse("tokenizer", "\"bytes\"",
                  "a tokenizer of at most " + std::to_string(job.model.vocabulary) +
                      " tokens: so many has the model in init_from");
    }
}

void read_flag(job_reader& in, const char* key, const toml_value* node, auto& value) {
    if (node == nullptr) return;
    if (node->type == kind::boolean) {
        value = node->boolean;
    } else {
        in.refuse(key, node->shown(), "true or false");
    }
}

void read_columns(job_reader& in, job_file& job) {
    const bool csv = job.data_kind == file_kind::csv;
    const auto* label = only_with(in, job, "label", csv, ".csv");
    if (label != nullptr) {
        const auto& name = label->text;
        if (label->type == kind::text && !name.empty() && is_printable_utf8(name) &&
            name.size() <= example_limits::class_name_bytes) {
            job.label = name;
        } else {
            in.refuse("label", label->shown(),
                      "the name of a column: 1 to 256 bytes of printable UTF-8");
        }
    }
    read_flag(in, "header", only_with(in, job, "header", csv, ".csv"), job.header);
    if (!job.label.empty() && job.header == false) {
        in.refuse("header", "false", "true, for data.label names a column");
    }
    const bool examples = holds_examples(job.data_kind);
    read_flag(in, "shuffle", only_with(in, job, "shuffle", examples, "idx and .csv"), job.shuffle);
}

}  // namespace

void read_job_data(job_reader& in, job_file& job) {
    in.section("data");
    read_files(in, job);
    read_tokenizer(in, job);
    read_columns(in, job);
    in.real("validation", job.validation_share, validation_bounds);
}

}  // namespace tequio::training
