#include "training/research.hpp"

#include "base/text.hpp"
#include "training/errc.hpp"
#include "training/numerics/study.hpp"
#include "training/round/lines.hpp"

namespace tequio::training {
namespace {

constexpr std::uint64_t panel_min = 32;
constexpr std::uint64_t panel_max = 65536;
research_options active;

base::error refuse(std::string_view word) {
    return fail(errc::not_in_version,
                "--research: found " + quoted(word) +
                    ", allowed, each once: inner_state=carried, panel=N (a power of two from " +
                    std::to_string(panel_min) + " to " + std::to_string(panel_max) +
                    "), softmax=online");
}

}  // namespace

base::result<research_options> parse_research(const std::vector<std::string>& words) {
    research_options out;
    constexpr std::string_view panel = "panel=";
    for (const std::string& word : words) {
        const auto before = out;
        if (word == "inner_state=carried") {
            out.carry_inner_state = true;
        } else if (word == "softmax=online") {
            out.online_softmax = true;
        } else if (word.starts_with(panel)) {
            const auto n = base::parse_u64(std::string_view(word).substr(panel.size()));
            if (!n || *n < panel_min || *n > panel_max || (*n & (*n - 1)) != 0) return refuse(word);
            out.panel = *n;
        }
        if (out == before) return refuse(word);  // unknown, a second time, or what is usual
    }
    return out;
}

std::vector<std::string> research_words(const research_options& options) {
    std::vector<std::string> out;
    if (options.carry_inner_state) out.emplace_back("inner_state=carried");
    if (options.panel != research_options{}.panel) {
        out.push_back("panel=" + std::to_string(options.panel));
    }
    if (options.online_softmax) out.emplace_back("softmax=online");
    return out;
}

void set_research(const research_options& options) {
    active = options;
    numerics::set_study({options.panel, options.online_softmax});
}

const research_options& active_research() {
    return active;
}

}  // namespace tequio::training
