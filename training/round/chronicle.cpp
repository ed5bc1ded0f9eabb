#include "training/chronicle.hpp"

#include <cmath>

#include "base/merkle.hpp"
#include "training/errc.hpp"
#include "training/recipe.hpp"
#include "training/round/lines.hpp"

namespace tequio::training {
namespace {

constexpr std::string_view chronicle_magic = "tequio/chronicle/v1";
constexpr std::string_view no_validation = "none";
/// A line "contribution <64 hex digits>\n".
constexpr std::size_t contribution_line_bytes = 13 + 64 + 1;

base::result<void> check_entry(const chronicle_entry& e) {
    if (!e.closes()) return {};
    if (e.sum.is_zero() && e.mean == base::blob_ref{} && e.loss == 0 && !std::signbit(e.loss) &&
        e.state_after == e.state_before) {
        return {};
    }
    return fail(errc::bad_chronicle,
                "chronicle entry: a closing entry has no sum, mean or loss and keeps its state");
}

}  // namespace

std::string chronicle_entry_text(const chronicle_entry& e) {
    line_writer out;
    out.line(chronicle_magic);
    out.value("round", e.round.value);
    out.value("state_before", e.state_before.hex());
    out.value("lanes", e.contributions.size());
    for (const auto& digest : e.contributions) out.value("contribution", digest.hex());
    out.value("sum", e.sum.hex());
    out.value("mean", e.mean.text());
    out.real("loss", e.loss);
    if (e.validation_loss) {
        out.real("validation_loss", *e.validation_loss);
    } else {
        out.value("validation_loss", no_validation);
    }
    out.value("state_after", e.state_after.hex());
    return out.take();
}

base::result<chronicle_entry> parse_chronicle_entry(std::string_view text) {
    line_reader in(text, errc::bad_chronicle, "chronicle entry");
    chronicle_entry e;
    in.line(chronicle_magic);
    e.round.value = in.integer("round");
    e.state_before = in.id<base::digest>("state_before");
    const auto lanes = in.integer("lanes");
    if (lanes > recipe_limits::lanes || lanes * contribution_line_bytes > in.rest().size()) {
        in.refuse("lanes", "at most 65536, a line each");
    }
    if (!in.failed()) e.contributions.reserve(lanes);
    for (std::uint64_t i = 0; i < lanes && !in.failed(); ++i) {
        e.contributions.push_back(in.id<base::digest>("contribution"));
    }
    e.sum = in.id<base::digest>("sum");
    const auto mean = base::parse_blob_ref(in.value("mean"));
    if (!mean) in.refuse("mean", "64 hexadecimal digits, ':', size in bytes");
    if (mean) e.mean = *mean;
    e.loss = in.real("loss");
    const auto validation = in.value("validation_loss");
    if (validation != no_validation) {
        e.validation_loss = base::parse_real(validation);
        if (!e.validation_loss) in.refuse("validation_loss", "a finite real, or none");
    }
    e.state_after = in.id<base::digest>("state_after");
    TEQUIO_CHECK(in.finish());
    TEQUIO_CHECK(check_entry(e));
    if (chronicle_entry_text(e) != text) {
        return fail(errc::bad_chronicle, "chronicle entry: not in canonical form");
    }
    return e;
}

base::result<void> chronicle_entry_follows(const chronicle_entry* before,
                                           const chronicle_entry& entry) {
    const auto bad = [&](const char* why) {
        return fail(errc::bad_chronicle,
                    "chronicle entry " + std::to_string(entry.round.value) + ": " + why);
    };
    if (before == nullptr) {
        if (entry.round.value != 0) return bad("the first entry is round 0");
        return {};
    }
    if (before->closes()) return bad("nothing follows a closing entry");
    if (entry.round != before->round.next()) return bad("rounds ascend by one");
    if (entry.state_before != before->state_after) {
        return bad("it does not begin with the state that the entry before left");
    }
    return {};
}

base::digest chronicle_digest(std::span<const chronicle_entry> entries) {
    std::vector<base::digest> leaves;
    leaves.reserve(entries.size());
    for (const auto& e : entries) {
        leaves.push_back(base::merkle_leaf(base::as_bytes(chronicle_entry_text(e))));
    }
    return base::merkle_root(leaves);
}

}  // namespace tequio::training
