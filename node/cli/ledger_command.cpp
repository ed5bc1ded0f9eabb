// `tequio ledger show|verify`: what this node's ledger says, and whether it was tampered with.
// Needs no daemon; one may be writing meanwhile.

#include <cstdio>

#include "ledger/show.hpp"
#include "node/cli/commands.hpp"

namespace tequio::node {
namespace {

struct show_options {
    std::string task;
    std::uint64_t limit = 100;
    std::optional<std::uint64_t> round, lane;
};

std::string ledger_file(const cli_context& context) {
    return (context.data_dir / "ledger.db").string();
}

/// Errors of the ledger with the exit code they ask for.
base::error with_exit_code(const base::error& e, const std::string& path) {
    if (e.is(ledger::errc::not_found)) {
        return ends_with(exit_code::not_found, "no ledger at " + path +
                                                   "; a node makes one when it first runs: tequio "
                                                   "node, or name another --data-dir");
    }
    return e;
}

base::result<void> show(cli_context& context, const show_options& o) {
    ledger::entry_query query;
    query.limit = o.limit;
    if (!o.task.empty()) {
        const auto task = base::parse_id<base::task_id>(o.task);
        if (!task) return ends_with(exit_code::usage, "--task: " + task.error().message());
        query.task = *task;
    }
    if (o.round) query.round = base::round_index{*o.round};
    if (o.lane) query.lane = base::lane_index{*o.lane};
    const auto path = ledger_file(context);
    const auto reader = ledger::store_reader::open(path);
    if (!reader) return with_exit_code(reader.error(), path);
    TEQUIO_TRY(const auto entries, (*reader)->entries(query));
    const auto text = context.json ? ledger::show_json(entries) : ledger::show_text(entries);
    std::fwrite(text.data(), 1, text.size(), stdout);
    return {};
}

base::result<void> verify(cli_context& context, const std::string& file) {
    const auto path = file.empty() ? ledger_file(context) : file;
    const auto report = ledger::verify_file(path);
    if (!report) return with_exit_code(report.error(), path);
    const auto text = context.json ? ledger::report_json(*report) : ledger::report_text(*report);
    std::fwrite(text.data(), 1, text.size(), stdout);
    if (report->ok()) return {};
    // The result is on stdout already; stderr says it in one line, naming the first entry.
    const auto& first = report->faults.front();
    std::fprintf(stderr, "tequio: %s: %s%s\n", path.c_str(),
                 first.entry ? ("entry " + std::to_string(first.entry->value) + " ").c_str() : "",
                 first.reason.c_str());
    context.code = exit_code::verification_failed;
    return {};
}

}  // namespace

void add_ledger_command(cli_command& app, cli_context& context) {
    auto& ledger = *app.add_subcommand("ledger", "who did what: read and verify the ledger");
    ledger.require_subcommand(1);

    auto o = std::make_shared<show_options>();
    auto* list = ledger.add_subcommand("show", "the newest entries, newest last");
    list->add_option("--task", o->task, "of this task only (64 hexadecimal digits)");
    list->add_option("--round", o->round, "of this round only");
    list->add_option("--lane", o->lane, "of this lane only");
    list->add_option("--limit", o->limit, "at most so many entries")
        ->range(std::uint64_t{1}, std::uint64_t{1} << 32);
    list->callback([&context, o] { context.run([&] { return show(context, *o); }); });

    auto file = std::make_shared<std::string>();
    auto* check = ledger.add_subcommand(
        "verify", "check every entry, signature and head with other code than the writer's");
    check->add_option("FILE", *file, "another ledger: a ledger.db, or a text export");
    check->callback([&context, file] { context.run([&] { return verify(context, *file); }); });

    for (const auto* name : {"audit", "prove", "export", "compare", "credit"}) {
        refuse_command(ledger, context, name, "show, verify");
    }
}

}  // namespace tequio::node
