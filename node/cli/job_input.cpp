#include "node/cli/job_input.hpp"

#include "node/cli/context.hpp"
#include "node/io/files.hpp"

namespace tequio::node {

base::result<job_input> read_job(const std::filesystem::path& path) {
    TEQUIO_TRY(const auto text, read_file(path, training::job_file_size_max_bytes));
    auto file = training::parse_job_file(text, path.filename().string());
    if (!file) return ends_with(exit_code::usage, file.error().message());
    job_input out;
    out.file = std::move(*file);
    std::vector<mapped_file> maps;
    std::vector<training::source_file> sources;
    for (const auto& name : out.file.files) {
        TEQUIO_TRY(auto map, mapped_file::open(path.parent_path() / name));
        maps.push_back(std::move(map));
        sources.push_back({name, maps.back().bytes()});
    }
    TEQUIO_TRY(out.data, training::tokenise_bytes(sources, out.file.validation_share,
                                                  out.file.model.context));
    TEQUIO_TRY(out.recipe, training::make_recipe(out.file, out.data.config));
    return out;
}

}  // namespace tequio::node
