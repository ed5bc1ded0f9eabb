#include "node/cli/job_input.hpp"

#include <cstdio>

#include "node/cli/context.hpp"
#include "node/io/model_files.hpp"
#include "training/errc.hpp"

namespace tequio::node {
namespace {

/// Where a person watches, "tokenising 34 %" in one line that is wiped in the end.
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
            std::fprintf(stderr, "\rtokenising %d %%", percent);
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
    progress_line line(context);
    training::tokenise_options options;
    options.vocabulary = out.file.vocabulary;
    options.validation_share = out.file.validation_share;
    options.context = out.file.model.context;
    options.progress = [&](std::uint64_t done, std::uint64_t all) { return line.tell(done, all); };
    if (out.file.tokenizer != "bytes") {
        const auto file_path = path.parent_path() / out.file.tokenizer;
        TEQUIO_TRY(options.words, read_tokenizer(file_path, &out.companion));
    }
    std::vector<mapped_file> maps;
    std::vector<training::source_file> sources;
    for (const auto& name : out.file.files) {
        TEQUIO_TRY(auto map, mapped_file::open(path.parent_path() / name));
        maps.push_back(std::move(map));
        sources.push_back({name, maps.back().bytes()});
    }
    auto data = training::tokenise(sources, options);
    if (!data && data.error().is(training::errc::stopped)) {
        return ends_with(exit_code::interrupted, "interrupted; nothing was published");
    }
    if (!data) return data.error();
    out.data = std::move(*data);
    if (!base_model) {
        out.file.model.vocabulary = out.data.vocabulary;
    } else if (out.data.vocabulary > out.file.model.vocabulary) {
        return ends_with(exit_code::usage, path.filename().string() + " data.tokenizer: found " +
                                               std::to_string(out.data.vocabulary) +
                                               " tokens, allowed: at most " +
                                               std::to_string(out.file.model.vocabulary) +
                                               ", so many has the model in " + out.file.init_from);
    }
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
