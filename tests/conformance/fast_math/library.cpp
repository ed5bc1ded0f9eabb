// A library as somebody else would build it, with -ffast-math: when it is loaded, its start-up code
// (crtfastmath) makes the processor turn subnormal numbers into zeros, in the thread that loads it
// and in all that this one starts.

extern "C" float fast_math_half(float x);

extern "C" float fast_math_half(float x) {
    return x * 0.5F;
}
