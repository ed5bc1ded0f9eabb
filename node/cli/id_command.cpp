// `tequio id [export|import]` and `id submitter [export|import]`: who this node and this person
// are.

#include <cstdio>

#include "node/cli/commands.hpp"
#include "node/cli/submitter.hpp"
#include "node/io/files.hpp"
#include "p2p/data_dir.hpp"

namespace tequio::node {
namespace {

constexpr std::uint64_t key_text_max_bytes = 4096;

struct key_place {
    std::string_view kind;  ///< "identity" or "submitter"
    std::filesystem::path file;
};

base::result<void> print_identity(cli_context& context) {
    TEQUIO_TRY(const auto identity, p2p::load_or_create_identity(context.data_dir));
    if (context.json) {
        context.print_json("id", {{"node", identity.node().hex()}});
    } else {
        std::printf("%s\n", identity.node().hex().c_str());
    }
    return {};
}

base::result<void> print_submitter(cli_context& context) {
    TEQUIO_TRY(const auto key, load_or_create_submitter());
    if (context.json) {
        context.print_json("id", {{"submitter", key.public_part().hex()}});
    } else {
        std::printf("%s\n", key.public_part().hex().c_str());
    }
    return {};
}

base::result<void> export_key(cli_context& context, const key_place& place) {
    TEQUIO_TRY(const auto key, p2p::load_key_file(place.file, place.kind));
    context.say("This is a secret key. Whoever has it is this " +
                std::string(place.kind == "identity" ? "node" : "submitter") +
                "; keep it private.");
    std::printf("%s", p2p::key_text(place.kind, key).c_str());
    return {};
}

base::result<void> import_key(cli_context& context, const key_place& place,
                              const std::string& from) {
    TEQUIO_TRY(const auto text, read_file(from, key_text_max_bytes));
    TEQUIO_TRY(const auto key, p2p::parse_key_text(text, place.kind));
    TEQUIO_CHECK(make_private_folder(place.file.parent_path()));
    TEQUIO_CHECK(p2p::create_key_file(place.file, place.kind, key));
    context.say("Imported " + key.public_part().hex() + " into " + place.file.string() + ".");
    return {};
}

/// `export` and `import FILE` below `parent`, for the key that `place` names when the command runs.
void add_transfer(cli_command& parent, cli_context& context, std::function<key_place()> place) {
    parent.add_subcommand("export", "print the secret key, for a backup")
        ->callback(
            [&context, place] { context.run([&] { return export_key(context, place()); }); });
    auto from = std::make_shared<std::string>();
    auto* import =
        parent.add_subcommand("import", "take a secret key from a backup; never overwrites");
    import->add_option("FILE", *from, "file that `export` printed")->required();
    import->callback([&context, place, from] {
        context.run([&] { return import_key(context, place(), *from);
});
}  // namespace
);
}  // namespace tequio::node

}  // namespace

void add_id_command(cli_command& app, cli_context& context) {
    auto* id = app.add_subcommand("id", "this node's identity, or the submitter's key");
    id->require_subcommand(0, 1);
    add_transfer(*id, context, [&context] {
        return key_place{"identity", p2p::identity_file(context.data_dir)};
    });
    id->add_subcommand("rotate", "")->hide()->callback([&context] {
        context.fail(exit_code::usage, "`tequio id rotate` is not in this version");
    });
    auto* submitter = id->add_subcommand("submitter", "the key that signs your tasks");
    submitter->require_subcommand(0, 1);
    add_transfer(*submitter, context, [] { return key_place{"submitter", submitter_file()}; });
    submitter->callback([&context, submitter] {
        if (!submitter->subcommand_chosen()) context.run([&] { return print_submitter(context); });
    });
    id->callback([&context, id] {
        if (!id->subcommand_chosen()) context.run([&] { return print_identity(context); });
    });
}

}  // namespace tequio::node
