#include "node/cli/job_input.hpp"

#include <cstdio>

#include "node/cli/context.hpp"
#include "node/io/model_files.hpp"
#include "training/errc.hpp"
#include "training/examples.hpp"

namespace tequio::node {
namespace {

/// Where a person watches, "reading the data 34 %" in one line that is wiped in the end.
class progress_line {
public:
    explicit progress_line(const cli_context& context)
        : drawn_(!context.quiet && context.may_draw(2)) {}
    ~progress_line() {
        if (shown_ >= 0) std::fputs("\r\x1b[K", stderr);
    }
    progress_line(const progress_line&) = delete;
    progress_line& operator=(const progress_line&) = delete;

    bool tell(std::uint64_t done, std::uint64_t all) {
        const auto percent = static_cast<int>(
            all == 0 ? 100 : 100.0 * static_cast<double>(done) / static_cast<double>(all));
        if (drawn_ && percent != shown_) {
            shown_ = percent;
            std::fprintf(stderr, "\rreading the data %d %%", percent);
        }
        return !interrupted();
    }

private:
    bool drawn_;
    int shown_ = -1;
};

}  // namespace

base::result<training::tokenizer> read_tokenizer(const std::filesystem::path& path,
                                                 base::byte_vector* json) {
    TEQUIO_TRY(const auto text, read_file(path, training::tokenizer_json_max_bytes));
    const auto bytes = base::as_bytes(text);
    if (json != nullptr) json->assign(bytes.begin(), bytes.end());
    return training::tokenizer::from_json(bytes, path.filename().string());
}

namespace {

/// The data files, mapped, and what a person sees while they are read.
struct opened_data {
    std::vector<mapped_file> maps;
    std::vector<training::source_file> files;
    training::data_progress progress;
};

/// The data is of another shape than the weights in init_from.
base::error does_not_fit(const std::string& key, const std::string& found,
                         const std::string& allowed, const training::job_file& file) {
    return ends_with(exit_code::usage, key + ": found " + found + ", allowed: " + allowed +
                                           ", as the model in " + file.init_from + " has");
}

base::result<void> tokenise_into(job_input& out, const std::filesystem::path& folder,
                                 const opened_data& data) {
    training::tokenise_options options;
    options.vocabulary = out.file.vocabulary;
    options.validation_share = out.file.validation_share;
    options.context = out.file.model.context;
    options.progress = data.progress;
    if (out.file.tokenizer != "bytes") {
        TEQUIO_TRY(options.words, read_tokenizer(folder / out.file.tokenizer, &out.companion));
    }
    TEQUIO_TRY(out.data, training::tokenise(data.files, options));
    auto& model = out.file.model;
    if (!model.init) {
        model.vocabulary = out.data.vocabulary;
    } else if (out.data.vocabulary > model.vocabulary) {
        return does_not_fit("data.tokenizer", std::to_string(out.data.vocabulary) + " tokens",
                            "at most " + std::to_string(model.vocabulary), out.file);
    }
    return {};
}

base::result<void> read_examples_into(job_input& out, const opened_data& data) {
    training::example_options options;
    options.validation_share = out.file.validation_share;
    options.shuffle = out.file.shuffle;
    options.label = out.file.label;
    options.header = out.file.header;
    options.progress = data.progress;
    TEQUIO_TRY(auto examples, training::read_examples(data.files, options));
    out.data = {std::move(examples.blob), training::config_of(examples), examples.classes};
    auto& model = out.file.model;
    const auto shape = [](std::uint64_t inputs, std::uint64_t classes) {
        return std::to_string(inputs) + " values and " + std::to_string(classes) + " classes";
    };
    if (model.init && (model.inputs != examples.inputs || model.vocabulary != examples.classes)) {
        return does_not_fit("data.files", shape(examples.inputs, examples.classes),
                            shape(model.inputs, model.vocabulary), out.file);
    }
    model.inputs = examples.inputs;
    model.vocabulary = examples.classes;
    return {};
}

}  // namespace

base::result<job_input> read_job(const cli_context& context, const std::filesystem::path& path) {
    TEQUIO_TRY(const auto text, read_file(path, training::job_file_size_max_bytes));
    std::optional<mapped_model> base_model;
    const auto read_folder =
        [&](const std::string& folder) -> base::result<training::model_config> {
        TEQUIO_TRY(base_model, mapped_model::open(path.parent_path() / folder));
        return training::read_model_config(base_model->view().config);
    };
    auto file = training::parse_job_file(text, path.filename().string(), read_folder);
    if (!file) return ends_with(exit_code::usage, file.error().message());
    job_input out;
    out.file = std::move(*file);
    if (base_model) {
        auto weights = training::load_first_weights(base_model->view(), out.file.model);
        if (!weights) return weights.error().at(out.file.init_from);
        out.init = std::move(*weights);
        out.file.model.init = base::blob_ref_of(out.init);
    }
    const auto folder = path.parent_path();
    progress_line line(context);
    opened_data data;
    data.progress = [&](std::uint64_t done, std::uint64_t all) { return line.tell(done, all); };
    for (const auto& name : out.file.files) {
        TEQUIO_TRY(auto map, mapped_file::open(folder / name));
        data.maps.push_back(std::move(map));
        data.files.push_back({name, data.maps.back().bytes()});
    }
    auto done = training::holds_examples(out.file.data_kind) ? read_examples_into(out, data)
                                                             : tokenise_into(out, folder, data);
    if (!done && done.error().is(training::errc::stopped)) {
        return ends_with(exit_code::interrupted, "interrupted; nothing was published");
    }
    if (!done) return done.error();
    TEQUIO_TRY(out.recipe, training::make_recipe(out.file, out.data.config));
    return out;
}

std::optional<base::blob_ref> job_input::companion_ref() const {
    if (companion.empty()) return std::nullopt;
    return base::blob_ref_of(companion);
}

std::vector<input_blob> job_input::blobs() const {
    std::vector<input_blob> out{{recipe.data.tokens, data.tokens}};
    if (recipe.model.init) out.push_back({*recipe.model.init, init});
    if (const auto ref = companion_ref()) out.push_back({*ref, companion});
    return out;
}

}  // namespace tequio::node
