#include "node/cli/drawn_digits.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <vector>

#include "base/rng.hpp"

namespace tequio::node {
namespace {

struct point {
    double x, y;
};

/// Where the line of each digit goes: pairs of x and y, from 0 (left, top) to 9 (right, bottom).
constexpr std::array<std::string_view, 10> strokes{
    "50718478593917133050", "225059",   "12306082751999",
    "114071734486885918",   "79601696", "8020246486784918",
    "703316396987653516",   "10906449", "5423306073541739698754",
    "836535133060837669"};

double uniform(base::rng& rng, double low, double high) {
    constexpr std::uint64_t steps = std::uint64_t{1} << 20;
    return low + (high - low) * static_cast<double>(rng.below(steps)) / static_cast<double>(steps);
}

/// The line of one digit in pixels: every point moved by itself, then all of them together.
std::vector<point> line_of(std::string_view stroke, base::rng& rng) {
    constexpr double middle = 4.5, center = (digit_side - 1) / 2.0, moved = 0.7;
    const double wide = uniform(rng, 1.1, 2.0);  // pixels a unit
    const double high = uniform(rng, 1.6, 2.3);
    const double slant = uniform(rng, -0.6, 0.6);
    const double x_shift = uniform(rng, -2.5, 2.5);
    const double y_shift = uniform(rng, -2.5, 2.5);
    std::vector<point> line;
    for (std::size_t i = 0; i < stroke.size(); i += 2) {
        const double x = stroke[i] - '0' - middle + uniform(rng, -moved, moved);
        const double y = stroke[i + 1] - '0' - middle + uniform(rng, -moved, moved);
        line.push_back({center + x_shift + x * wide - y * slant, center + y_shift + y * high});
    }
    return line;
}

double square_distance(const point& p, const point& a, const point& b) {
    const double dx = b.x - a.x, dy = b.y - a.y;
    const double length = dx * dx + dy * dy;
    const double along = (p.x - a.x) * dx + (p.y - a.y) * dy;
    const double share = length > 0 ? std::clamp(along / length, 0.0, 1.0) : 0.0;
    const double x = p.x - (a.x + share * dx), y = p.y - (a.y + share * dy);
    return x * x + y * y;
}

void draw(std::string_view stroke, base::rng& rng, base::byte_writer& out) {
    const auto line = line_of(stroke, rng);
    const double radius = uniform(rng, 0.6, 1.6);
    const double ink = uniform(rng, 150, 256);
    const auto noise = 1 + rng.below(60);
    for (std::uint64_t row = 0; row < digit_side; ++row) {
        for (std::uint64_t column = 0; column < digit_side; ++column) {
            const point p{static_cast<double>(column), static_cast<double>(row)};
            double nearest = square_distance(p, line[0], line[1]);
            for (std::size_t i = 2; i < line.size(); ++i) {
                nearest = std::min(nearest, square_distance(p, line[i - 1], line[i]));
            }
            // The edge of the line is soft over one pixel.
            const double cover = std::clamp(radius + 0.5 - std::sqrt(nearest), 0.0, 1.0);
            const auto value = static_cast<std::uint64_t>(cover * ink) + rng.below(noise);
            out.u8(static_cast<std::uint8_t>(std::min<std::uint64_t>(value, 255)));
        }
    }
}

void big_endian(base::byte_writer& out, std::uint64_t n) {
    for (const int shift : {24, 16, 8, 0}) out.u8(static_cast<std::uint8_t>(n >> shift));
}

}  // namespace

drawn_digits draw_digits(std::uint64_t count, std::uint64_t seed) {
    drawn_digits out;
    base::byte_writer images(out.images), labels(out.labels);
    for (const std::uint64_t n : {std::uint64_t{0x803}, count, digit_side, digit_side}) {
        big_endian(images, n);
    }
    for (const std::uint64_t n : {std::uint64_t{0x801}, count}) big_endian(labels, n);
    base::rng rng = base::rng(seed).split("digits");
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto digit = rng.below(strokes.size());
        labels.u8(static_cast<std::uint8_t>(digit));
        draw(strokes[digit], rng, images);
    }
    return out;
}

}  // namespace tequio::node
